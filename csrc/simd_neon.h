/* The SIMD vocabulary for NEON on aarch64, 32 registers of 16 bytes.
 *
 * The same names stand in every simd_<isa>.h. Neoverse N1 / V1 / Apple M1, cycles: fma latency
 * 4 / 4 / 4, throughput 2 / 4 / 4 a cycle; load 2 / 3 / 3 and store 1 / 2 / 2 a cycle; div f32x4
 * latency 10 / 10 / 10. There is no masked access: tails are loaded and stored by element.
 */
#ifndef FNN_SIMD_NEON_H
#define FNN_SIMD_NEON_H
#ifndef __aarch64__
#error "compile for aarch64"
#endif
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define FNN_ISA_NAME neon
#define NV 4 /* vectors of a panel */
#define MR 6 /* rows of the largest tile: 6 x 4 accumulators + 4 of B + 1 of A = 29 registers */

#define V_FN static inline __attribute__((always_inline, unused))

/* a mask is a vector of all-ones and all-zeros lanes */
#if FNN_F64
#define VL 2
typedef double real;
typedef uint64_t uword;
typedef float64x2_t vreal;
typedef uint64x2_t vmask;
#define V_(op) op##_f64
#define V_INT(op) op##_u64
#define V_TO_BITS vreinterpretq_u64_f64
#define V_OF_BITS vreinterpretq_f64_u64
#define V_MANT 52
#else
#define VL 4
typedef float real;
typedef uint32_t uword;
typedef float32x4_t vreal;
typedef uint32x4_t vmask;
#define V_(op) op##_f32
#define V_INT(op) op##_u32
#define V_TO_BITS vreinterpretq_u32_f32
#define V_OF_BITS vreinterpretq_f32_u32
#define V_MANT 23
#endif
#define V_MASK_ALL V_INT(vdupq_n)((uword)-1)

V_FN vreal v_zero(void) { return V_(vdupq_n)(0); }
V_FN vreal v_set1(real x) { return V_(vdupq_n)(x); }
V_FN vreal v_load(const real *p) { return V_(vld1q)(p); }
V_FN void v_store(real *p, vreal a) { V_(vst1q)(p, a); }
/* past the caches where the ISA can, which this one cannot */
V_FN void v_stream(real *p, vreal a) { v_store(p, a); }
V_FN void v_fence(void) {}

/* lanes 0 .. n-1, 0 <= n <= VL; masked-off lanes are not touched in memory and load as 0 */
V_FN vmask v_first(ptrdiff_t n) {
    static const uword lanes[] = {0, 1, 2, 3};
    return V_INT(vcltq)(V_INT(vld1q)(lanes), V_INT(vdupq_n)((uword)n));
}
V_FN vreal v_load_m(vmask m, const real *p) {
    uword on[VL];
    real x[VL];
    V_INT(vst1q)(on, m);
    for (int i = 0; i < VL; i++)
        x[i] = on[i] ? p[i] : 0;
    return v_load(x);
}
V_FN void v_store_m(vmask m, real *p, vreal a) {
    uword on[VL];
    real x[VL];
    V_INT(vst1q)(on, m);
    v_store(x, a);
    for (int i = 0; i < VL; i++)
        if (on[i])
            p[i] = x[i];
}

V_FN vreal v_add(vreal a, vreal b) { return V_(vaddq)(a, b); }
V_FN vreal v_sub(vreal a, vreal b) { return V_(vsubq)(a, b); }
V_FN vreal v_mul(vreal a, vreal b) { return V_(vmulq)(a, b); }
V_FN vreal v_div(vreal a, vreal b) { return V_(vdivq)(a, b); }
V_FN vreal v_sqrt(vreal a) { return V_(vsqrtq)(a); }
V_FN vreal v_fma(vreal a, vreal b, vreal c) { return V_(vfmaq)(c, a, b); }  /* a b + c */
V_FN vreal v_fnma(vreal a, vreal b, vreal c) { return V_(vfmsq)(c, a, b); } /* c - a b */
/* b where either is NaN: a comparison, for FMAX would return the NaN */
V_FN vreal v_max(vreal a, vreal b) { return V_(vbslq)(V_(vcgtq)(a, b), a, b); }
V_FN vreal v_min(vreal a, vreal b) { return V_(vbslq)(V_(vcltq)(a, b), a, b); }
V_FN vreal v_abs(vreal a) { return V_(vabsq)(a); }
V_FN vreal v_neg(vreal a) { return V_(vnegq)(a); }
/* what rounding took from the product p = a b */
V_FN vreal v_mul_low(vreal a, vreal b, vreal p) { return v_fma(a, b, v_neg(p)); }
/* |a| with the sign of b */
V_FN vreal v_copysign(vreal a, vreal b) {
    return V_(vbslq)(V_TO_BITS(v_set1((real)-0.0)), b, a);
}
/* to the nearest integer, ties to even; |a| < 2^22 */
V_FN vreal v_round(vreal a) { return V_(vrndnq)(a); }
V_FN vreal v_floor(vreal a) { return V_(vrndmq)(a); }

V_FN vmask v_lt(vreal a, vreal b) { return V_(vcltq)(a, b); }
V_FN vmask v_gt(vreal a, vreal b) { return V_(vcgtq)(a, b); }
V_FN vmask v_eq(vreal a, vreal b) { return V_(vceqq)(a, b); }
V_FN vreal v_select(vmask m, vreal a, vreal b) { return V_(vbslq)(m, a, b); } /* m ? a : b */
V_FN vmask m_and(vmask a, vmask b) { return V_INT(vandq)(a, b); }
V_FN vmask m_or(vmask a, vmask b) { return V_INT(vorrq)(a, b); }
V_FN vmask m_not(vmask a) { return V_INT(veorq)(a, V_MASK_ALL); }

V_FN real v_sum(vreal a) { return V_(vaddvq)(a); } /* a fixed tree */
V_FN real v_largest(vreal a) { return V_(vmaxvq)(a); }

/* lane j of r[i] becomes lane i of r[j] */
#if FNN_F64
V_FN void v_transpose(vreal r[VL]) {
    vreal a = vzip1q_f64(r[0], r[1]), b = vzip2q_f64(r[0], r[1]);
    r[0] = a;
    r[1] = b;
}
#else
V_FN void v_transpose(vreal r[VL]) {
    vreal a = vzip1q_f32(r[0], r[2]), b = vzip2q_f32(r[0], r[2]);
    vreal c = vzip1q_f32(r[1], r[3]), d = vzip2q_f32(r[1], r[3]);
    r[0] = vzip1q_f32(a, c);
    r[1] = vzip2q_f32(a, c);
    r[2] = vzip1q_f32(b, d);
    r[3] = vzip2q_f32(b, d);
}
#endif

#if !FNN_F64
/* four numbers; the first of four rows that lie `stride` apart; in lane 0 the sum of all lanes */
V_FN vreal v_repeat(const real *p) { return v_load(p); }
V_FN vreal v_columns(const real *p, ptrdiff_t stride) {
    const real four[] = {p[0], p[stride], p[2 * stride], p[3 * stride]};
    return v_load(four);
}
V_FN vreal v_sums(vreal a) { return v_set1(v_sum(a)); }
#endif

/* the bits of a real as an integer, lane by lane, for simd_bits.h */
typedef vmask vint;
V_FN vint i_bits(vreal a) { return V_TO_BITS(a); }
V_FN vreal i_real(vint a) { return V_OF_BITS(a); }
V_FN vint i_add(vint a, vint b) { return V_INT(vaddq)(a, b); }
V_FN vint i_sub(vint a, vint b) { return V_INT(vsubq)(a, b); }
V_FN vint i_shl_mant(vint a) { return V_INT(vshlq_n)(a, V_MANT); } /* past the stored mantissa */
V_FN vint i_shr_mant(vint a) { return V_INT(vshrq_n)(a, V_MANT); } /* logical */
#include "simd_bits.h"

#if !FNN_F64
typedef uint8x16_t vindex; /* of bytes */
V_FN vindex v_index(vint i) {
    return vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x03020100), i, 0x04040404));
}
/* for a in [2, 32): 4 e + q where a = 2^(1+e) (1 + (q + f) / 4), 0 <= f < 1 */
V_FN vindex v_quarter(vreal a) {
    return v_index(vandq_u32(vshrq_n_u32(i_bits(a), 21), vdupq_n_u32(15)));
}
/* for a = 1.5 2^20 + n / 8, as rounding leaves it: n */
V_FN vindex v_eighths(vreal a) { return v_index(vandq_u32(i_bits(a), vdupq_n_u32(7))); }
#define V_EXP_TABLE
/* table[i mod 8] */
V_FN vreal v_lookup8(const real *table, vindex i) {
    return vreinterpretq_f32_u8(vqtbl2q_u8(vld1q_u8_x2((const uint8_t *)table), i));
}
/* table[i mod 16] */
V_FN vreal v_lookup(const real *table, vindex i) {
    return vreinterpretq_f32_u8(vqtbl4q_u8(vld1q_u8_x4((const uint8_t *)table), i));
}
#endif

#if FNN_BF16
V_FN vreal v_even(vreal a, vreal b) { return vuzp1q_f32(a, b); } /* every other lane of a, then of b */
V_FN vreal v_odd(vreal a, vreal b) { return vuzp2q_f32(a, b); }
V_FN vint i_set1(uint32_t a) { return vdupq_n_u32(a); }
V_FN vint i_and(vint a, vint b) { return vandq_u32(a, b); }
V_FN vint i_or(vint a, vint b) { return vorrq_u32(a, b); }
V_FN vint i_shl16(vint a) { return vshlq_n_u32(a, 16); }
V_FN vint i_shr16(vint a) { return vshrq_n_u32(a, 16); }
#include "simd_bf16.h"
#endif

#endif
