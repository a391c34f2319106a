/* Bfloat16 pairs where no instruction knows them (all but AVX512-BF16), with the same results as there.
 *
 * A word holds two bfloat16, the upper halves of float32s: the low half shifted up, and the high half
 * with the rest masked off, are their values. Products of two are exact in float32, so that v_fma
 * rounds once even where it is a product and a sum; subnormals count as zero where the CPU flushes
 * them, in training. Written over i_bits, i_real, i_add, i_and, i_or, i_shl16, i_shr16, i_set1.
 */
#ifndef FNN_SIMD_BF16_H
#define FNN_SIMD_BF16_H

V_FN vreal v_high(vreal a) { return i_real(i_and(i_bits(a), i_set1(0xffff0000))); }
V_FN vreal v_low(vreal a) { return i_real(i_shl16(i_bits(a))); }

/* c + high a high b + low a low b, in this order */
V_FN vreal v_dot2(vreal a, vreal b, vreal c) {
    return v_fma(v_low(a), v_low(b), v_fma(v_high(a), v_high(b), c));
}

/* to the nearest bfloat16, ties to even, in the high half; below it rubbish */
V_FN vreal v_to_bf16(vreal a) {
    vint bits = i_bits(a), odd = i_and(i_shr16(bits), i_set1(1));
    vreal rounded = i_real(i_add(bits, i_add(odd, i_set1(0x7fff))));
    vreal nan = i_real(i_or(bits, i_set1(0x00400000)));
    vreal zero = i_real(i_and(bits, i_set1(0x80000000)));
    rounded = v_select(v_eq(a, a), rounded, nan);
    return v_select(v_lt(v_abs(a), v_set1(0x1p-126f)), zero, rounded);
}

/* words of low[i] and high[i] */
V_FN vreal v_pair(vreal low, vreal high) {
    return i_real(i_or(i_shr16(i_bits(v_to_bf16(low))), i_bits(v_high(v_to_bf16(high)))));
}
/* words of neighbours: the lanes of a, then those of b */
V_FN vreal v_pair_next(vreal a, vreal b) { return v_pair(v_even(a, b), v_odd(a, b)); }

#endif
