/* Elementary functions of a vector, to within 2 ulp (silu 3) in float32 and float64, with or
 * without FMA; tests/ulp.c measures them.
 *
 * exp(x) = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2]
 *     ln 2 is split in two: n LN2_HIGH is exact, for LN2_HIGH ends in as many zeros as n has bits,
 *     and so is its subtraction. e^r - 1 = r + r^2 Q(r).
 * log(m 2^e) = e ln 2 + log(1 + f),  f = m - 1 in [sqrt(1/2) - 1, sqrt(2) - 1]
 *     log(1 + f) = 2 atanh(s), s = f / (2 + f); written as f - (f^2/2 - s (f^2/2 + z R(z))),
 *     z = s^2, the last subtraction is from the exact f.
 * tanh(x) in float32: a = |x| lies in one of 16 intervals, four to a binade of 2 + 3.25 a, and
 *     tanh(a) = C(a - middle), both looked up in tables, which a register holds: no division, and
 *     half the operations of the other way. Middles have few bits, so that a - middle is exact, and
 *     are where tanh is closest to a float, which is c[0]; the first is 0, and tiny x stay exact.
 * tanh(x) in float64, which would need twelve tables: x - x^3 N(x^2) / D(x^2) for |x| < 5/8, else
 *     1 - 2 / (e^2x + 1) with x's sign; one division serves both.
 *
 * Q, R, C, N, D: least worst relative error, each coefficient rounded before the next ones are fitted.
 */
#include <math.h>

#if FNN_F64
#define EXP_LOW -754.0 /* x e^x rounds to zero below */
#define EXP_HIGH 710.0 /* e^x overflows above */
#define TANH_HIGH 20.0 /* tanh rounds to 1 above */
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
static const real exp_q[] = {
    0.5, 0x1.5555555555559p-3, 0x1.555555555554fp-5, 0x1.111111110f653p-7,
    0x1.6c16c16c19d02p-10, 0x1.a01a01b004d3bp-13, 0x1.a01a01925b20bp-16, 0x1.71ddf80ab1ba4p-19,
    0x1.27e50a4ddc1bcp-22, 0x1.af5f36aea47c2p-26, 0x1.1f278b3c1734cp-29};
static const real log_r[] = {
    0x1.5555555555593p-1, 0x1.999999997fa56p-2, 0x1.2492494221071p-2, 0x1.c71c51e1d4ad6p-3,
    0x1.7466473751f06p-3, 0x1.39a0de395eb46p-3, 0x1.2f0e54d246fa4p-3};
static const real tanh_n[] = {1, 0x1.f7ba92f4a644p-5, 0x1.3923a17c47e18p-11};
static const real tanh_d[] = {0x1.8000000000002p+1, 0x1.626cb0fa22bcep+0, 0x1.1e2bb7778c93p-4,
                              0x1.44b2de46afa9ap-11};
#else
#define EXP_LOW -110.0f
#define EXP_HIGH 89.0f
#define TANH_HIGH 9.2f
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
static const real exp_q[] = {0.5f, 0x1.555554p-3f, 0x1.5554f4p-5f, 0x1.111318p-7f,
                             0x1.6d3ed2p-10f, 0x1.9de298p-13f};
static const real log_r[] = {0x1.55557ap-1f, 0x1.995ecep-2f, 0x1.31e1d6p-2f};
/* at TANH_HIGH, where 2 + 3.25 a is still below 32, tanh is 1 */
static const _Alignas(64) real tanh_middle[16] = {
    0, 0x1.d8p-3f, 0x1.8p-2f, 0x1.12p-1f,
    0x1.82p-1f, 0x1.0ep+0f, 0x1.68p+0f, 0x1.b4p+0f,
    0x1.108p+1f, 0x1.638p+1f, 0x1.b38p+1f, 0x1.004p+2f,
    0x1.3b4p+2f, 0x1.89cp+2f, 0x1.d88p+2f, 0x1.148p+3f};
static const _Alignas(64) real tanh_c[][16] = {
    {0, 0x1.cfd122p-3f, 0x1.6ef53ep-2f, 0x1.f50e62p-2f,
     0x1.4662fp-1f, 0x1.9136eap-1f, 0x1.c5fce8p-1f, 0x1.df20fep-1f,
     0x1.f1b598p-1f, 0x1.fc0d9ap-1f, 0x1.feddb8p-1f, 0x1.ffa8c6p-1f,
     0x1.fff232p-1f, 0x1.fffedp-1f, 0x1.ffffe6p-1f, 0x1.fffffep-1f},
    {1, 0x1.e5bd5p-1f, 0x1.be3fbcp-1f, 0x1.8569d6p-1f,
     0x1.2fefeep-1f, 0x1.8b32f4p-2f, 0x1.b5cde6p-3f, 0x1.fd0e1p-4f,
     0x1.c2eae4p-5f, 0x1.f740e6p-7f, 0x1.21f634p-8f, 0x1.5cc9e2p-10f,
     0x1.b9c9cp-13f, 0x1.300daap-16f, 0x1.9f2d6cp-20f, 0x1.0c98ep-23f},
    {0x1.d52e3cp-21f, -0x1.b8070ep-3f, -0x1.3fd578p-2f, -0x1.7d1638p-2f,
     -0x1.8380c8p-2f, -0x1.35b066p-2f, -0x1.84338ep-3f, -0x1.dc5fd8p-4f,
     -0x1.b650e6p-5f, -0x1.f34e3ep-7f, -0x1.214d18p-8f, -0x1.5c6dc4p-10f,
     -0x1.b87ff6p-13f, -0x1.2f5c2cp-16f, -0x1.9593aep-20f, -0x1.907198p-23f},
    {-0x1.5562a4p-2f, -0x1.120486p-2f, -0x1.6dc568p-3f, -0x1.24849ap-4f,
     0x1.632972p-5f, 0x1.bb95c8p-4f, 0x1.8cadap-4f, 0x1.14202ep-4f,
     0x1.13dff6p-5f, 0x1.47a9dcp-7f, 0x1.7fce1cp-9f, 0x1.d01586p-11f,
     0x1.2567c6p-13f, 0x1.94515ep-17f, 0x1.14afaep-20f, 0x1.3f76dap-24f},
    {0x1.cac8b2p-11f, 0x1.0df752p-3f, 0x1.57c6f2p-3f, 0x1.441416p-3f,
     0x1.9344cap-4f, 0x1.0c7fdep-6f, -0x1.6f626p-6f, -0x1.8d1ed8p-6f,
     -0x1.ea37aap-7f, -0x1.421abcp-8f, -0x1.81cc7cp-10f, -0x1.da0ce8p-12f,
     -0x1.3b3faep-14f, -0x1.b0ea38p-18f, -0x1.560b18p-21f, 0x1.03c732p-23f},
    {0x1.06be86p-3f, 0x1.519dd4p-4f, 0x1.0bb712p-6f, -0x1.33e16ep-5f,
     -0x1.0352f6p-4f, -0x1.33e7cap-5f, -0x1.26b358p-7f, 0x1.68331ap-9f,
     0x1.1c5e76p-8f, 0x1.e7c92ap-10f, 0x1.39f43p-11f, 0x1.74fb66p-13f,
     0x1.fa7b7ep-16f, 0x1.59c178p-19f, 0x1.d113b2p-23f, 0x1.0c2546p-24f}};
#endif
#define COUNT(c) ((int)(sizeof(c) / sizeof *(c)))

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
INLINE vreal v_poly(vreal x, const real *c, int n) {
    vreal y = v_set1(c[n - 1]);
    UNROLL(16) for (int i = n - 2; i >= 0; i--) y = v_fma(y, x, v_set1(c[i]));
    return y;
}

/* e^x = (1 + p) 2^n for EXP_LOW <= x <= EXP_HIGH: returns p, sets n */
INLINE vreal v_exp_parts(vreal x, vreal *n) {
    *n = v_round(v_mul(x, v_set1(LOG2_E)));
    vreal r = v_fnma(*n, v_set1(LN2_HIGH), x);
    r = v_fnma(*n, v_set1(LN2_LOW), r);
    return v_fma(v_mul(r, r), v_poly(r, exp_q, COUNT(exp_q)), r);
}

INLINE vreal v_exp(vreal x) {
    vreal n;
    x = v_min(v_set1(EXP_HIGH), v_max(v_set1(EXP_LOW), x)); /* a NaN passes */
    vreal p = v_exp_parts(x, &n);
    return v_scale(v_add(v_set1(1), p), n);
}

/* e^-|x|, which cannot overflow */
INLINE vreal v_exp_fall(vreal x) {
    vreal n;
    vreal p = v_exp_parts(v_max(v_set1(EXP_LOW), v_neg(v_abs(x))), &n);
    return v_scale(v_add(v_set1(1), p), n);
}

/* e^x - 1 for x <= EXP_HIGH */
INLINE vreal v_expm1(vreal x) {
    vreal n;
    vreal p = v_exp_parts(v_max(v_set1(-2 * TANH_HIGH), x), &n);
    vreal s = v_pow2(n);
    return v_fma(s, p, v_sub(s, v_set1(1)));
}

/* k ln 2 + log(1 + f) for f in [sqrt(1/2) - 1, sqrt(2) - 1] and integral k */
INLINE vreal v_log_sum(vreal f, vreal k) {
    vreal s = v_div(f, v_add(v_set1(2), f)), z = v_mul(s, s);
    vreal half = v_mul(v_mul(v_set1((real)0.5), f), f);
    vreal r = v_mul(z, v_poly(z, log_r, COUNT(log_r)));
    vreal low = v_fma(s, v_add(half, r), v_mul(k, v_set1(LN2_LOW)));
    return v_fma(k, v_set1(LN2_HIGH), v_sub(f, v_sub(half, low)));
}

INLINE vreal v_log(vreal x) {
    vreal e, infinity = v_set1((real)INFINITY), zero = v_zero();
    vreal m = v_split(x, &e);
    vreal y = v_log_sum(v_sub(m, v_set1(1)), e);
    y = v_select(v_lt(x, infinity), y, x); /* infinity and NaN as they are */
    y = v_select(v_lt(x, zero), v_set1((real)NAN), y);
    return v_select(v_eq(x, zero), v_neg(infinity), y);
}

/* log(1 + z) for 0 <= z <= 1; 1 + z is never rounded: (1 + z) / 2 - 1 is exact where it is used */
INLINE vreal v_log1p(vreal z) {
    vmask large = v_gt(z, v_set1((real)0.41421356237309505));
    vreal half = v_mul(v_set1((real)0.5), v_sub(z, v_set1(1)));
    return v_log_sum(v_select(large, half, z), v_select(large, v_set1(1), v_zero()));
}

/* z / (1 + z) of z = e^-|x|: sigmoid(-|x|); w - w q is then sigmoid(x), without cancellation,
 * with w = z for negative x and 1 for the others */
INLINE vreal v_sigmoid(vreal x) {
    vreal z = v_exp_fall(x), q = v_div(z, v_add(v_set1(1), z));
    vreal w = v_select(v_lt(x, v_zero()), z, v_set1(1));
    return v_fnma(w, q, w);
}

#if FNN_F64
INLINE vreal v_tanh(vreal x) {
    vreal n, one = v_set1(1), two = v_set1(2);
    vreal a = v_min(v_set1(TANH_HIGH), v_abs(x)), z = v_mul(a, a);
    vreal p = v_exp_parts(v_mul(two, a), &n), s = v_pow2(n);
    vmask small = v_lt(a, v_set1((real)0.625));
    vreal num = v_select(small, v_mul(v_mul(a, z), v_poly(z, tanh_n, COUNT(tanh_n))), two);
    vreal den = v_select(small, v_poly(z, tanh_d, COUNT(tanh_d)), v_fma(s, p, v_add(s, one)));
    return v_copysign(v_sub(v_select(small, a, one), v_div(num, den)), x);
}
#else
INLINE vreal v_tanh(vreal x) {
    vreal a = v_min(v_set1(TANH_HIGH), v_abs(x));
    vindex k = v_quarter(v_fma(a, v_set1(3.25f), v_set1(2)));
    vreal t = v_sub(a, v_lookup(tanh_middle, k)), y = v_lookup(tanh_c[5], k);
    UNROLL(8) for (int i = 4; i >= 0; i--) y = v_fma(y, t, v_lookup(tanh_c[i], k));
    return v_copysign(y, x);
}
#endif

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
INLINE vreal v_softplus(vreal x) {
    return v_add(v_max(v_zero(), x), v_log1p(v_exp_fall(x)));
}

/* x sigmoid(x); the power of two comes last, so that a subnormal result is rounded once */
INLINE vreal v_silu(vreal x) {
    vreal n, one = v_set1(1);
    vmask negative = v_lt(x, v_zero());
    vreal p = v_exp_parts(v_max(v_set1(EXP_LOW), v_neg(v_abs(x))), &n);
    vreal m = v_add(one, p), z = v_scale(m, n), q = v_div(z, v_add(one, z));
    vreal w = v_select(negative, m, one);
    vreal y = v_mul(v_max(v_set1(EXP_LOW), x), v_fnma(w, q, w));
    return v_scale(y, v_select(negative, n, v_zero()));
}
