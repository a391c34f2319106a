"""Matrix products of row-major matrices: cache blocks, packing and threads around the C kernels.

    C (m,n) = act(A B + bias)

The threads form a grid over C: `row_teams` of them share the rows, `column_teams` the columns.
Loops of one thread, outer to inner:

    block of kc of k
      block of nc columns of the thread's columns
        block of mc rows: packs A (mc,kc), its own, unless it has it, and multiplies

A's block lies in the thread's L2, a large B's is shared through the last-level cache. The threads of a
block of columns pack B (kc,nc) together: each packs its share panel by panel while it multiplies its
first block of rows by it, and waits for the others' shares; a small B each packs whole, for itself. A thread
that has all rows in one block packs a panel at a time. A
full panel that need be neither transposed nor rounded the kernel itself packs, as its first tile of rows
reads it; otherwise it fetches what is packed next meanwhile. Further blocks of rows go to whichever
thread is free.

Operands to be taken in bfloat16 are rounded as they are packed, into words of two neighbours in k: kc
counts elements, the k of a kernel's call words.

The blocks of k depend on k alone, and within one every element adds its products in the order of k, in a
last panel of few columns as four sums: threads do not change a bit of it. Products of few rows or
columns, which are not worth packing, have kernels of their own, whose sums depend on k and on how many are few.
"""

from libc.stdint cimport int32_t
from libc.stdlib cimport free
from libc.string cimport memset

from fastnn._native.core cimport (
    FNN_BFLOAT16, FNN_FLOAT32, FNN_MAX_PANEL, ceil_div, fnn_barrier,
    fnn_barrier_wait, fnn_counter, fnn_few, fnn_few_args, fnn_gemm, fnn_gemm_args, fnn_kernels, fnn_l2_size,
    fnn_pack, fnn_peek, fnn_take, fnn_unary, fnn_zalloc, kernels, maybe_delay, round_up,
)
from fastnn._native.team cimport run_team

cdef enum:
    MC = 56             # rows of A's block, rounded to whole tiles, of which there are several: 150 KiB, a
                        # part of L2 beside two panels of B, and small enough that threads end together
    NC = 2048           # columns of B's block: 8 MiB, a part of L3
    FINE_TAIL = 4       # with so many blocks of rows a thread, the last of each is cut up
    DIRECT = 1 << 18    # bytes of A, of B that are read where they lie: packing would cost more
    APART = 1 << 21     # of B that each thread packs for itself: a line that another core packed takes
                        # as long as to pack it, and five times that where the cores share no cache
    APARTS = 1 << 23    # of all threads' together, which are kept
    WHOLE = 1 << 19     # of a block of A that is all rows of a thread: a quarter of the largest L2 that was
                        # measured
    DIRECT_COLUMNS = 512    # of C, by which packing A would cost more
    SETS = 2048         # bytes between rows of A by which more of them fall on a set of L1 than it holds
    FEW_ROWS = 8        # of C, from the next on tiles are as fast as kernels that pack nothing
    FEW_COLUMNS = 12    # the same
    FEW_DIRECT_ROWS = 5     # of C, where tiles need not pack B, either
    SMALL = 1 << 15     # bytes of a workspace that any thread's stack has room for
    READING = 2         # multiply-adds that take as long as an element that is read for fewer of them


cdef ptrdiff_t whole_a = min(<ptrdiff_t>fnn_l2_size() // 4, <ptrdiff_t>WHOLE)    # that here


cdef ptrdiff_t work_of(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k) noexcept nogil:
    return max(m, READING) * max(n, READING) * k


# What the threads of one column of the grid share.
cdef struct team:
    fnn_barrier barrier
    fnn_counter blocks


cdef struct plan:
    product x
    ptrdiff_t itemsize, panel, mr, slim
    ptrdiff_t most_kc               # words
    fnn_gemm gemm
    const fnn_kernels *pairs        # what makes pairs of bfloat16; NULL: elements stay as they are
    fnn_pack copy, transpose        # of elements, or of words
    ptrdiff_t per_word              # elements of an operand that one of a kernel's holds, 1 or 2
    bint direct                     # panels of B are read where they lie, but for a last one of many columns
    bint direct_a                   # so is A
    ptrdiff_t kc, mc, nc
    ptrdiff_t whole_blocks, blocks  # of mc rows; with those that follow, of last_rows each
    ptrdiff_t last_rows
    ptrdiff_t row_teams, column_teams
    ptrdiff_t packers               # threads that pack a block of B together: all of a column, or one
    ptrdiff_t a_bytes, b_bytes      # of one thread's block of A, of one block of B
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
            self.data = <char *>fnn_zalloc(size, 64)
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

    A thread multiplies rows x columns and packs its rows of A and, unless it reads B where it lies, its
    columns of B; an element packed costs about four multiply-adds, and as much if another packed it.
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
        columns = min(s.x.n, round_up(ceil_div(s.x.n, threads // row_teams), s.panel))
        cost = rows * columns + 4 * (rows + (0 if s.direct else columns))
        if least < 0 or cost < least:
            least = cost
            s.row_teams = row_teams
            s.column_teams = threads // row_teams


cdef void choose_last_rows(plan *s, ptrdiff_t unit) noexcept nogil:
    """Cuts one block of rows a thread into smaller ones, for threads to end close together."""
    cdef ptrdiff_t blocks = ceil_div(s.x.m, s.mc)
    s.whole_blocks, s.last_rows = blocks, s.mc
    if s.row_teams > 1 and blocks >= FINE_TAIL * s.row_teams:
        s.whole_blocks = blocks - s.row_teams
        s.last_rows = round_up(s.mc // 4, unit)
    s.blocks = s.whole_blocks + ceil_div(s.x.m - s.whole_blocks * s.mc, s.last_rows)


cdef inline ptrdiff_t first_row(const plan *s, ptrdiff_t block) noexcept nogil:
    """The row of C that a block of rows begins with; m where there is no such block."""
    cdef ptrdiff_t last = max(block - s.whole_blocks, 0)
    return min((block - last) * s.mc + last * s.last_rows, s.x.m)


cdef inline bint reads_b(const product *x, ptrdiff_t itemsize) noexcept nogil:
    """Whether tiles read panels of B where they lie."""
    return not x.transpose_b and x.k * x.n * itemsize <= DIRECT


cdef void choose_blocks(plan *s) noexcept nogil:
    cdef ptrdiff_t rows = ceil_div(s.x.m, s.row_teams)
    cdef ptrdiff_t columns = ceil_div(s.x.n, s.column_teams)
    cdef ptrdiff_t b = s.x.k * s.x.n * s.itemsize
    s.packers = 1 if b <= APART and b * s.row_teams <= APARTS else s.row_teams
    s.direct_a = (
        s.pairs == NULL and (s.direct or s.x.transpose_b) and s.x.n <= DIRECT_COLUMNS
        and s.x.m * s.x.k * s.itemsize <= DIRECT and s.x.lda * s.itemsize % SETS != 0)
    s.kc = even_block(s.x.k, s.most_kc * s.per_word, s.panel * s.per_word)
    cdef ptrdiff_t unit = s.panel if s.x.transpose_a and not s.direct_a else 1
    cdef bint alone = s.row_teams == 1 and (
        rows <= MC or s.direct_a or rows * s.kc // s.per_word * s.itemsize <= whole_a)
    s.mc = even_block(rows, rows if s.direct_a or alone else MC - MC % s.mr, unit)
    choose_last_rows(s, unit)
    # a panel of B that one block of rows needs is packed when its turn comes, into L1 or L2
    s.nc = s.panel if alone and not s.direct else NC
    s.nc = even_block(columns, s.nc, s.panel)
    s.a_bytes = 0 if s.direct_a else (
        round_up(s.mc, s.panel) * round_up(s.kc, s.panel) // s.per_word * s.itemsize)
    s.b_bytes = s.kc // s.per_word * (s.panel if s.direct else s.nc) * s.itemsize


cdef inline const char *at(const plan *s, const char *x, ptrdiff_t ld, bint transposed,
                           ptrdiff_t row, ptrdiff_t column) noexcept nogil:
    """Address of an element of a row-major matrix, or of one whose transpose is."""
    return x + (column * ld + row if transposed else row * ld + column) * s.itemsize


cdef inline ptrdiff_t depth(const plan *s, ptrdiff_t p) noexcept nogil:
    """Elements of the block of k that begins with p."""
    return min(s.kc, s.x.k - p)


cdef void pack_a(const plan *s, ptrdiff_t p, ptrdiff_t i, ptrdiff_t m, ptrdiff_t panel,
                 char *to) noexcept nogil:
    """The rows i ... of A's block, or, where A is transposed, its columns."""
    cdef const char *a = at(s, s.x.a, s.x.lda, s.x.transpose_a, i, p)
    cdef ptrdiff_t k = depth(s, p)
    if s.pairs == NULL:
        s.copy(k if s.x.transpose_a else m, m if s.x.transpose_a else k, a, s.x.lda, panel, to)
    elif s.x.transpose_a:
        s.pairs.pair_rows(k, m, s.x.lda, s.panel, a, panel, to)
    else:
        s.pairs.pair_columns(m, k, s.x.lda, s.panel, a, panel, to)


cdef void pack_b(const plan *s, ptrdiff_t p, ptrdiff_t j, ptrdiff_t n, char *to) noexcept nogil:
    """The panel of B's block that begins with column j."""
    cdef const char *b = at(s, s.x.b, s.x.ldb, s.x.transpose_b, p, j)
    cdef ptrdiff_t k = depth(s, p), step = 2 * s.panel, done = 0, part
    cdef int32_t words[FNN_MAX_PANEL * FNN_MAX_PANEL]
    if s.pairs == NULL:
        (s.transpose if s.x.transpose_b else s.copy)(k, n, b, s.x.ldb, 0, to)
    elif not s.x.transpose_b:
        s.pairs.pair_rows(k, n, s.x.ldb, s.panel, b, 0, to)
    else:
        while done < k:
            part = min(step, k - done)
            s.pairs.pair_columns(n, part, s.x.ldb, s.panel, b + done * s.itemsize, 0, words)
            s.transpose(ceil_div(part, 2), n, words, s.panel, 0,
                        to + done // 2 * s.panel * s.itemsize)
            done += step


cdef void begin_rows(const plan *s, fnn_gemm_args *g, char *a, ptrdiff_t p, ptrdiff_t j,
                     ptrdiff_t block, bint pack) noexcept nogil:
    """Points g to a block of rows; p and j are where B's block begins."""
    cdef ptrdiff_t i = first_row(s, block)
    g.m = first_row(s, block + 1) - i
    g.c = s.x.c + (i * s.x.ldc + j) * s.itemsize
    if s.direct_a:
        g.a, g.a_row = at(s, s.x.a, s.x.lda, s.x.transpose_a, i, p), s.x.lda
        return
    g.a = a
    g.a_panel = (g.k if s.x.transpose_a else g.m) * s.panel
    if pack:
        pack_a(s, p, i, g.m, g.a_panel, a)


cdef void fetch(fnn_gemm_args *g, const char *x, ptrdiff_t ld, ptrdiff_t rows,
                ptrdiff_t columns) noexcept nogil:
    """While g multiplies, it fetches this matrix, if it has any rows and columns."""
    g.next = x if rows > 0 and columns > 0 else NULL
    g.next_row, g.next_rows, g.next_cols = ld, rows, columns


cdef void fetch_rows(const plan *s, fnn_gemm_args *g, ptrdiff_t p, ptrdiff_t block) noexcept nogil:
    """The same for A's rows of a block."""
    cdef ptrdiff_t i = first_row(s, block), rows = first_row(s, block + 1) - i
    cdef const char *a = at(s, s.x.a, s.x.lda, s.x.transpose_a, i, p)
    if s.x.transpose_a:
        fetch(g, a, s.x.lda, depth(s, p), rows)
    else:
        fetch(g, a, s.x.lda, rows, depth(s, p))


cdef inline bint kernel_packs(const plan *s, ptrdiff_t columns) noexcept nogil:
    """Whether the kernel can pack a panel of so many columns of B while it multiplies."""
    return not s.x.transpose_b and s.pairs == NULL and columns == s.panel and not s.direct_a


cdef void fetch_panel(const plan *s, fnn_gemm_args *g, ptrdiff_t p, ptrdiff_t j,
                      ptrdiff_t end) noexcept nogil:
    """The same for the panel of B that begins with column j, as far as it is before `end`, unless
    the kernel is to pack it, which then fetches it itself."""
    cdef ptrdiff_t columns = min(s.panel, end - j)
    cdef const char *b = at(s, s.x.b, s.x.ldb, s.x.transpose_b, p, j)
    if s.x.transpose_b:
        fetch(g, b, s.x.ldb, columns, depth(s, p))
    else:
        fetch(g, b, s.x.ldb, depth(s, p), 0 if kernel_packs(s, columns) else columns)


cdef inline ptrdiff_t direct_columns(const plan *s, const fnn_gemm_args *g) noexcept nogil:
    """How many columns of B's block are read where they lie: full panels, and few in a last one; or none."""
    cdef ptrdiff_t rest = g.n % s.panel
    return (g.n if rest <= s.slim else g.n - rest) if s.direct else 0


cdef void move(const plan *s, fnn_gemm_args *g, ptrdiff_t columns) noexcept nogil:
    """Moves C and bias, not B, on by that many columns."""
    g.c = <char *>g.c + columns * s.itemsize
    if g.bias != NULL:
        g.bias = <const char *>g.bias + columns * s.itemsize


cdef void multiply_columns(const plan *s, const fnn_gemm_args *g, ptrdiff_t p, ptrdiff_t j,
                           ptrdiff_t start, ptrdiff_t stop) noexcept nogil:
    """The block of rows by columns start .. stop of B's block."""
    cdef ptrdiff_t direct = direct_columns(s, g)
    cdef ptrdiff_t middle = max(start, min(stop, direct))
    cdef fnn_gemm_args h = g[0]
    move(s, &h, start)
    if start < middle:
        h.n = middle - start
        h.b, h.b_row, h.b_panel = at(s, s.x.b, s.x.ldb, False, p, j + start), s.x.ldb, s.panel
        s.gemm(&h)
        h.next = NULL
    if middle < stop:
        move(s, &h, middle - start)
        h.n = stop - middle
        h.b_row, h.b_panel = g.b_row, g.b_panel
        h.b = <const char *>g.b + (middle - direct) * g.k * s.itemsize
        s.gemm(&h)


cdef void multiply_packing(const plan *s, const fnn_gemm_args *g, ptrdiff_t p, ptrdiff_t j,
                           ptrdiff_t start, ptrdiff_t stop) noexcept nogil:
    """The same for a panel of B that is yet to be packed."""
    cdef char *packed = <char *>g.b + (start - direct_columns(s, g)) * g.k * s.itemsize
    cdef fnn_gemm_args h = g[0]
    if g.m == 0 or not kernel_packs(s, stop - start):
        pack_b(s, p, j + start, stop - start, packed)
        multiply_columns(s, g, p, j, start, stop)
        return
    move(s, &h, start)
    h.n = s.panel
    h.b, h.b_row = at(s, s.x.b, s.x.ldb, False, p, j + start), s.x.ldb
    h.b_to = packed
    s.gemm(&h)


cdef void multiply_first(const plan *s, fnn_gemm_args *g, team *mine, ptrdiff_t p, ptrdiff_t j,
                         ptrdiff_t row, ptrdiff_t end) noexcept nogil:
    """Packs this thread's share of B's block and multiplies, if g.m is not 0, all of the block.

    Thread `row` of the team. Where B is read directly, only a last panel is packed, of many columns
    that do not fill it. Columns before `end` are likely this thread's to pack next where there is one block of rows."""
    cdef ptrdiff_t direct = direct_columns(s, g)
    cdef ptrdiff_t part = row % s.packers
    cdef ptrdiff_t q0 = direct + share(g.n - direct, s.panel, part, s.packers)
    cdef ptrdiff_t q1 = direct + share(g.n - direct, s.panel, part + 1, s.packers)
    cdef ptrdiff_t q = q0
    while q < q1:
        fetch_panel(s, g, p, j + q + s.panel, end if s.blocks == 1 else j + q1)
        multiply_packing(s, g, p, j, q, min(q + s.panel, q1))
        q += s.panel
    fetch_rows(s, g, p, row + s.row_teams)
    multiply_columns(s, g, p, j, 0, direct)
    if direct < g.n:
        fnn_barrier_wait(&mine.barrier, s.packers)
    maybe_delay(row)
    multiply_columns(s, g, p, j, direct, q0)
    multiply_columns(s, g, p, j, q1, g.n)


cdef void work(const plan *s, ptrdiff_t thread) noexcept nogil:
    """One thread's part of the product.

    Its first block of rows is its own; then it takes blocks as it gets to them, so that a thread
    whose core a neighbour has takes fewer."""
    cdef ptrdiff_t column = thread // s.row_teams, row = thread % s.row_teams
    cdef ptrdiff_t j0 = share(s.x.n, s.panel, column, s.column_teams)
    cdef ptrdiff_t j1 = share(s.x.n, s.panel, column + 1, s.column_teams)
    cdef char *a = s.packed_a + thread * s.a_bytes
    cdef team *mine = &s.teams[column]
    cdef ptrdiff_t p = 0, j
    cdef ptrdiff_t block, first = s.row_teams, held
    cdef fnn_gemm_args g
    memset(&g, 0, sizeof(g))
    g.b = s.packed_b + thread // s.packers * s.b_bytes
    g.a, g.c, g.c_row = a, s.x.c, s.x.ldc
    g.c_panel = g.bias_panel = s.panel
    while True:     # once also where k = 0, which makes C the bias or zero
        g.k = ceil_div(depth(s, p), s.per_word)
        g.b_row, g.b_panel = s.panel, g.k * s.panel
        g.accumulate = p > 0
        g.act = s.x.act if p + depth(s, p) == s.x.k else NULL
        j, held = j0, -1
        while j < j1:
            g.n = min(s.nc, j1 - j)
            g.bias = s.x.bias + j * s.itemsize if s.x.bias != NULL and p == 0 else NULL
            maybe_delay(row)
            block = row
            g.m = 0
            if block < s.blocks:
                begin_rows(s, &g, a, p, j, block, block != held)
                held = block
            multiply_first(s, &g, mine, p, j, row, j1)
            block = fnn_take(&mine.blocks) + first
            while block < s.blocks:
                begin_rows(s, &g, a, p, j, block, True)
                held = block
                # The next is likely the one after those that the others take meanwhile.
                fetch_rows(s, &g, p, fnn_peek(&mine.blocks) + first + s.row_teams - 1)
                multiply_columns(s, &g, p, j, 0, g.n)
                block = fnn_take(&mine.blocks) + first
            first -= max(s.blocks, s.row_teams)   # each thread has asked once too often
            j += s.nc
            if j < j1 or p + depth(s, p) < s.x.k:
                fnn_barrier_wait(&mine.barrier, s.row_teams)
        p += s.kc
        if p >= s.x.k:
            break


cdef void work_in_team(void *what, int thread, int size) noexcept nogil:
    """work, or all of it on thread 0 where OpenMP gave fewer threads than it was asked for."""
    cdef const plan *s = <const plan *>what
    cdef plan alone
    if size == s.row_teams * s.column_teams:
        work(s, thread)
    elif thread == 0:
        alone = s[0]
        alone.row_teams = alone.column_teams = alone.packers = 1
        work(&alone, 0)


cdef void run(const plan *s, ptrdiff_t threads):
    if work_of(s.x.m, s.x.n, s.x.k) < THREAD_WORK:     # of one thread, then
        work(s, 0)      # done before another Python thread could make use of the GIL
    else:
        with nogil:
            run_team(work_in_team, <void *>s, threads)


cdef size_t lay_out(plan *s, char *memory, ptrdiff_t threads) noexcept nogil:
    """Points the plan into `memory`, if that is not NULL; the bytes it takes."""
    cdef size_t teams = s.column_teams * sizeof(team)
    cdef size_t a = threads * s.a_bytes
    if memory != NULL:
        memset(memory, 0, teams)
        s.teams = <team *>memory
        s.packed_a = memory + teams
        s.packed_b = memory + teams + a
    return teams + a + threads // s.packers * s.b_bytes


# A product of few rows, or of few columns as that of its transposes, and what each thread takes of it.
cdef struct few_plan:
    fnn_few_args g          # C's many columns are n, though they may be its rows
    fnn_few kernel
    fnn_unary act
    bint transposed
    ptrdiff_t itemsize, unit
    ptrdiff_t b_col         # from one of the many columns to the next in g.b


cdef bint are_few(const fnn_kernels *k, ptrdiff_t most, ptrdiff_t few, ptrdiff_t many,
                  bint along_k) noexcept nogil:
    """Whether few_nn, where the many columns' numbers of one k lie together, or else few_nt is for that."""
    if along_k:
        return few <= most and many >= 2 * k.panel
    return few <= min(<ptrdiff_t>FEW_COLUMNS, k.mr * k.itemsize // 4)


cdef bint plan_few(const fnn_kernels *k, const product *x, few_plan *s) noexcept nogil:
    """Whether it is one, and how."""
    cdef fnn_few_args *g = &s.g
    cdef bint rows, along_k
    if k.few_nn == NULL:
        return False
    rows = are_few(k, FEW_DIRECT_ROWS if reads_b(x, k.itemsize) else FEW_ROWS, x.m, x.n, not x.transpose_b)
    if not rows and not are_few(k, FEW_COLUMNS, x.n, x.m, x.transpose_a):
        return False
    along_k = not x.transpose_b if rows else x.transpose_a
    s.itemsize, s.unit, s.act, s.transposed = k.itemsize, k.panel, x.act, not rows
    s.kernel = k.few_nn if along_k else k.few_nt
    g.k, g.c, g.bias = x.k, x.c, x.bias
    if rows:
        g.m, g.n = x.m, x.n
        g.a, g.a_row, g.a_col = x.a, 1 if x.transpose_a else x.lda, x.lda if x.transpose_a else 1
        g.b, g.ldb = x.b, x.ldb
        g.c_row, g.c_col, g.bias_row, g.bias_col = x.ldc, 1, 0, 1
    else:
        g.m, g.n = x.n, x.m
        g.a, g.a_row, g.a_col = x.b, x.ldb if x.transpose_b else 1, 1 if x.transpose_b else x.ldb
        g.b, g.ldb = x.a, x.lda
        g.c_row, g.c_col, g.bias_row, g.bias_col = 1, x.ldc, 1, 0
    s.b_col = 1 if along_k else g.ldb
    return True


cdef void activate(fnn_unary act, ptrdiff_t rows, ptrdiff_t cols, char *c, ptrdiff_t row) noexcept nogil:
    """act on rows that lie `row` bytes apart."""
    cdef ptrdiff_t r
    for r in range(rows):
        act(cols, c + r * row, c + r * row)


cdef void work_few(void *what, int part, int parts) noexcept nogil:
    """A part of the many columns, which may be C's rows."""
    cdef const few_plan *s = <const few_plan *>what
    cdef fnn_few_args g = s.g
    cdef ptrdiff_t start = share(s.g.n, s.unit, part, parts)
    g.n = share(s.g.n, s.unit, part + 1, parts) - start
    g.b = <const char *>g.b + start * s.b_col * s.itemsize
    g.c = <char *>g.c + start * g.c_col * s.itemsize
    if g.bias != NULL:
        g.bias = <const char *>g.bias + start * g.bias_col * s.itemsize
    s.kernel(&g)
    if s.act == NULL:
        return
    if s.transposed:
        activate(s.act, g.n, g.m, <char *>g.c, g.c_col * s.itemsize)
    else:
        activate(s.act, g.m, g.n, <char *>g.c, g.c_row * s.itemsize)


cdef void run_few(const few_plan *s, ptrdiff_t threads):
    if work_of(s.g.m, s.g.n, s.g.k) < THREAD_WORK:
        work_few(<void *>s, 0, 1)   # as in run
    else:
        with nogil:
            run_team(work_few, <void *>s, threads)


cdef int multiply(const fnn_kernels *k, const product *what, int threads) except -1:
    cdef plan s
    cdef few_plan few
    cdef Workspace workspace
    cdef size_t size
    cdef char *aligned
    cdef char memory[SMALL + 64]
    cdef ptrdiff_t n_threads = max(1, min(threads, work_of(what.m, what.n, what.k) // THREAD_WORK))
    if what.m == 0 or what.n == 0:
        return 0
    if plan_few(k, what, &few):
        run_few(&few, n_threads)
        return 0
    s.x = what[0]
    s.itemsize = k.itemsize
    s.panel = k.panel
    s.mr = k.mr
    s.most_kc = k.kc
    s.slim = k.slim
    s.gemm = k.gemm_tn if what.transpose_a else k.gemm_nn
    s.pairs = k if k == kernels(FNN_BFLOAT16) else NULL
    s.direct = s.pairs == NULL and reads_b(what, k.itemsize)
    s.per_word = 1 if s.pairs == NULL else 2
    s.copy = k.pack
    s.transpose = k.pack_transpose if s.pairs == NULL else kernels(FNN_FLOAT32).pack_transpose
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
