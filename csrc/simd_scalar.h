/* The vocabulary in plain C, one lane: what every CPU runs, and the shape of the others.
 *
 * No FMA, so that it is the same on every CPU of its kind: v_fma rounds twice. SSE2 on Zen 5,
 * cycles: mul and add latency 3 and 2, throughput 2 a cycle each; div f32 latency 10, one in 3.
 */
#ifndef FNN_SIMD_SCALAR_H
#define FNN_SIMD_SCALAR_H
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "the kernels need float arithmetic in float: on 32-bit x86 compile with -msse2 -mfpmath=sse"
#endif

#define FNN_ISA_NAME scalar
#define NV 4 /* vectors of a panel */
#define MR 4 /* rows of the largest tile */
#define VL 1

#define V_FN static inline __attribute__((always_inline, unused))

#if FNN_F64
typedef double real;
typedef uint64_t vint;
#define V_(op) op
#define V_MANT 52
#else
typedef float real;
typedef uint32_t vint;
#define V_(op) op##f
#define V_MANT 23
#endif
typedef real vreal;
typedef int vmask;
#define V_MASK_ALL 1

V_FN vreal v_zero(void) { return 0; }
V_FN vreal v_set1(real x) { return x; }
V_FN vreal v_load(const real *p) { return *p; }
V_FN void v_store(real *p, vreal a) { *p = a; }
/* past the caches where the ISA can, which this one cannot */
V_FN void v_stream(real *p, vreal a) { v_store(p, a); }
V_FN void v_fence(void) {}

V_FN vmask v_first(ptrdiff_t n) { return n > 0; }
V_FN vreal v_load_m(vmask m, const real *p) { return m ? *p : 0; }
V_FN void v_store_m(vmask m, real *p, vreal a) { if (m) *p = a; }

V_FN vreal v_add(vreal a, vreal b) { return a + b; }
V_FN vreal v_sub(vreal a, vreal b) { return a - b; }
V_FN vreal v_mul(vreal a, vreal b) { return a * b; }
V_FN vreal v_div(vreal a, vreal b) { return a / b; }
V_FN vreal v_sqrt(vreal a) { return V_(sqrt)(a); }
V_FN vreal v_fma(vreal a, vreal b, vreal c) { return a * b + c; }  /* rounds twice: no FMA here */
V_FN vreal v_fnma(vreal a, vreal b, vreal c) { return c - a * b; }
/* what rounding took from the product p = a b; slow where the C library has no instruction for it */
V_FN vreal v_mul_low(vreal a, vreal b, vreal p) { return V_(fma)(a, b, -p); }
/* b where either is NaN */
V_FN vreal v_max(vreal a, vreal b) { return a > b ? a : b; }
V_FN vreal v_min(vreal a, vreal b) { return a < b ? a : b; }
V_FN vreal v_abs(vreal a) { return V_(fabs)(a); }
V_FN vreal v_neg(vreal a) { return -a; }
V_FN vreal v_copysign(vreal a, vreal b) { return V_(copysign)(a, b); } /* |a| with the sign of b */
/* to the nearest integer, ties to even; |a| < 2^22: SSE2 has no instruction, adding pushes the
 * fraction out */
V_FN vreal v_round(vreal a) {
    const real magic = (real)1.5 * (1ull << V_MANT);
    return a + magic - magic;
}

V_FN vmask v_lt(vreal a, vreal b) { return a < b; }
V_FN vmask v_gt(vreal a, vreal b) { return a > b; }
V_FN vmask v_eq(vreal a, vreal b) { return a == b; }
V_FN vreal v_select(vmask m, vreal a, vreal b) { return m ? a : b; } /* m ? a : b */
V_FN vmask m_and(vmask a, vmask b) { return a & b; }
V_FN vmask m_or(vmask a, vmask b) { return a | b; }
V_FN vmask m_not(vmask a) { return !a; }

V_FN real v_sum(vreal a) { return a; } /* a fixed tree */
V_FN real v_largest(vreal a) { return a; }

/* lane j of r[i] becomes lane i of r[j] */
V_FN void v_transpose(vreal r[VL]) { (void)r; }

/* the bits of a real as an integer, for simd_bits.h */
V_FN vint i_bits(vreal a) {
    vint b;
    memcpy(&b, &a, sizeof b);
    return b;
}
V_FN vreal i_real(vint a) {
    vreal b;
    memcpy(&b, &a, sizeof b);
    return b;
}
V_FN vint i_add(vint a, vint b) { return a + b; }
V_FN vint i_sub(vint a, vint b) { return a - b; }
V_FN vint i_shl_mant(vint a) { return a << V_MANT; } /* past the stored mantissa */
V_FN vint i_shr_mant(vint a) { return a >> V_MANT; }
#include "simd_bits.h"

#if !FNN_F64
typedef uint32_t vindex;
/* for a in [2, 32): 4 e + q where a = 2^(1+e) (1 + (q + f) / 4), 0 <= f < 1 */
V_FN vindex v_quarter(vreal a) { return i_bits(a) >> 21; }
/* table[i mod 16] */
V_FN vreal v_lookup(const real *table, vindex i) { return table[i % 16]; }
#endif

#if FNN_BF16
V_FN vreal v_even(vreal a, vreal b) { (void)b; return a; } /* every other lane of a, then of b */
V_FN vreal v_odd(vreal a, vreal b) { (void)a; return b; }
V_FN vint i_set1(uint32_t a) { return a; }
V_FN vint i_and(vint a, vint b) { return a & b; }
V_FN vint i_or(vint a, vint b) { return a | b; }
V_FN vint i_shl16(vint a) { return a << 16; }
V_FN vint i_shr16(vint a) { return a >> 16; }
#include "simd_bf16.h"
#endif

#endif
