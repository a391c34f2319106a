/* Taking numbers apart and putting them together where no instruction does it (all but AVX-512).
 *
 * Written over i_bits, i_real, i_add, i_sub, i_shl_mant, i_shr_mant of the header that includes it.
 * Adding MAGIC = 1.5 2^V_MANT to an integral real n, |n| < 2^(V_MANT-1), leaves n in the low bits.
 */
#ifndef FNN_SIMD_BITS_H
#define FNN_SIMD_BITS_H

#if FNN_F64
#define V_BIAS 1023
#define V_MAGIC 0x1.8p52
#define V_MIN_NORMAL 0x1p-1022
#define V_SQRT_HALF 0x1.6a09e667f3bcdp-1
#else
#define V_BIAS 127
#define V_MAGIC 0x1.8p23f
#define V_MIN_NORMAL 0x1p-126f
#define V_SQRT_HALF 0x1.6a09e6p-1f
#endif

/* 2^n for integral n of a normal result */
V_FN vreal v_pow2(vreal n) {
    return i_real(i_shl_mant(i_bits(v_add(n, v_set1(V_MAGIC + V_BIAS)))));
}

/* a 2^n for integral n, |n| < 2 V_BIAS, rounded once: the first product is exact for |a| near 1 */
V_FN vreal v_scale(vreal a, vreal n) {
    vreal half = v_round(v_mul(n, v_set1((real)0.5)));
    return v_mul(v_mul(a, v_pow2(half)), v_pow2(v_sub(n, half)));
}

/* a = m 2^e for finite a > 0: returns m in [sqrt(1/2), sqrt(2)) and sets the integral e */
V_FN vreal v_split(vreal a, vreal *e) {
    vmask tiny = v_lt(a, v_set1(V_MIN_NORMAL)); /* subnormal: no leading one to find */
    a = v_select(tiny, v_mul(a, v_set1((real)(1ull << V_MANT))), a);
    vint bias = i_bits(v_set1(1)), bits = i_bits(a);
    vint k = i_shr_mant(i_add(i_sub(bits, i_bits(v_set1(V_SQRT_HALF))), bias)); /* e + V_BIAS > 0 */
    vreal shift = v_select(tiny, v_set1(V_MAGIC + V_BIAS + V_MANT), v_set1(V_MAGIC + V_BIAS));
    *e = v_sub(i_real(i_add(k, i_bits(v_set1(V_MAGIC)))), shift);
    return i_real(i_sub(bits, i_sub(i_shl_mant(k), bias)));
}

#endif
