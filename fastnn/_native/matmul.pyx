"""Matrix products of row-major matrices: cache blocks, packing and threads around the C kernels.

    C (m,n) = act(A B + bias)

The threads form a grid over C: `row_teams` of them share the rows, `column_teams` the columns.
Loops of one thread, outer to inner:

    block of kc of k
      block of nc columns of the thread's columns: the threads of these columns pack B (kc,nc)
      together, each a share, and meet at a barrier
        block of mc rows, whichever is next: packs A (mc,kc), its own, and multiplies

B's block is shared through the last-level cache, A's lies in the thread's L2. Every element adds
its products in the order of k whatever the blocks and the grid are, so they do not change its bits.
"""

from cython.parallel cimport parallel, threadid
from libc.stdlib cimport free
from libc.string cimport memset

from fastnn._native.core cimport (
    ceil_div, fnn_barrier, fnn_barrier_wait, fnn_counter, fnn_gemm, fnn_gemm_args,
    fnn_kernels, fnn_pack, fnn_take, fnn_team_size, fnn_zalloc, round_up,
)

cdef enum:
    KC_BYTES = 3328     # kc elements of k: less, and C goes through memory more often; more, and A
                        # and two panels of B crowd L2. 704 for k = 2048, all of 784
    MC = 56             # rows of A's block: 150 KiB, a part of L2 beside two panels of B, and small
                        # enough that threads end together
    NC = 2048           # columns of B's block: 8 MiB, a part of L3
    FEW = 4             # rows of C that leave the time to the reading of B:
    KC_FEW = 32         # then B is read a few rows at a time
    DIRECT = 1 << 18    # bytes of B that are read where they lie: packing would cost more
    SMALL = 1 << 15     # bytes of a workspace that any thread's stack has room for
    THREAD_WORK = 1 << 18   # multiply-adds below which another thread cannot pay


# What the threads of one column of the grid share.
cdef struct team:
    fnn_barrier barrier
    fnn_counter blocks


cdef struct plan:
    product x
    ptrdiff_t itemsize, panel
    fnn_gemm gemm
    fnn_pack pack_a, pack_b
    bint direct                     # full panels of B are read where they lie
    ptrdiff_t kc, mc, nc
    ptrdiff_t row_teams, column_teams
    ptrdiff_t a_bytes, b_bytes      # of one thread's block of A, of one column team's block of B
    char *packed_a
    char *packed_b
    team *teams                     # one of each column


cdef class Workspace:
    """Memory that a call works in, kept for later calls."""

    cdef char *data
    cdef size_t size

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, size_t size) except -1:
        """At least `size` bytes at a multiple of 64, of any content."""
        if size > self.size:
            free(self.data)
            self.size = 0
            self.data = <char *>fnn_zalloc(size)
            if self.data == NULL:
                raise MemoryError(f"no memory for a workspace of {size} bytes")
            self.size = size
        return 0


# Workspaces that no call is using. A call takes one out or makes one, so that several Python
# threads may multiply at once.
cdef list idle = []


cdef Workspace take_workspace():
    try:
        return idle.pop()
    except IndexError:
        return Workspace()


cdef ptrdiff_t share(ptrdiff_t total, ptrdiff_t unit, ptrdiff_t part,
                     ptrdiff_t parts) noexcept nogil:
    return min(total, ceil_div(total, unit) * part // parts * unit)


cdef inline ptrdiff_t even_block(ptrdiff_t total, ptrdiff_t largest, ptrdiff_t unit) noexcept nogil:
    """Size of a block when `total` is cut into as few as possible, all about equal."""
    if total <= largest:
        return round_up(max(total, 1), unit)
    return round_up(ceil_div(total, ceil_div(total, largest)), unit)


cdef void choose_grid(plan *s, ptrdiff_t threads) noexcept nogil:
    """Rows and columns of the grid: the divisors of `threads` with the least work for one thread.

    A thread multiplies rows x columns, packs its rows of A and its share of the columns of B;
    an element packed costs about four multiply-adds.
    """
    cdef ptrdiff_t rows, columns, row_teams, cost, least = -1
    s.row_teams = threads
    s.column_teams = 1
    if threads == 1:
        return
    for row_teams in range(threads, 0, -1):
        if threads % row_teams:
            continue
        rows = ceil_div(s.x.m, row_teams)
        columns = round_up(ceil_div(s.x.n, threads // row_teams), s.panel)
        cost = rows * columns + 4 * (rows + ceil_div(columns, row_teams))
        if least < 0 or cost < least:
            least = cost
            s.row_teams = row_teams
            s.column_teams = threads // row_teams


cdef void choose_blocks(plan *s) noexcept nogil:
    cdef ptrdiff_t rows = ceil_div(s.x.m, s.row_teams)
    cdef ptrdiff_t columns = ceil_div(s.x.n, s.column_teams)
    cdef bint few = s.x.m <= FEW
    s.direct = not s.x.transpose_b and (few or s.x.k * s.x.n * s.itemsize <= DIRECT)
    s.kc = KC_FEW if s.direct and few else even_block(s.x.k, KC_BYTES // s.itemsize, s.panel)
    s.mc = even_block(rows, MC, s.panel if s.x.transpose_a else 1)
    # a panel of B that one block of rows needs is packed when its turn comes, into L1 or L2
    s.nc = NC if s.direct or s.row_teams > 1 or rows > MC else s.panel
    s.nc = even_block(columns, s.nc, s.panel)
    s.a_bytes = round_up(s.mc, s.panel) * round_up(s.kc, s.panel) * s.itemsize
    s.b_bytes = s.kc * (s.panel if s.direct else s.nc) * s.itemsize


cdef inline const char *at(const plan *s, const char *x, ptrdiff_t ld, bint transposed,
                           ptrdiff_t row, ptrdiff_t column) noexcept nogil:
    """Address of an element of a row-major matrix, or of one whose transpose is."""
    return x + (column * ld + row if transposed else row * ld + column) * s.itemsize


cdef void multiply_block(const plan *s, fnn_gemm_args *g, char *a, ptrdiff_t p, ptrdiff_t j,
                         ptrdiff_t i, bint pack) noexcept nogil:
    """The block of rows of C that begins with row i; p and j are where B's block begins."""
    cdef ptrdiff_t whole = g.n // s.panel * s.panel
    cdef fnn_gemm_args h
    g.m = min(s.mc, s.x.m - i)
    g.a = a
    g.a_panel = (g.k if s.x.transpose_a else g.m) * s.panel
    g.c = s.x.c + (i * s.x.ldc + j) * s.itemsize
    if pack and s.x.transpose_a:
        s.pack_a(g.k, g.m, at(s, s.x.a, s.x.lda, True, i, p), s.x.lda, g.a_panel, a)
    elif pack:
        s.pack_a(g.m, g.k, at(s, s.x.a, s.x.lda, False, i, p), s.x.lda, g.a_panel, a)
    h = g[0]
    if s.direct:
        h.n = whole
        h.b, h.b_row, h.b_panel = at(s, s.x.b, s.x.ldb, False, p, j), s.x.ldb, s.panel
        s.gemm(&h)
        h = g[0]
        h.n -= whole
        h.c = <char *>g.c + whole * s.itemsize
        h.bias = <const char *>g.bias + whole * s.itemsize if g.bias != NULL else NULL
    s.gemm(&h)


cdef void work(const plan *s, ptrdiff_t thread) noexcept nogil:
    """One thread's part of the product.

    It takes blocks of rows as it gets to them: a thread whose core a neighbour has takes fewer."""
    cdef ptrdiff_t column = thread // s.row_teams, row = thread % s.row_teams
    cdef ptrdiff_t j0 = share(s.x.n, s.panel, column, s.column_teams)
    cdef ptrdiff_t j1 = share(s.x.n, s.panel, column + 1, s.column_teams)
    cdef char *a = s.packed_a + thread * s.a_bytes
    cdef char *b = s.packed_b + column * s.b_bytes
    cdef team *mine = &s.teams[column]
    cdef ptrdiff_t p = 0, j, q0, q1, packed
    cdef ptrdiff_t blocks = ceil_div(s.x.m, s.mc), block, first = 0, held
    cdef fnn_gemm_args g
    g.grad = NULL
    g.s = NULL
    g.b = b
    g.c_row = s.x.ldc
    g.c_panel = g.bias_panel = s.panel
    while True:     # once also where k = 0, which makes C the bias or zero
        g.k = min(s.kc, s.x.k - p)
        g.b_row, g.b_panel = s.panel, g.k * s.panel
        g.accumulate = p > 0
        g.act = s.x.act if p + g.k == s.x.k else NULL
        j, held = j0, -1
        while j < j1:
            g.n = min(s.nc, j1 - j)
            g.bias = s.x.bias + j * s.itemsize if s.x.bias != NULL and p == 0 else NULL
            # Columns `packed` and on are packed: all, or only what fills no panel.
            packed = g.n // s.panel * s.panel if s.direct else 0
            q0 = packed + share(g.n - packed, s.panel, row, s.row_teams)
            q1 = packed + share(g.n - packed, s.panel, row + 1, s.row_teams)
            s.pack_b(g.k, q1 - q0, at(s, s.x.b, s.x.ldb, s.x.transpose_b, p, j + q0), s.x.ldb,
                     g.b_panel, b + (q0 - packed) * g.k * s.itemsize)
            fnn_barrier_wait(&mine.barrier, s.row_teams)
            block = fnn_take(&mine.blocks) - first
            while block < blocks:
                multiply_block(s, &g, a, p, j, block * s.mc, block != held)
                held = block
                block = fnn_take(&mine.blocks) - first
            first += blocks + s.row_teams   # each thread has asked once too often
            fnn_barrier_wait(&mine.barrier, s.row_teams)
            j += s.nc
        p += g.k
        if p >= s.x.k:
            break


cdef void work_in_team(const plan *s, ptrdiff_t thread) noexcept nogil:
    """work, or all of it on thread 0 where OpenMP gave fewer threads than it was asked for."""
    cdef plan alone
    if fnn_team_size() == s.row_teams * s.column_teams:
        work(s, thread)
    elif thread == 0:
        alone = s[0]
        alone.row_teams = alone.column_teams = 1
        work(&alone, 0)


cdef void run(const plan *s, ptrdiff_t threads):
    if s.x.m * s.x.n * s.x.k < THREAD_WORK:
        work(s, 0)      # done before another Python thread could make use of the GIL
    elif threads == 1:
        with nogil:
            work(s, 0)
    else:
        with nogil, parallel(num_threads=threads):
            work_in_team(s, threadid())


cdef size_t lay_out(plan *s, char *memory, ptrdiff_t threads) noexcept nogil:
    """Points the plan into `memory`, if that is not NULL; the bytes it takes."""
    cdef size_t teams = s.column_teams * sizeof(team)
    cdef size_t a = threads * s.a_bytes
    if memory != NULL:
        memset(memory, 0, teams)
        s.teams = <team *>memory
        s.packed_a = memory + teams
        s.packed_b = memory + teams + a
    return teams + a + s.column_teams * s.b_bytes


cdef int multiply(const fnn_kernels *kernels, const product *what, int threads) except -1:
    cdef plan s
    cdef Workspace workspace
    cdef size_t size
    cdef char *aligned
    cdef char memory[SMALL + 64]
    cdef ptrdiff_t n_threads = max(1, min(threads, what.m * what.n * what.k // THREAD_WORK))
    if what.m == 0 or what.n == 0:
        return 0
    s.x = what[0]
    s.itemsize = kernels.itemsize
    s.panel = kernels.panel
    s.gemm = kernels.gemm_tn if what.transpose_a else kernels.gemm_nn
    s.pack_a = kernels.pack
    s.pack_b = kernels.pack_transpose if what.transpose_b else kernels.pack
    choose_grid(&s, n_threads)
    choose_blocks(&s)
    size = lay_out(&s, NULL, n_threads)
    if size <= SMALL:
        aligned = memory + (64 - <size_t>memory % 64) % 64
        lay_out(&s, aligned, n_threads)
        run(&s, n_threads)
    else:
        workspace = take_workspace()
        workspace.reserve(size)
        lay_out(&s, workspace.data, n_threads)
        run(&s, n_threads)
        idle.append(workspace)
    return 0
