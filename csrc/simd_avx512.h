/* The SIMD vocabulary for AVX-512 (F, VL, DQ, BW), 32 registers of 64 bytes.
 *
 * The same names stand in every simd_<isa>.h; kernels are written over them once. Zen 5 / Zen 4 /
 * Ice Lake, cycles: fma latency 4, throughput 2 / 1 / 1-2 a cycle; load 2 / 1 / 2; store
 * 1 / 0.5 / 1; div f32 one in 6 / 7 / 10, f64 one in 9 / 9 / 16; scalef, getexp and getmant as
 * an fma.
 */
#ifndef FNN_SIMD_AVX512_H
#define FNN_SIMD_AVX512_H
#ifndef __AVX512F__
#error "compile with -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma"
#endif
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512BF16__
#define FNN_ISA_NAME avx512bf16
#else
#define FNN_ISA_NAME avx512
#endif
#define NV 2  /* vectors of a panel */
#define MR 14 /* rows of the largest tile: 14 x 2 accumulators + 2 of B + 1 of A = 31 registers */

#define V_FN static inline __attribute__((always_inline, unused))

#if FNN_F64
#define VL 8
typedef double real;
typedef __m512d vreal;
typedef __mmask8 vmask;
#define V_(op) _mm512_##op##_pd
#define V_MASK_ALL ((vmask)0xff)
#define V_CMP _mm512_cmp_pd_mask
#define V_TERNARY _mm512_ternarylogic_epi64
#define V_TO_BITS _mm512_castpd_si512
#define V_OF_BITS _mm512_castsi512_pd
#else
#define VL 16
typedef float real;
typedef __m512 vreal;
typedef __m512i vindex;
typedef __mmask16 vmask;
#define V_(op) _mm512_##op##_ps
#define V_MASK_ALL ((vmask)0xffff)
#define V_CMP _mm512_cmp_ps_mask
#define V_TERNARY _mm512_ternarylogic_epi32
#define V_TO_BITS _mm512_castps_si512
#define V_OF_BITS _mm512_castsi512_ps
#endif
/* bit by bit: m ? a : b */
#define V_SELECT_BITS(m, a, b) V_OF_BITS(V_TERNARY(V_TO_BITS(m), V_TO_BITS(a), V_TO_BITS(b), 0xca))

V_FN vreal v_zero(void) { return V_(setzero)(); }
V_FN vreal v_set1(real x) { return V_(set1)(x); }
V_FN vreal v_load(const real *p) { return V_(loadu)(p); }
V_FN void v_store(real *p, vreal a) { V_(storeu)(p, a); }
/* past the caches, to an address aligned to the vector; v_fence() after the last one */
V_FN void v_stream(real *p, vreal a) { V_(stream)(p, a); }
V_FN void v_fence(void) { _mm_sfence(); }

/* lanes 0 .. n-1, 0 <= n <= VL; masked-off lanes are not touched in memory and load as 0 */
V_FN vmask v_first(ptrdiff_t n) { return (vmask)((1u << n) - 1u); }
V_FN vreal v_load_m(vmask m, const real *p) { return V_(maskz_loadu)(m, p); }
V_FN void v_store_m(vmask m, real *p, vreal a) { V_(mask_storeu)(p, m, a); }

V_FN vreal v_add(vreal a, vreal b) { return V_(add)(a, b); }
V_FN vreal v_sub(vreal a, vreal b) { return V_(sub)(a, b); }
V_FN vreal v_mul(vreal a, vreal b) { return V_(mul)(a, b); }
V_FN vreal v_div(vreal a, vreal b) { return V_(div)(a, b); }
V_FN vreal v_sqrt(vreal a) { return V_(sqrt)(a); }
V_FN vreal v_fma(vreal a, vreal b, vreal c) { return V_(fmadd)(a, b, c); }   /* a b + c */
/* The same in c's register: left to choose, the compiler puts sums into other ones and then runs out of them. */
V_FN vreal v_fma_in_place(vreal a, vreal b, vreal c) {
#if FNN_F64
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
#else
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
#endif
    return c;
}
#define v_fma_in_place v_fma_in_place /* there is one */
V_FN vreal v_fnma(vreal a, vreal b, vreal c) { return V_(fnmadd)(a, b, c); } /* c - a b */
/* what rounding took from the product p = a b */
V_FN vreal v_mul_low(vreal a, vreal b, vreal p) { return V_(fmsub)(a, b, p); }
/* b where either is NaN */
V_FN vreal v_max(vreal a, vreal b) { return V_(max)(a, b); }
V_FN vreal v_min(vreal a, vreal b) { return V_(min)(a, b); }
V_FN vreal v_abs(vreal a) { return V_(abs)(a); }
V_FN vreal v_neg(vreal a) { return V_(xor)(v_set1((real)-0.0), a); }
/* |a| with the sign of b */
V_FN vreal v_copysign(vreal a, vreal b) { return V_SELECT_BITS(v_set1((real)-0.0), b, a); }

V_FN vmask v_lt(vreal a, vreal b) { return V_CMP(a, b, _CMP_LT_OQ); }
V_FN vmask v_gt(vreal a, vreal b) { return V_CMP(a, b, _CMP_GT_OQ); }
V_FN vmask v_eq(vreal a, vreal b) { return V_CMP(a, b, _CMP_EQ_OQ); }
V_FN vreal v_select(vmask m, vreal a, vreal b) { return V_(mask_blend)(m, b, a); } /* m ? a : b */
V_FN vmask m_and(vmask a, vmask b) { return (vmask)(a & b); }
V_FN vmask m_or(vmask a, vmask b) { return (vmask)(a | b); }
V_FN vmask m_not(vmask a) { return (vmask)~a; }

V_FN real v_sum(vreal a) { return V_(reduce_add)(a); } /* a fixed tree */
V_FN real v_largest(vreal a) { return V_(reduce_max)(a); }

/* four numbers, VL / 4 times */
V_FN vreal v_repeat(const real *p) {
#if FNN_F64
    return _mm512_broadcast_f64x4(_mm256_loadu_pd(p));
#else
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
#endif
}
#if !FNN_F64
/* lane 4 i + j: lane 4 j + i of a */
V_FN vreal v_turn(vreal a) {
    const vindex turned = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_ps(turned, a);
}
/* four numbers, then zeros */
V_FN vreal v_load_quad(const real *p) { return _mm512_zextps128_ps512(_mm_loadu_ps(p)); }
/* four lanes at a time to p, p + stride, p + 2 stride, p + 3 stride */
V_FN void v_store_quads(real *p, ptrdiff_t stride, vreal a) {
    _mm_storeu_ps(p, _mm512_castps512_ps128(a));
    _mm_storeu_ps(p + stride, _mm512_extractf32x4_ps(a, 1));
    _mm_storeu_ps(p + 2 * stride, _mm512_extractf32x4_ps(a, 2));
    _mm_storeu_ps(p + 3 * stride, _mm512_extractf32x4_ps(a, 3));
}
/* lane 4 c + i: lane c of v_sums(a[i]) */
V_FN vreal v_sums_of_four(const vreal a[4]) {
    const vreal b = v_add(_mm512_shuffle_ps(a[0], a[1], 0x88), _mm512_shuffle_ps(a[0], a[1], 0xdd));
    const vreal c = v_add(_mm512_shuffle_ps(a[2], a[3], 0x88), _mm512_shuffle_ps(a[2], a[3], 0xdd));
    return v_add(_mm512_shuffle_ps(b, c, 0x88), _mm512_shuffle_ps(b, c, 0xdd));
}
#endif
/* columns of four rows, VL / 4 numbers each, that lie `stride` apart: lane 4 c + i is p[i * stride + c] */
V_FN vreal v_columns(const real *p, ptrdiff_t stride) {
#define V_ROW(i) _mm_loadu_si128((const __m128i *)(p + (i) * stride))
    __m512i a = _mm512_inserti32x4(_mm512_castsi128_si512(V_ROW(0)), V_ROW(1), 1);
    a = _mm512_inserti32x4(_mm512_inserti32x4(a, V_ROW(2), 2), V_ROW(3), 3);
#undef V_ROW
#if FNN_F64
    return V_OF_BITS(_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), a));
#else
    return v_turn(V_OF_BITS(a));
#endif
}
/* lane c: the sum of lanes 4 c .. 4 c + 3, for c < VL / 4 */
V_FN vreal v_sums(vreal a) {
#if FNN_F64
    a = v_add(a, _mm512_permute_pd(a, 0x55));
    a = v_add(a, _mm512_permutex_pd(a, 0x4e));
    return _mm512_permutexvar_pd(_mm512_setr_epi64(0, 4, 0, 0, 0, 0, 0, 0), a);
#else
    a = v_add(a, _mm512_permute_ps(a, 0xb1));
    a = v_add(a, _mm512_permute_ps(a, 0x4e));
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), a);
#endif
}

/* to the nearest integer, ties to even; |a| < 2^22 */
V_FN vreal v_round(vreal a) {
    return V_(roundscale)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
V_FN vreal v_floor(vreal a) {
    return V_(roundscale)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
/* 2^n for integral n of a normal result */
V_FN vreal v_pow2(vreal n) { return V_(scalef)(v_set1(1), n); }
/* a 2^n for integral n, rounded once */
V_FN vreal v_scale(vreal a, vreal n) { return V_(scalef)(a, n); }

/* a = m 2^e for finite a > 0: returns m in [sqrt(1/2), sqrt(2)) and sets the integral e */
V_FN vreal v_split(vreal a, vreal *e) {
    vreal m = V_(getmant)(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
    vmask large = v_gt(m, v_set1((real)0x1.6a09e667f3bcdp+0));
    *e = V_(getexp)(a);
    *e = V_(mask_add)(*e, large, *e, v_set1(1));
    return V_(mask_mul)(m, large, m, v_set1((real)0.5));
}

#if !FNN_F64
/* for a in [2, 32): 4 e + q where a = 2^(1+e) (1 + (q + f) / 4), 0 <= f < 1 */
V_FN vindex v_quarter(vreal a) { return _mm512_srli_epi32(V_TO_BITS(a), 21); }
/* for a = 1.5 2^20 + n / 8, as rounding leaves it: n */
V_FN vindex v_eighths(vreal a) { return V_TO_BITS(a); }
#define V_EXP_TABLE
/* table[i mod 8] */
V_FN vreal v_lookup8(const real *table, vindex i) {
    return _mm512_permutexvar_ps(i, _mm512_broadcast_f32x8(_mm256_load_ps(table)));
}
/* table[i mod 16] */
V_FN vreal v_lookup(const real *table, vindex i) {
    return _mm512_permutexvar_ps(i, v_load(table));
}
#endif

/* lane j of r[i] becomes lane i of r[j]: pairs of rows and 128-bit blocks, by halving distance */
#if FNN_F64
V_FN void v_transpose(vreal r[VL]) {
    vreal t[VL];
    #pragma GCC unroll 8
    for (int i = 0; i < VL; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 2; i++) { /* t[i + 2k]: column i + 2b of rows 2k and 2k+1 in block b */
        vreal a = _mm512_shuffle_f64x2(t[i], t[i + 2], 0x88);
        vreal b = _mm512_shuffle_f64x2(t[i], t[i + 2], 0xdd);
        vreal c = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0x88);
        vreal d = _mm512_shuffle_f64x2(t[i + 4], t[i + 6], 0xdd);
        r[i] = _mm512_shuffle_f64x2(a, c, 0x88);
        r[i + 4] = _mm512_shuffle_f64x2(a, c, 0xdd);
        r[i + 2] = _mm512_shuffle_f64x2(b, d, 0x88);
        r[i + 6] = _mm512_shuffle_f64x2(b, d, 0xdd);
    }
}
#else
V_FN void v_transpose(vreal r[VL]) {
    vreal t[VL];
    #pragma GCC unroll 8
    for (int i = 0; i < VL; i += 4) {
        vreal a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        vreal c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
        vreal d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    #pragma GCC unroll 8
    for (int i = 0; i < 4; i++) { /* t[i + 4k]: column i + 4b of rows 4k .. 4k+3 in block b */
        vreal a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
        vreal b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        vreal c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        vreal d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
#endif

/* pairs of bfloat16; VDPBF16PS latency 5-6, Zen 5 / Zen 4 2 / 1 a cycle; it flushes subnormals */
#if FNN_BF16 && defined(__AVX512BF16__)
V_FN vreal v_dot2(vreal a, vreal b, vreal c) { /* in place, as v_fma_in_place */
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
}
/* words of neighbours: the lanes of a, then those of b */
V_FN vreal v_pair_next(vreal a, vreal b) {
    return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(b, a));
}
/* words of low[i] and high[i] */
V_FN vreal v_pair(vreal low, vreal high) {
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    const __m512i order = _mm512_add_epi32(
        _mm512_mullo_epi32(_mm512_set1_epi32(0x00010001),
                           _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
        _mm512_set1_epi32(0x00100000));
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves));
}
#elif FNN_BF16
#define V_EVEN _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
/* every other lane of a, then of b */
V_FN vreal v_even(vreal a, vreal b) { return _mm512_permutex2var_ps(a, V_EVEN, b); }
V_FN vreal v_odd(vreal a, vreal b) {
    return _mm512_permutex2var_ps(a, _mm512_or_si512(V_EVEN, _mm512_set1_epi32(1)), b);
}
typedef __m512i vint;
V_FN vint i_bits(vreal a) { return _mm512_castps_si512(a); }
V_FN vreal i_real(vint a) { return _mm512_castsi512_ps(a); }
V_FN vint i_set1(uint32_t a) { return _mm512_set1_epi32((int)a); }
V_FN vint i_add(vint a, vint b) { return _mm512_add_epi32(a, b); }
V_FN vint i_and(vint a, vint b) { return _mm512_and_si512(a, b); }
V_FN vint i_or(vint a, vint b) { return _mm512_or_si512(a, b); }
V_FN vint i_shl16(vint a) { return _mm512_slli_epi32(a, 16); }
V_FN vint i_shr16(vint a) { return _mm512_srli_epi32(a, 16); }
#include "simd_bf16.h"
#endif

#endif
