/* The SIMD vocabulary for AVX2 + FMA, 16 registers of 32 bytes.
 *
 * The same names stand in every simd_<isa>.h. Haswell / Skylake / Zen 3, cycles: fma latency
 * 5 / 4 / 4, throughput 2 a cycle; load 2 / 2 / 3 and store 1 / 1 / 2 a cycle; div f32 latency
 * 21 / 11 / 10, one in 14 / 5 / 3.5; maskload as a load, maskstore slow on Zen: tails only.
 */
#ifndef FNN_SIMD_AVX2_H
#define FNN_SIMD_AVX2_H
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile with -mavx2 -mfma"
#endif
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define FNN_ISA_NAME avx2
#define NV 2 /* vectors of a panel */
/* A panel of B takes 22 KB of an L1 of 32 KB: a step of k has half the multiply-adds that AVX-512's has for a byte of
 * B, too few to hide L2. */
#define KC_BYTES (352 * sizeof(real))
#define MR 6 /* rows of the largest tile: 6 x 2 accumulators + 2 of B + 1 of A = 15 registers */

#define V_FN static inline __attribute__((always_inline, unused))

/* a mask is a vector of all-ones and all-zeros lanes */
#if FNN_F64
#define VL 4
typedef double real;
typedef __m256d vreal;
typedef __m256d vmask;
#define V_(op) _mm256_##op##_pd
#define V_INT(op) _mm256_##op##_epi64
#define V_TO_BITS _mm256_castpd_si256
#define V_OF_BITS _mm256_castsi256_pd
#define V_LANES _mm256_setr_epi64x(0, 1, 2, 3)
#define V_SET1_INT _mm256_set1_epi64x
#define V_MANT 52
#else
#define VL 8
typedef float real;
typedef __m256 vreal;
typedef __m256 vmask;
#define V_(op) _mm256_##op##_ps
#define V_INT(op) _mm256_##op##_epi32
#define V_TO_BITS _mm256_castps_si256
#define V_OF_BITS _mm256_castsi256_ps
#define V_LANES _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
#define V_SET1_INT _mm256_set1_epi32
#define V_MANT 23
#endif
#define V_MASK_ALL V_OF_BITS(_mm256_set1_epi32(-1))

V_FN vreal v_zero(void) { return V_(setzero)(); }
V_FN vreal v_set1(real x) { return V_(set1)(x); }
V_FN vreal v_load(const real *p) { return V_(loadu)(p); }
V_FN void v_store(real *p, vreal a) { V_(storeu)(p, a); }
/* past the caches, to an address aligned to the vector; v_fence() after the last one */
V_FN void v_stream(real *p, vreal a) { V_(stream)(p, a); }
V_FN void v_fence(void) { _mm_sfence(); }

/* lanes 0 .. n-1, 0 <= n <= VL; masked-off lanes are not touched in memory and load as 0 */
V_FN vmask v_first(ptrdiff_t n) { return V_OF_BITS(V_INT(cmpgt)(V_SET1_INT((int)n), V_LANES)); }
V_FN vreal v_load_m(vmask m, const real *p) { return V_(maskload)(p, V_TO_BITS(m)); }
V_FN void v_store_m(vmask m, real *p, vreal a) { V_(maskstore)(p, V_TO_BITS(m), a); }

V_FN vreal v_add(vreal a, vreal b) { return V_(add)(a, b); }
V_FN vreal v_sub(vreal a, vreal b) { return V_(sub)(a, b); }
V_FN vreal v_mul(vreal a, vreal b) { return V_(mul)(a, b); }
V_FN vreal v_div(vreal a, vreal b) { return V_(div)(a, b); }
V_FN vreal v_sqrt(vreal a) { return V_(sqrt)(a); }
V_FN vreal v_fma(vreal a, vreal b, vreal c) { return V_(fmadd)(a, b, c); }   /* a b + c */
V_FN vreal v_fnma(vreal a, vreal b, vreal c) { return V_(fnmadd)(a, b, c); } /* c - a b */
/* what rounding took from the product p = a b */
V_FN vreal v_mul_low(vreal a, vreal b, vreal p) { return V_(fmsub)(a, b, p); }
/* b where either is NaN */
V_FN vreal v_max(vreal a, vreal b) { return V_(max)(a, b); }
V_FN vreal v_min(vreal a, vreal b) { return V_(min)(a, b); }
V_FN vreal v_abs(vreal a) { return V_(andnot)(v_set1((real)-0.0), a); }
V_FN vreal v_neg(vreal a) { return V_(xor)(v_set1((real)-0.0), a); }
/* |a| with the sign of b */
V_FN vreal v_copysign(vreal a, vreal b) {
    return V_(or)(v_abs(a), V_(and)(v_set1((real)-0.0), b));
}
/* to the nearest integer, ties to even; |a| < 2^22 */
V_FN vreal v_round(vreal a) { return V_(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
V_FN vreal v_floor(vreal a) { return V_(round)(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

V_FN vmask v_lt(vreal a, vreal b) { return V_(cmp)(a, b, _CMP_LT_OQ); }
V_FN vmask v_gt(vreal a, vreal b) { return V_(cmp)(a, b, _CMP_GT_OQ); }
V_FN vmask v_eq(vreal a, vreal b) { return V_(cmp)(a, b, _CMP_EQ_OQ); }
V_FN vreal v_select(vmask m, vreal a, vreal b) { return V_(blendv)(b, a, m); } /* m ? a : b */
V_FN vmask m_and(vmask a, vmask b) { return V_(and)(a, b); }
V_FN vmask m_or(vmask a, vmask b) { return V_(or)(a, b); }
V_FN vmask m_not(vmask a) { return V_(xor)(a, V_MASK_ALL); }

#if FNN_F64
V_FN real v_sum(vreal a) { /* a fixed tree */
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
V_FN real v_largest(vreal a) {
    __m128d s = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_max_sd(s, _mm_unpackhi_pd(s, s)));
}
/* lane j of r[i] becomes lane i of r[j] */
V_FN void v_transpose(vreal r[VL]) {
    vreal a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    vreal c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}
#else
V_FN real v_sum(vreal a) { /* a fixed tree */
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
V_FN real v_largest(vreal a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
/* lane j of r[i] becomes lane i of r[j]: 4x4 blocks within halves, then the halves */
V_FN void v_transpose(vreal r[VL]) {
    vreal t[VL];
    #pragma GCC unroll 4
    for (int i = 0; i < VL; i += 4) {
        vreal a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        vreal c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
        vreal d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    #pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}
#endif

/* v_repeat: four numbers, VL / 4 times. v_columns: of four rows, VL / 4 numbers each, that lie `stride` apart:
 * lane 4 c + i is p[i * stride + c]. v_sums: lane c is the sum of lanes 4 c .. 4 c + 3, for c < VL / 4 */
#if FNN_F64
V_FN vreal v_repeat(const real *p) { return v_load(p); }
V_FN vreal v_columns(const real *p, ptrdiff_t stride) {
    return _mm256_setr_pd(p[0], p[stride], p[2 * stride], p[3 * stride]);
}
V_FN vreal v_sums(vreal a) {
    a = v_add(a, _mm256_permute2f128_pd(a, a, 0x01));
    return v_add(a, _mm256_permute_pd(a, 0x5));
}
#else
V_FN vreal v_repeat(const real *p) { return _mm256_broadcast_ps((const __m128 *)p); }
V_FN vreal v_columns(const real *p, ptrdiff_t stride) {
#define V_TWO(i) ((const __m64 *)(p + (i) * stride))
    const __m128 a = _mm_loadh_pi(_mm_loadl_pi(_mm_setzero_ps(), V_TWO(0)), V_TWO(1));
    const __m128 b = _mm_loadh_pi(_mm_loadl_pi(_mm_setzero_ps(), V_TWO(2)), V_TWO(3));
#undef V_TWO
    return _mm256_permutevar8x32_ps(_mm256_setr_m128(a, b), _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}
V_FN vreal v_sums(vreal a) {
    a = v_add(a, _mm256_permute_ps(a, 0xb1));
    a = v_add(a, _mm256_permute_ps(a, 0x4e));
    return _mm256_permutevar8x32_ps(a, _mm256_setr_epi32(0, 4, 0, 0, 0, 0, 0, 0));
}
#endif

/* v_steps: the products of V_STEPS steps of k of a tile, c[r][v] += A(r, i) B(i, v), A(r, i) at a[r * row + i * col],
 * rows of B b_row apart; returns b after them. In assembly, for the number of instructions: of the compiler's, with
 * moves, addresses and sums in memory, a core whose other hardware thread is busy does not begin enough. These are
 * 20.5 a step of 6 rows, which takes 6 cycles. */
#if !FNN_BF16
#define V_STEPS 8
#if FNN_F64
#define V_ONE "sd"
#define V_ALL "pd"
#else
#define V_ONE "ss"
#define V_ALL "ps"
#endif
#define V_ROW(i, r, sum0, sum1)                                                    \
    "vbroadcast" V_ONE " (\\i+" #i ")*%c[col]+" #r "*%c[row](%[a]), %%ymm15\n\t"   \
    "vfmadd231" V_ALL " %%ymm13, %%ymm15, " sum0 "\n\t"                            \
    "vfmadd231" V_ALL " %%ymm14, %%ymm15, " sum1 "\n\t"
#define V_ROWS_1(i) V_ROW(i, 0, "%0", "%1")
#define V_ROWS_2(i) V_ROWS_1(i) V_ROW(i, 1, "%2", "%3")
#define V_ROWS_3(i) V_ROWS_2(i) V_ROW(i, 2, "%4", "%5")
#define V_ROWS_4(i) V_ROWS_3(i) V_ROW(i, 3, "%6", "%7")
#define V_ROWS_5(i) V_ROWS_4(i) V_ROW(i, 4, "%8", "%9")
#define V_ROWS_6(i) V_ROWS_5(i) V_ROW(i, 5, "%10", "%11")
#define V_SUMS_1 "+x"(c[0][0]), "+x"(c[0][1])
#define V_SUMS_2 V_SUMS_1, "+x"(c[1][0]), "+x"(c[1][1])
#define V_SUMS_3 V_SUMS_2, "+x"(c[2][0]), "+x"(c[2][1])
#define V_SUMS_4 V_SUMS_3, "+x"(c[3][0]), "+x"(c[3][1])
#define V_SUMS_5 V_SUMS_4, "+x"(c[4][0]), "+x"(c[4][1])
#define V_SUMS_6 V_SUMS_5, "+x"(c[5][0]), "+x"(c[5][1])
#define V_STEP(mr, i, at) "vmovups (%[b]" at "), %%ymm13\n\tvmovups 32(%[b]" at "), %%ymm14\n\t" V_ROWS_##mr(i)
#define V_STEPS_OF(mr)                                                              \
    __asm__(".irp i,0,2,4,6\n\t" V_STEP(mr, 0, "") V_STEP(mr, 1, ",%[s]")           \
            "lea (%[b],%[s],2), %[b]\n\t.endr"                                      \
            : V_SUMS_##mr, [b] "+&r"(b)                                             \
            : [a] "r"(a), [s] "r"(b_row * (ptrdiff_t)sizeof(real)),                 \
              [row] "i"(row * (ptrdiff_t)sizeof(real)), [col] "i"(col * (ptrdiff_t)sizeof(real)) \
            : "xmm13", "xmm14", "xmm15", "memory")
V_FN const real *v_steps(const int mr, const ptrdiff_t row, const ptrdiff_t col, const real *a, const real *b,
                         const ptrdiff_t b_row, vreal (*c)[NV]) {
    if (mr == 1) V_STEPS_OF(1);
    if (mr == 2) V_STEPS_OF(2);
    if (mr == 3) V_STEPS_OF(3);
    if (mr == 4) V_STEPS_OF(4);
    if (mr == 5) V_STEPS_OF(5);
    if (mr == 6) V_STEPS_OF(6);
    return b;
}
#endif

#if !FNN_F64
typedef __m256i vindex;
/* for a in [2, 32): 4 e + q where a = 2^(1+e) (1 + (q + f) / 4), 0 <= f < 1 */
V_FN vindex v_quarter(vreal a) { return _mm256_srli_epi32(V_TO_BITS(a), 21); }
/* for a = 1.5 2^20 + n / 8, as rounding leaves it: n */
V_FN vindex v_eighths(vreal a) { return V_TO_BITS(a); }
#define V_EXP_TABLE
/* table[i mod 8] */
V_FN vreal v_lookup8(const real *table, vindex i) { return _mm256_permutevar8x32_ps(v_load(table), i); }
/* table[i mod 16] */
V_FN vreal v_lookup(const real *table, vindex i) {
    vreal low = _mm256_permutevar8x32_ps(v_load(table), i);
    vreal high = _mm256_permutevar8x32_ps(v_load(table + 8), i);
    return v_select(V_OF_BITS(_mm256_slli_epi32(i, 28)), high, low);
}
#endif

/* the bits of a real as an integer, lane by lane, for simd_bits.h */
typedef __m256i vint;
V_FN vint i_bits(vreal a) { return V_TO_BITS(a); }
V_FN vreal i_real(vint a) { return V_OF_BITS(a); }
V_FN vint i_add(vint a, vint b) { return V_INT(add)(a, b); }
V_FN vint i_sub(vint a, vint b) { return V_INT(sub)(a, b); }
V_FN vint i_shl_mant(vint a) { return V_INT(slli)(a, V_MANT); } /* past the stored mantissa */
V_FN vint i_shr_mant(vint a) { return V_INT(srli)(a, V_MANT); } /* logical */
#include "simd_bits.h"

#if FNN_BF16
/* every other lane of a, then of b */
V_FN vreal v_in_order(vreal halves) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(halves), 0xd8));
}
V_FN vreal v_even(vreal a, vreal b) { return v_in_order(_mm256_shuffle_ps(a, b, 0x88)); }
V_FN vreal v_odd(vreal a, vreal b) { return v_in_order(_mm256_shuffle_ps(a, b, 0xdd)); }
V_FN vint i_set1(uint32_t a) { return _mm256_set1_epi32((int)a); }
V_FN vint i_and(vint a, vint b) { return _mm256_and_si256(a, b); }
V_FN vint i_or(vint a, vint b) { return _mm256_or_si256(a, b); }
V_FN vint i_shl16(vint a) { return _mm256_slli_epi32(a, 16); }
V_FN vint i_shr16(vint a) { return _mm256_srli_epi32(a, 16); }
#include "simd_bf16.h"
#endif

#endif
