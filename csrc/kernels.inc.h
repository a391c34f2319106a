/* Every kernel for one dtype and one ISA, and the table of them.
 *
 * A translation unit isa_<isa>.c includes simd_<isa>.h, the vocabulary, then this file; the build
 * compiles it for float32, with FNN_F64=1 for float64, and with FNN_BF16=1 for bfloat16.
 * Everything is static but the table.
 */
#include "fnn.h"

#if FNN_F64
#define FNN_DTYPE f64
#elif FNN_BF16
#define FNN_DTYPE bf16
#else
#define FNN_DTYPE f32
#endif

#define FNN_CAT4_(a, b, c, d) a##b##_##c##_##d
#define FNN_CAT4(a, b, c, d) FNN_CAT4_(a, b, c, d)
#define FNN_NAME(op) FNN_CAT4(fnn_, op, FNN_DTYPE, FNN_ISA_NAME)
#define FNN_STR_(x) #x
#define FNN_STR(x) FNN_STR_(x)

#define P (VL * NV)
#ifndef KC_BYTES
#define KC_BYTES 3328 /* of a row of A's block: less, and C goes through memory more often; more, and A and two
                         panels of B crowd L2 */
#endif
_Static_assert(P <= FNN_MAX_PANEL, "the callers' buffers are for panels of FNN_MAX_PANEL columns");
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define FNN_PRAGMA(x) _Pragma(#x)
#define UNROLL(n) FNN_PRAGMA(GCC unroll n)

/* The compiler no longer knows p's value, nor what lies there. */
#define FORGET(p) __asm__ volatile("" : "+r"(p))

enum { LINE = 64 / sizeof(real) }; /* reals of a cache line */

INLINE ptrdiff_t min_size(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* n elements, 1 <= n <= VL; a constant n = VL gives the plain load and store */
INLINE vreal load_first(ptrdiff_t n, const real *p) {
    return n == VL ? v_load(p) : v_load_m(v_first(n), p);
}

/* the first n elements, if so many fit, then zeros; any n */
INLINE vreal load_up_to(ptrdiff_t n, const real *p) {
    if (n >= VL) return v_load(p);
    return n > 0 ? v_load_m(v_first(n), p) : v_zero();
}

INLINE void store_first(ptrdiff_t n, real *p, vreal a) {
    if (n == VL) v_store(p, a);
    else v_store_m(v_first(n), p, a);
}

/* the first n elements, or all; any n */
INLINE void store_up_to(ptrdiff_t n, real *p, vreal a) {
    if (n >= VL) v_store(p, a);
    else if (n > 0) v_store_m(v_first(n), p, a);
}

#include "act.inc.h"
#include "tile.inc.h"
#include "slim.inc.h"
#include "gemm.inc.h"
#if FNN_BF16
#include "pair.inc.h"
#else
#include "pack.inc.h"
#include "few.inc.h"
#include "add.inc.h"
#include "convert.inc.h"
#include "sparse.inc.h"
#include "curve.inc.h"
#include "noise.inc.h"
#include "normalize.inc.h"
#include "embed.inc.h"
#include "loss.inc.h"
#endif
#include "optim.inc.h"
#include "gradient.inc.h"

#define FNN_FILL(name) .name = FNN_NAME(name),
#if FNN_BF16
#define FNN_FILL_REAL(name)
#define FNN_FILL_PAIR FNN_FILL
#else
#define FNN_FILL_REAL FNN_FILL
#define FNN_FILL_PAIR(name)
#endif
#define FNN_UNARY FNN_FILL
#define FNN_GRAD FNN_FILL
#define FNN_BINARY FNN_FILL_REAL
#define FNN_ROWS FNN_FILL
#define FNN_ROWS_GRAD FNN_FILL
#define FNN_GEMM FNN_FILL
#define FNN_PAIR FNN_FILL_PAIR
#define FNN_FEW FNN_FILL_REAL
#define FNN_PACK FNN_FILL_REAL
#define FNN_GATHER FNN_FILL_REAL
#define FNN_GATHER_FROM FNN_FILL_REAL
#define FNN_SPARSE FNN_FILL_REAL
#define FNN_SCATTER FNN_FILL_REAL
#define FNN_SCALE FNN_FILL_REAL
#define FNN_COLSUM FNN_FILL_REAL
#define FNN_CURVE FNN_FILL_REAL
#define FNN_CURVE_GRAD FNN_FILL_REAL
#define FNN_NOISE FNN_FILL_REAL
#define FNN_LAYER_NORM FNN_FILL_REAL
#define FNN_BATCH_NORM FNN_FILL_REAL
#define FNN_PRELU FNN_FILL_REAL
#define FNN_EMBED FNN_FILL_REAL
#define FNN_EMBED_GRADIENT FNN_FILL_REAL
#define FNN_LOSS FNN_FILL_REAL
#define FNN_METRIC FNN_FILL_REAL
#define FNN_OPTIM FNN_FILL_REAL
#define FNN_NORM FNN_FILL_REAL
#define FNN_GRADIENT FNN_FILL
#define FNN_PROBE FNN_FILL

extern const fnn_kernels FNN_NAME(kernels);
const fnn_kernels FNN_NAME(kernels) = {
    .isa = FNN_STR(FNN_ISA_NAME),
    .dtype = FNN_STR(FNN_DTYPE),
    .itemsize = sizeof(real),
    .vl = VL,
    .panel = P,
    .mr = MR,
    .kc = KC_BYTES / sizeof(real) / P * P,
    .slim = SLIM,
#include "kernels.def"
};
#include "kernels_undef.h"
