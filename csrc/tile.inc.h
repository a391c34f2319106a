/* One tile of a matrix product, mr x nv vectors of C in registers.
 *
 * A step of k loads the nv vectors of B's panel row and broadcasts mr values of A, so that it does
 * mr * nv multiply-adds for mr + nv loads:
 *
 *     acc[r][v] += A(r, k) * B(k, v)     r < mr <= MR, v < nv <= NV
 *
 *     A(r, k) lies at a[r * P + k] (nn) or a[k * P + r] (tn): one base and constants, so that the
 *     compiler addresses all of it from one pointer; row-major a_row stands for P; MR * NV + NV + 1
 *     registers.
 *
 * In bfloat16 the elements of A and B are words, pairs of neighbours in k, which only v_mac looks
 * into: the tiles and their addresses are the same, with k in words.
 *
 * A tile adds its products in the order of k, from the bias or zero, and their sum to what C holds
 * where it accumulates: so a result does not depend on how m and n are cut. Accumulators that
 * begin with C would wait for it.
 */

#if FNN_BF16
enum { PRODUCTS = 2 }; /* of operands that are pairs */
#else
enum { PRODUCTS = 1 };
#endif
#ifndef V_STEPS
#define V_STEPS 0
#endif
#ifndef v_fma_in_place
#define v_fma_in_place v_fma
#endif

/* c + a b, where a meets nv vectors; one that meets a single vector can be broadcast by the addition itself, which
 * only the compiler's own does */
INLINE vreal v_mac(const int nv, vreal a, vreal b, vreal c) {
#if FNN_BF16
    (void)nv;
    return v_dot2(a, b, c);
#else
    return nv == 1 ? v_fma(a, b, c) : v_fma_in_place(a, b, c);
#endif
}

enum { PACK_AHEAD = 32 }; /* rows of B */

/* How A lies. */
enum { PANELS_NN, PANELS_TN, ROWS, LAYOUTS }; /* ROWS: of A or of A^T */

/* Lines of a matrix, to be fetched column of lines by column, a few at a time. */
typedef struct {
    const real *at;
    ptrdiff_t stride, rows; /* of the matrix */
    ptrdiff_t row;          /* that `at` lies in */
    ptrdiff_t left;         /* lines still to fetch */
    ptrdiff_t pace;         /* lines every P steps */
} walk;

typedef struct {
    ptrdiff_t k;
    const real *a;
    ptrdiff_t a_panel;
    ptrdiff_t a_row, a_col; /* of ROWS, from A(r, k) to A(r + 1, k), to A(r, k + 1) */
    const real *b;
    ptrdiff_t b_row;
    real *b_to; /* NULL, or where the panel of B is packed meanwhile, row stride P */
    const real *ahead, *ahead_end; /* lines to fetch meanwhile, one every two steps or V_STEPS */
    ptrdiff_t ahead_step; /* from one of them to the next; 0 where all are fetched */
    real *c;
    ptrdiff_t c_row;
    walk lines;       /* through a tile of C */
    walk *next;       /* through what the caller packs next */
    const real *bias; /* NULL: none */
    const real *s;    /* NULL, or relu's output where C is its gradient */
    real scale;       /* of that; 0: 1 */
    ptrdiff_t cols;   /* columns of this panel that exist, 1 .. P */
    int accumulate;   /* add to what C holds */
    int relu;
} tile_args;

/* mask of vector v where only `cols` columns exist */
INLINE vmask cols_mask(ptrdiff_t cols, int v) {
    ptrdiff_t left = cols - v * VL;
    return v_first(left < 0 ? 0 : left > VL ? VL : left);
}

/* Rows of A by groups, each from an address of its own */
enum { GROUP = 5, GROUPS = (MR + GROUP - 1) / GROUP };

INLINE void tile_step_by_groups(const int mr, const int nv, const ptrdiff_t row, const real *const *a,
                                const real *b, vreal (*acc)[NV]) {
    vreal bv[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) bv[v] = v_load(b + v * VL);
    UNROLL(16) for (int r = 0; r < mr; r++) {
        vreal av = v_set1(a[r / GROUP][r % GROUP * row]);
        UNROLL(4) for (int v = 0; v < nv; v++) acc[r][v] = v_mac(nv, av, bv[v], acc[r][v]);
    }
}

INLINE void tile_step(const int mr, const int nv, const ptrdiff_t row, const real *a, const real *b,
                      vreal (*acc)[NV]) {
    const real *groups[GROUPS];
    UNROLL(4) for (int g = 0; g < GROUPS; g++) groups[g] = a + g * GROUP * row;
    tile_step_by_groups(mr, nv, row, groups, b, acc);
}

/* Plain counting, no minimum: gcc would compute that in vector registers, and the branch on it then
 * waits behind the multiply-adds. */
INLINE void fetch_lines(walk *w, const int into_l1) {
    for (ptrdiff_t i = w->pace; w->left > 0 && i > 0; i--, w->left--) {
        into_l1 ? __builtin_prefetch(w->at, 0, 3) : __builtin_prefetch(w->at, 0, 2);
        if (++w->row < w->rows) {
            w->at += w->stride;
        } else {
            w->at += LINE - (w->rows - 1) * w->stride;
            w->row = 0;
        }
    }
}

/* Lines of A's next panel to fetch in some steps of P: in PANELS_NN all of a tile's rows begin new lines in the same
 * step, whose products would wait for L2. Few rows do not wait, and AVX2's tiles have no loads to spare. */
enum { FEW_LINES = 8 };
INLINE int lines_of_next(const int mr, const ptrdiff_t row, const int steps) {
    return row == P && mr > FEW_LINES ? (steps * mr + LINE - 1) / LINE : 0;
}

/* acc += A B over k steps, an even number, that lie at stride `col` in A; lines `ahead` are fetched meanwhile, and
 * into L1 those of A's next panel from `next_a` on. */
INLINE void tile_steps(const int mr, const int nv, const ptrdiff_t row, const ptrdiff_t col, ptrdiff_t k,
                       const real *a, const real *b, const ptrdiff_t b_row, const real *next_a,
                       const real *ahead, ptrdiff_t ahead_step, vreal (*acc)[NV]) {
    const int lines = lines_of_next(mr, row, 2);
    for (; k >= 2; k -= 2, a += 2 * col, b += 2 * b_row, ahead += ahead_step, next_a += lines * LINE) {
        __builtin_prefetch(ahead, 0, 2);
        tile_step(mr, nv, row, a, b, acc);
        tile_step(mr, nv, row, a + col, b + b_row, acc);
        UNROLL(4) for (int i = 0; i < lines; i++) __builtin_prefetch(next_a + i * LINE, 0, 3);
    }
}

/* The same of full panels of B for a multiple of V_STEPS, where there are such; a line of `ahead` for each. */
enum { WHOLE = V_STEPS > 0 ? V_STEPS : 1 };
INLINE void whole_steps(const int mr, const ptrdiff_t row, const ptrdiff_t col, ptrdiff_t k, const real *a,
                        const real *b, const ptrdiff_t b_row, const real *ahead, ptrdiff_t ahead_step,
                        vreal (*acc)[NV]) {
#if V_STEPS
    for (; k > 0; k -= V_STEPS, a += V_STEPS * col, ahead += ahead_step) {
        __builtin_prefetch(ahead, 0, 2);
        b = v_steps(mr, row, col, a, b, b_row, acc);
    }
#else
    (void)mr, (void)row, (void)col, (void)k, (void)a, (void)b, (void)b_row, (void)ahead, (void)ahead_step, (void)acc;
#endif
}

/* Groups of rows that lie `row` apart, which is no constant. Within a group they lie 1 to 4 times that apart,
 * which addresses can say; the compiler would keep an offset for each row of a tile, more than it has
 * registers for, so it must not see that groups have to do with each other. */
INLINE void part_rows(const int n, const real *a, ptrdiff_t row, const real **groups) {
    UNROLL(4) for (int g = 0; g < n; g++) {
        groups[g] = a + g * GROUP * row;
        FORGET(groups[g]);
    }
}

/* The same as tile_steps where `row` is no constant. */
INLINE void tile_steps_of_rows(const int mr, const int nv, const ptrdiff_t row, const ptrdiff_t col,
                               ptrdiff_t k, const real *a, const real *b, const ptrdiff_t b_row,
                               vreal (*acc)[NV]) {
    const real *groups[GROUPS];
    part_rows(GROUPS, a, row, groups);
    for (; k > 0; k--, b += b_row) {
        tile_step_by_groups(mr, nv, row, groups, b, acc);
        UNROLL(4) for (int g = 0; g < GROUPS; g++) groups[g] += col;
    }
}

/* The same for a full panel of B that is packed: its rows may lie far apart, which no prefetcher sees
 * coming. Into L2: in L1 they would crowd A. As in C, lines' last elements are asked for. */
INLINE void tile_steps_packing(const int mr, const ptrdiff_t row, const ptrdiff_t col, ptrdiff_t k,
                               const real *a, const real *b, const ptrdiff_t b_row, const real *next_a,
                               real *b_to, vreal (*acc)[NV]) {
    const int lines = lines_of_next(mr, row, 1);
    for (; k > 0; k--, a += col, b += b_row, b_to += P, next_a += lines * LINE) {
        UNROLL(4) for (int c = LINE - 1; c < P; c += LINE)
            __builtin_prefetch(b + PACK_AHEAD * b_row + c, 0, 2);
        UNROLL(4) for (int i = 0; i < lines; i++) __builtin_prefetch(next_a + i * LINE, 0, 3);
        tile_step(mr, NV, row, a, b, acc);
        UNROLL(4) for (int v = 0; v < NV; v++) v_store(b_to + v * VL, v_load(b + v * VL));
    }
}

/* from A(r, k) to A(r + 1, k), and to A(r, k + 1) within a panel */
INLINE ptrdiff_t row_step(const int layout, const tile_args *t) {
    return layout == PANELS_NN ? P : layout == PANELS_TN ? 1 : t->a_row;
}
INLINE ptrdiff_t col_step(const int layout, const tile_args *t) {
    return layout == PANELS_NN ? 1 : layout == PANELS_TN ? P : t->a_col;
}

/* acc, mr rows from row r0 on, by what happens on the way out into C; `full`: no column is masked. Rows are
 * walked through, or the compiler would keep an address for each. */
INLINE void finish(const int mr, const int nv, const int full, const vmask *mask, ptrdiff_t r0,
                   const tile_args *t, vreal (*acc)[NV]) {
    const ptrdiff_t row = t->c_row;
    real *c = t->c + r0 * row;
    if (t->accumulate) {
        const real *p = c;
        UNROLL(16) for (int r = 0; r < mr; r++, p += row) {
            FORGET(p);
            UNROLL(4) for (int v = 0; v < nv; v++)
                acc[r][v] = v_add(full ? v_load(p + v * VL) : v_load_m(mask[v], p + v * VL), acc[r][v]);
        }
    }
    if (t->relu) { /* 0 first: max gives its second argument where that is NaN */
        UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
            acc[r][v] = v_max(v_zero(), acc[r][v]);
    }
    if (t->s) {
        const real *s = t->s + r0 * row;
        UNROLL(16) for (int r = 0; r < mr; r++, s += row) {
            FORGET(s);
            UNROLL(4) for (int v = 0; v < nv; v++)
                acc[r][v] = relu_backward_1(v_load_m(mask[v], s + v * VL), acc[r][v]);
        }
        if (t->scale != 0) {
            const vreal scale = v_set1(t->scale);
            UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
                acc[r][v] = v_mul(scale, acc[r][v]);
        }
    }
    if (full) {
        UNROLL(16) for (int r = 0; r < mr; r++, c += row) {
            FORGET(c);
            UNROLL(4) for (int v = 0; v < nv; v++) v_store(c + v * VL, acc[r][v]);
        }
    } else {
        UNROLL(16) for (int r = 0; r < mr; r++, c += row) {
            FORGET(c);
            UNROLL(4) for (int v = 0; v < nv; v++) v_store_m(mask[v], c + v * VL, acc[r][v]);
        }
    }
}

/* t to the rows after the next mr */
INLINE void next_rows(const int layout, ptrdiff_t mr, tile_args *t) {
    t->a += mr * row_step(layout, t);
    t->c += mr * t->c_row;
    if (t->s) t->s += mr * t->c_row;
}

/* The last steps of k are taken by one half of the rows and then by the other. A queue of 64 places holds
 * stores until all that came before is done, a vector of 512 bits in two: those of a whole tile filled it, and
 * the next one's products could not begin. */
enum { TAIL = 4, /* steps at most, of which P is a multiple */
       UNSPLIT = 1024, /* bytes of C that need no halves */
       HALVES = MR * NV * sizeof(vreal) > UNSPLIT };

INLINE int first_half(const int mr, const int nv) {
    return mr * nv * (int)sizeof(vreal) > UNSPLIT ? (mr + 1) / 2 : mr;
}
/* of k steps; without halves what leaves an even number */
INLINE ptrdiff_t tail_of(const int halves, ptrdiff_t k) { return halves && k > 0 ? (k - 1) % TAIL + 1 : k % 2; }

/* the last k steps of mr rows, and these out into C */
INLINE void tile_end(const int r0, const int mr, const int nv, const int layout, const int packing,
                     ptrdiff_t k, const tile_args *t, vreal (*acc)[NV]) {
    FORGET(t);
    const ptrdiff_t row = row_step(layout, t), col = col_step(layout, t), done = t->k - k;
    const real *a = t->a + r0 * row + (layout == PANELS_NN ? done / P * t->a_panel + done % P : done * col);
    const real *b = t->b + done * t->b_row;
    if (packing) {
        tile_steps_packing(mr, row, col, k, a, b, t->b_row, a, t->b_to + done * P, acc + r0);
    } else if (layout == ROWS) {
        tile_steps_of_rows(mr, nv, row, col, k, a, b, t->b_row, acc + r0);
    } else {
        for (; k > 0; k--, a += col, b += t->b_row) tile_step(mr, nv, row, a, b, acc + r0);
    }
    FORGET(t);
    const int full = t->cols >= nv * VL;
    vmask mask[NV];
    UNROLL(4) for (int v = 0; v < nv; v++) mask[v] = cols_mask(t->cols, v);
    finish(mr, nv, full, mask, r0, t, acc + r0);
}

/* What of C the tile is to fetch: lines' last elements; where C is not aligned, the panel before fetched the
 * first. */
INLINE void begin_lines(const int mr, const int nv, tile_args *t) {
    if (t->lines.pace == 0) return;
    t->lines.at = t->c + min_size(LINE, nv * VL) - 1;
    t->lines.rows = mr;
    t->lines.row = 0;
    t->lines.left = mr * ((nv * VL + LINE - 1) / LINE);
}

INLINE void tile(const int mr, const int nv, const int layout, const int packing, tile_args *t) {
    vreal acc[MR][NV];
    UNROLL(16) for (int r = 0; r < mr; r++) UNROLL(4) for (int v = 0; v < nv; v++)
        acc[r][v] = v_zero();
    if (t->bias) {
        UNROLL(4) for (int v = 0; v < nv; v++) {
            vreal bias = v_load_m(cols_mask(t->cols, v), t->bias + v * VL);
            UNROLL(16) for (int r = 0; r < mr; r++) acc[r][v] = bias;
        }
    }

    const real *a = t->a, *b = t->b;
    real *b_to = t->b_to;
    const int half = packing ? mr : first_half(mr, nv);
    const ptrdiff_t tail = tail_of(half < mr, t->k);
    begin_lines(mr, nv, t);
    for (ptrdiff_t k = t->k - tail; k > 0; k -= P, b += P * t->b_row) {
        if (HALVES) FORGET(t); /* to read it again is cheaper than to have stored what there is no register for */
        const ptrdiff_t row = row_step(layout, t), col = col_step(layout, t), steps = min_size(k, P);
        fetch_lines(&t->lines, 1);
        fetch_lines(t->next, 0);
        const real *next_a = k + tail > P ? a + t->a_panel : a;
        if (packing) {
            tile_steps_packing(mr, row, col, steps, a, b, t->b_row, next_a, b_to, acc);
            b_to += P * P;
        } else if (layout == ROWS) {
            tile_steps_of_rows(mr, nv, row, col, steps, a, b, t->b_row, acc);
        } else if (V_STEPS && nv == NV && steps == P) {
            whole_steps(mr, row, col, P, a, b, t->b_row, t->ahead, t->ahead_step, acc);
            t->ahead += P / WHOLE * t->ahead_step;
        } else {
            tile_steps(mr, nv, row, col, steps, a, b, t->b_row, next_a, t->ahead, t->ahead_step, acc);
            if (HALVES) FORGET(t); /* again, or what is read above is kept meanwhile, where there is no room either */
            t->ahead += steps / 2 * t->ahead_step;
        }
        a += layout == PANELS_NN ? t->a_panel : P * col;
    }
    if (t->ahead >= t->ahead_end) t->ahead_step = 0;

    tile_end(0, half, nv, layout, packing, tail, t, acc);
    if (half < mr) tile_end(half, mr - half, nv, layout, 0, tail, t, acc);
}

/* A function for every tile height and way that A lies: for full panels, for those that fit into one vector,
 * and for full ones that it packs. It takes tiles one after the other. */
enum { FULL, NARROW, PACKING, KINDS };
typedef void (*tile_fn)(ptrdiff_t tiles, tile_args *);
#define TILE_FN(name, mr, nv, layout, packing)                           \
    NOINLINE void tile_##name##_##mr(ptrdiff_t tiles, tile_args *t) {    \
        for (; tiles > 0; tiles--, next_rows(layout, mr, t))             \
            tile(mr, nv, layout, packing, t);                            \
    }
#if FNN_BF16 /* its operands are made, and packed with that */
#define ROWS_FNS(mr)
#define ROWS_ROW(mr)
#else
#define ROWS_FNS(mr) \
    TILE_FN(rows, mr, NV, ROWS, 0) TILE_FN(rows_narrow, mr, 1, ROWS, 0)
#define ROWS_ROW(mr) {tile_rows_##mr, tile_rows_narrow_##mr, NULL},
#endif
#define TILE_FNS(mr)                                                                           \
    TILE_FN(nn, mr, NV, PANELS_NN, 0) TILE_FN(nn_narrow, mr, 1, PANELS_NN, 0)                  \
    TILE_FN(nn_packing, mr, NV, PANELS_NN, 1)                                                  \
    TILE_FN(tn, mr, NV, PANELS_TN, 0) TILE_FN(tn_narrow, mr, 1, PANELS_TN, 0)                  \
    TILE_FN(tn_packing, mr, NV, PANELS_TN, 1) ROWS_FNS(mr)
#define TILE_ROW(mr)                                                                           \
    {{tile_nn_##mr, tile_nn_narrow_##mr, tile_nn_packing_##mr},                                \
     {tile_tn_##mr, tile_tn_narrow_##mr, tile_tn_packing_##mr}, ROWS_ROW(mr)},
#define TILES_TO_4(X) X(1) X(2) X(3) X(4)
#define TILES_TO_6(X) TILES_TO_4(X) X(5) X(6)
#define TILES_TO_8(X) TILES_TO_6(X) X(7) X(8)
#define TILES_TO_14(X) TILES_TO_8(X) X(9) X(10) X(11) X(12) X(13) X(14)
#define TILES__(n) TILES_TO_##n
#define TILES_(n) TILES__(n)
#define TILES TILES_(MR)
TILES(TILE_FNS)
static const tile_fn TILE[MR][LAYOUTS][KINDS] = {TILES(TILE_ROW)}; /* [mr - 1][layout][kind] */
