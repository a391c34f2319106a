/* few_nt where a vector has room for four rows of A by QUAD steps of k: so packed, A stays near, while four numbers
 * at a time of a row of B^T are repeated to meet them; what is summed up side by side is added up at the
 * end. (Blocks transposed in registers, which need no such end, took up to twice as long: shuffles and
 * multiplications share a port.)
 */

enum {
    QUAD = 4,
    QUAD_ROWS = VL / QUAD, /* of A, in a vector */
    QUAD_VECTORS = 3,      /* of a tile, at most */
    QUAD_COLUMNS = 8,      /* of a tile of so many; of fewer: */
    QUAD_MOST = 12,
    QUAD_PACKED = (48 << 10) / sizeof(real), /* of A: a thread's stack has room for it */
    QUAD_GROUPS = (QUAD_MOST + GROUP - 1) / GROUP,
};

/* QUAD steps of k from step i on, or as many as there are, of QUAD_ROWS rows from row r on; zeros for others */
INLINE void pack_quad(const fnn_few_args *g, ptrdiff_t r, ptrdiff_t i, ptrdiff_t steps, real *to) {
    const real *a = (const real *)g->a + r * g->a_row + i * g->a_col;
    const ptrdiff_t rows = min_size(g->m - r, QUAD_ROWS);
    if (g->a_row == 1 && rows == QUAD_ROWS && steps == QUAD) {
        v_store(to, v_columns(a, g->a_col));
        return;
    }
    v_store(to, v_zero());
    pack_fours(rows, steps, a, g->a_row, g->a_col, to);
}

/* steps i .. i+k-1 of A, [k / QUAD][vectors][VL] */
NOINLINE void pack_quads(const fnn_few_args *g, ptrdiff_t i, ptrdiff_t k, ptrdiff_t vectors, real *to) {
    for (ptrdiff_t s = 0; s < k; s += QUAD) {
        for (ptrdiff_t v = 0; v < vectors; v++, to += VL)
            pack_quad(g, v * QUAD_ROWS, i + s, min_size(k - s, QUAD), to);
    }
}

/* k steps of nv vectors of A, a_step apart, and of `cols` rows of B^T: columns of C, VL from one to the next */
INLINE void few_quads(const int cols, const int nv, const real *a, ptrdiff_t a_step, const real *b,
                      ptrdiff_t ldb, ptrdiff_t k, real *tile) {
    vreal acc[QUAD_MOST][QUAD_VECTORS], av[QUAD_VECTORS];
    const real *groups[QUAD_GROUPS];
    const ptrdiff_t last = k % QUAD; /* steps, fewer than QUAD */
    part_rows(QUAD_GROUPS, b, ldb, groups);
    UNROLL(16) for (int j = 0; j < cols; j++) UNROLL(3) for (int v = 0; v < nv; v++) acc[j][v] = v_zero();
    for (; k >= QUAD; k -= LINE) {
        if (k > FEW_AHEAD) UNROLL(16) for (int j = 0; j < cols; j++)
            __builtin_prefetch(groups[j / GROUP] + j % GROUP * ldb + FEW_AHEAD);
        for (ptrdiff_t s = min_size(k, LINE); s >= QUAD; s -= QUAD, a += a_step) {
            UNROLL(3) for (int v = 0; v < nv; v++) av[v] = v_load(a + v * VL);
            UNROLL(16) for (int j = 0; j < cols; j++) {
                const vreal bv = v_repeat(groups[j / GROUP] + j % GROUP * ldb);
                UNROLL(3) for (int v = 0; v < nv; v++) acc[j][v] = v_fma(bv, av[v], acc[j][v]);
            }
            UNROLL(4) for (int n = 0; n < QUAD_GROUPS; n++) groups[n] += QUAD;
        }
    }
    if (last) {
        real rest[QUAD_MOST * QUAD];
        pack_fours(cols, last, groups[0], ldb, 1, rest);
        UNROLL(3) for (int v = 0; v < nv; v++) av[v] = v_load(a + v * VL);
        UNROLL(16) for (int j = 0; j < cols; j++) UNROLL(3) for (int v = 0; v < nv; v++)
            acc[j][v] = v_fma(v_repeat(rest + j * QUAD), av[v], acc[j][v]);
    }
    UNROLL(4) for (int j = 0; j < cols; j += QUAD) UNROLL(3) for (int v = 0; v < nv; v++) {
        vreal x[QUAD];
        UNROLL(4) for (int n = 0; n < QUAD; n++) x[n] = j + n < cols ? acc[j + n][v] : v_zero();
        v_store_quads(tile + j * VL + v * QUAD, VL, v_turn(v_sums_of_four(x)));
    }
}

typedef void (*quads_fn)(const real *a, ptrdiff_t a_step, const real *b, ptrdiff_t ldb, ptrdiff_t k, real *tile);
#define QUADS_FN(nv, cols)                                                                             \
    NOINLINE void quads_##nv##_##cols(const real *a, ptrdiff_t a_step, const real *b, ptrdiff_t ldb,    \
                                      ptrdiff_t k, real *tile) {                                       \
        few_quads(cols, nv, a, a_step, b, ldb, k, tile);                                               \
    }
#define QUADS_1(cols) QUADS_FN(1, cols)
#define QUADS_2(cols) QUADS_FN(2, cols)
#define QUADS_3(cols) QUADS_FN(3, cols)
#define QUADS_ROW_1(cols) quads_1_##cols,
#define QUADS_ROW_2(cols) quads_2_##cols,
#define QUADS_ROW_3(cols) quads_3_##cols,
#define TILES_TO_12(X) TILES_TO_8(X) X(9) X(10) X(11) X(12)
TILES_TO_12(QUADS_1) TILES_TO_12(QUADS_2) TILES_TO_8(QUADS_3)
static const quads_fn QUADS[QUAD_VECTORS][QUAD_MOST] = { /* [nv - 1][cols - 1] */
    {TILES_TO_12(QUADS_ROW_1)}, {TILES_TO_12(QUADS_ROW_2)}, {TILES_TO_8(QUADS_ROW_3)}};

/* all of it, whatever there is of it */
INLINE void turn_tile(real *tile) {
    vreal x[VL];
    UNROLL(16) for (int i = 0; i < VL; i++) x[i] = v_load(tile + i * VL);
    v_transpose(x);
    UNROLL(16) for (int i = 0; i < VL; i++) v_store(tile + i * VL, x[i]);
}

/* steps i .. i+k-1 of columns j .. j+cols-1 of C, by vectors v0 .. v0+nv-1 of the packed A; added to the bias or to
 * what there is, a column or a row at a time, whichever lies together */
NOINLINE void few_tile(const fnn_few_args *g, const real *packed, ptrdiff_t vectors, ptrdiff_t v0,
                       ptrdiff_t nv, ptrdiff_t i, ptrdiff_t k, ptrdiff_t j, ptrdiff_t cols) {
    real tile[VL * VL] __attribute__((aligned(64)));
    const int down = g->c_row == 1;
    const ptrdiff_t r = v0 * QUAD_ROWS, rows = min_size(g->m - r, nv * QUAD_ROWS);
    const ptrdiff_t lines = down ? cols : rows, step = down ? g->c_col : g->c_row;
    const vmask width = v_first(down ? rows : cols);
    const real *bias = g->bias ? (const real *)g->bias + r * g->bias_row + j * g->bias_col : NULL;
    real *c = (real *)g->c + r * g->c_row + j * g->c_col;
    QUADS[nv - 1][cols - 1](packed + v0 * VL, vectors * VL, (const real *)g->b + j * g->ldb + i, g->ldb, k, tile);
    if (!down) turn_tile(tile);
    for (ptrdiff_t n = 0; n < lines; n++, c += step) {
        /* of one vector no more than was stored at once: a load waits for what was stored in parts */
        vreal x = down && nv == 1 ? v_load_quad(tile + n * VL) : v_load(tile + n * VL);
        if (i > 0) x = v_add(v_load_m(width, c), x);
        else if (bias) x = v_add(down == (g->bias_row != 0) ? v_load_m(width, bias) : v_set1(bias[n]), x);
        v_store_m(width, c, x);
    }
}

/* Blocks of k, as few as there is room for; tiles of columns, whose rows of B^T stay in cache while the
 * vectors of A go by. */
INLINE void few_many(const fnn_few_args *g) {
    real packed[QUAD_PACKED] __attribute__((aligned(64)));
    const ptrdiff_t vectors = (g->m + QUAD_ROWS - 1) / QUAD_ROWS;
    const ptrdiff_t groups = (vectors + QUAD_VECTORS - 1) / QUAD_VECTORS;
    const ptrdiff_t most = (vectors + groups - 1) / groups < QUAD_VECTORS ? QUAD_MOST : QUAD_COLUMNS;
    const ptrdiff_t room = QUAD_PACKED / (vectors * VL) * QUAD, blocks = (g->k + room - 1) / room;
    const ptrdiff_t depth = blocks > 1 ? ((g->k + blocks - 1) / blocks + QUAD - 1) / QUAD * QUAD : room;
    ptrdiff_t i = 0;
    do {
        const ptrdiff_t k = min_size(depth, g->k - i);
        pack_quads(g, i, k, vectors, packed);
        ptrdiff_t j = 0;
        for (ptrdiff_t left = (g->n + most - 1) / most; left > 0; left--) {
            const ptrdiff_t cols = (g->n - j + left - 1) / left;
            ptrdiff_t v = 0;
            for (ptrdiff_t rest = groups; rest > 0; rest--) {
                const ptrdiff_t nv = (vectors - v + rest - 1) / rest;
                few_tile(g, packed, vectors, v, nv, i, k, j, cols);
                v += nv;
            }
            j += cols;
        }
        i += depth;
    } while (i < g->k);
}
