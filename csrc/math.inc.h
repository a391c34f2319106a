/* Elementary functions and activations of a vector, to within 2 ulp (those of the form x f(x) 4,
 * gelu without FMA 5) in float32 and float64, with or without FMA; tests/ulp.c measures them.
 *
 * exp(x) = 2^n e^r,  n = round(x / ln 2),  r = x - n ln 2 in [-ln 2 / 2, ln 2 / 2]
 *     ln 2 is split in two: n LN2_HIGH is exact, for LN2_HIGH ends in as many zeros as n has bits,
 *     and so is its subtraction. e^r - 1 = r + r^2 Q(r).
 *     In float32, where no 1 is taken off again, n counts eighths of ln 2: of so small an r three terms of Q
 *     will do, and what 2^(n / 8) is but for its exponent is looked up in a table, which a register holds.
 *     (Not without FMA: sigmoid would be off by 2.03 ulp.)
 * log(m 2^e) = e ln 2 + log(1 + f),  f = m - 1 in [sqrt(1/2) - 1, sqrt(2) - 1]
 *     log(1 + f) = 2 atanh(s), s = f / (2 + f); written as f - (f^2/2 - s (f^2/2 + z R(z))),
 *     z = s^2, the last subtraction is from the exact f.
 * tanh(x) in float32: a = |x| lies in one of 16 intervals, four to a binade of 2 + 3.25 a, and
 *     tanh(a) = C(a - middle), both looked up in tables, which a register holds: no division, and
 *     half the operations of the other way. Middles have few bits, so that a - middle is exact, and
 *     are where tanh is closest to a float, which is c[0]; the first is 0, and tiny x stay exact.
 * tanh(x) in float64, which would need twelve tables: x - x^3 N(x^2) / D(x^2) for |x| < 5/8, else
 *     1 - 2 / (e^2x + 1) with x's sign; one division serves both.
 * Phi(-a) = e^(-a^2 / 2) M(a), the normal distribution's tail: M(a) = erfcx(a / sqrt(2)) / 2 (Mills'
 *     ratio but for a constant) falls from 1/2 as slowly as 1/a. (a + c) M(a) is nearly constant: a
 *     polynomial in (a - c) / (a + c) = 2 a t - 1, t = 1 / (a + c), which is exact where a is small.
 *
 * Q, R, C, N, D: least worst relative error, each coefficient rounded before the next ones are fitted.
 * M's polynomial: least squares at Chebyshev points, rounded likewise.
 */
#include <math.h>

#if FNN_F64
#define EXP_LOW -754.0 /* x e^x rounds to zero below */
#define EXP_HIGH 710.0 /* e^x overflows above */
#define TANH_HIGH 20.0 /* tanh rounds to 1 above */
#define LOG2_E 0x1.71547652b82fep+0
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define GELU_HIGH 38.8
#define GELU_TANH_HIGH 21.58
#define GELU_C1 0x1.9884533d43651p+0
#define GELU_C1_LOW -0x1.cbc0d30ebfd15p-54
#define GELU_C3 0x1.2444f2a4d8b4bp-4
#define GELU_C3_LOW -0x1.6c843a29d1c7p-61
#define SELU_LOWEST 0x1.c212cc640f031p+0
#define SELU_LOWEST_LOW 0x1.05161b045a1fep-56
#define MILLS_C 5.0
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
static const real mills_m[] = {
    0x1.89d3abe1f95aep-1, -0x1.54ad03f27ca17p-1, 0x1.fb31653876f7bp-2, -0x1.410ed5f875a1dp-2,
    0x1.51f6329f01b22p-3, -0x1.1b1c254c9d3b2p-4, 0x1.54b4d4f4b3081p-6, -0x1.88590ea54c415p-9,
    -0x1.a25037d32232dp-11, 0x1.1daf1c92db16cp-11, -0x1.f21461248dcdfp-15,
    -0x1.a1709a06b9f2cp-15, 0x1.17dd11af848acp-16, 0x1.0b218a72e4f42p-18, -0x1.73ac87bc6af86p-19,
    -0x1.68b05bddd4dbfp-22, 0x1.d10fdb2ddcd8ep-22, 0x1.637c0c8221f21p-25, -0x1.1bdec2b6bb5f3p-24,
    -0x1.29dd7e9a95627p-27, 0x1.0edea5817d7ddp-27, 0x1.aa77d848d898fp-30, -0x1.1a7906478e3dap-32};
#else
#define EXP_LOW -110.0f
#define EXP_HIGH 89.0f
#define TANH_HIGH 9.2f
#define LOG2_E 0x1.715476p+0f
#define LN2_HIGH 0x1.62ep-1f
#define LN2_LOW 0x1.0bfbe8p-15f
#define TO_EIGHTHS 0x1.8p20f /* added, it rounds to them */
#define GELU_HIGH 14.8f
#define GELU_TANH_HIGH 10.85f
#define GELU_C1 0x1.988454p+0f
#define GELU_C1_LOW -0x1.857936p-25f
#define GELU_C3 0x1.2444f2p-4f
#define GELU_C3_LOW 0x1.49b16ap-29f
#define SELU_LOWEST 0x1.c212ccp+0f
#define SELU_LOWEST_LOW 0x1.903c0cp-26f
#define MILLS_C 4.0f
static const real exp_q[] = {0.5f, 0x1.555554p-3f, 0x1.5554f4p-5f, 0x1.111318p-7f,
                             0x1.6d3ed2p-10f, 0x1.9de298p-13f};
#ifdef V_EXP_TABLE
static const real exp_q_near[] = {0.5f, 0x1.555556p-3f, 0x1.555556p-5f}; /* |r| <= ln 2 / 16 */
static const _Alignas(32) real exp_table[8] = { /* 2^(i / 8) */
    1, 0x1.172b84p+0f, 0x1.306fep+0f, 0x1.4bfdaep+0f,
    0x1.6a09e6p+0f, 0x1.8ace54p+0f, 0x1.ae89fap+0f, 0x1.d5818ep+0f};
#endif
static const real log_r[] = {0x1.55557ap-1f, 0x1.995ecep-2f, 0x1.31e1d6p-2f};
static const real mills_m[] = {
    0x1.82b4bcp-1f, -0x1.373e3ap-1f, 0x1.8c6d9cp-2f, -0x1.7dff56p-3f, 0x1.eed09cp-5f,
    -0x1.edf29ep-8f, -0x1.cb51ecp-9f, 0x1.a7221cp-10f, 0x1.79b5ep-13f, -0x1.90cc6ap-13f,
    -0x1.1362eep-15f};
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
/* Numbers with a _LOW are in two parts: gelu's tanh form has GELU_C1 = sqrt(8 / pi) and
 * GELU_C3 = 0.044715 sqrt(8 / pi); selu falls to -SELU_LOWEST = -SELU_SCALE alpha (Klambauer et al.
 * 2017). From -GELU_HIGH and -GELU_TANH_HIGH down x Phi(x) and its tanh form round to zero. */
#define LEAKY_SLOPE 0.2 /* Keras's negative_slope */
#define SELU_SCALE 1.0507009873554805
#define SOFTSIGN_HIGH 0x1p60f /* x / (1 + x) rounds to 1 above */
#define COUNT(c) ((int)(sizeof(c) / sizeof *(c)))

/* c[0] + c[1] x + ... + c[n-1] x^(n-1) */
INLINE vreal v_poly(vreal x, const real *c, int n) {
    vreal y = v_set1(c[n - 1]);
    UNROLL(16) for (int i = n - 2; i >= 0; i--) y = v_fma(y, x, v_set1(c[i]));
    return y;
}

/* x = n ln 2 + r: returns r, sets n */
INLINE vreal v_reduce(vreal x, vreal *n) {
    *n = v_round(v_mul(x, v_set1(LOG2_E)));
    return v_fnma(*n, v_set1(LN2_LOW), v_fnma(*n, v_set1(LN2_HIGH), x));
}

/* e^r - 1 of what v_reduce returns */
INLINE vreal v_expm1_reduced(vreal r) {
    return v_fma(v_mul(r, r), v_poly(r, exp_q, COUNT(exp_q)), r);
}

/* e^x = (1 + p) 2^n for EXP_LOW <= x <= EXP_HIGH: returns p, sets n */
INLINE vreal v_exp_parts(vreal x, vreal *n) { return v_expm1_reduced(v_reduce(x, n)); }

/* e^x for EXP_LOW <= x <= EXP_HIGH */
#ifdef V_EXP_TABLE
INLINE vreal v_exp_within(vreal x) {
    vreal t = v_fma(x, v_set1(LOG2_E), v_set1(TO_EIGHTHS)), n = v_sub(t, v_set1(TO_EIGHTHS));
    vreal r = v_fnma(n, v_set1(LN2_LOW), v_fnma(n, v_set1(LN2_HIGH), x));
    vreal p = v_fma(v_mul(r, r), v_poly(r, exp_q_near, COUNT(exp_q_near)), r);
    vreal e = v_lookup8(exp_table, v_eighths(t));
    return v_scale(v_fma(e, p, e), v_floor(n));
}
#else
INLINE vreal v_exp_within(vreal x) {
    vreal n, p = v_exp_parts(x, &n);
    return v_scale(v_add(v_set1(1), p), n);
}
#endif

INLINE vreal v_exp(vreal x) { /* a NaN passes */
    return v_exp_within(v_min(v_set1(EXP_HIGH), v_max(v_set1(EXP_LOW), x)));
}

/* e^-|x|, which cannot overflow */
INLINE vreal v_exp_fall(vreal x) { return v_exp_within(v_max(v_set1(EXP_LOW), v_neg(v_abs(x)))); }

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

/* e^-(a^2 / 2) = m 2^n for 0 <= a <= GELU_HIGH: returns m, sets n; a^2 is not rounded */
INLINE vreal v_gauss(vreal a, vreal *n) {
    vreal half = v_mul(v_set1((real)-0.5), a), x = v_mul(half, a);
    vreal r = v_add(v_reduce(x, n), v_mul_low(half, a, x));
    return v_add(v_set1(1), v_expm1_reduced(r));
}

/* M(a) for 0 <= a <= GELU_HIGH; what rounding took from a + c is made good in t */
INLINE vreal v_mills(vreal a) {
    vreal one = v_set1(1), c = v_set1(MILLS_C), s = v_add(a, c), t = v_div(one, s);
    vreal low = v_sub(v_min(a, c), v_sub(s, v_max(a, c)));
    t = v_fnma(v_mul(t, low), t, t);
    vreal u = v_mul(a, t);
    return v_mul(t, v_poly(v_sub(v_add(u, u), one), mills_m, COUNT(mills_m)));
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|) */
INLINE vreal v_softplus(vreal x) {
    return v_add(v_max(v_zero(), x), v_log1p(v_exp_fall(x)));
}

/* x s, s = sigmoid of a number of x's sign whose e^-|.| is (1 + p) 2^n; the power of two comes last,
 * so that a subnormal result is rounded once */
INLINE vreal v_gate(vreal x, vreal p, vreal n) {
    vreal one = v_set1(1), m = v_add(one, p), z = v_scale(m, n), q = v_div(z, v_add(one, z));
    vmask negative = v_lt(x, v_zero());
    vreal w = v_select(negative, m, one);
    return v_scale(v_mul(x, v_fnma(w, q, w)), v_select(negative, n, v_zero()));
}

/* x sigmoid(x) */
INLINE vreal v_silu(vreal x) {
    vreal n, p = v_exp_parts(v_max(v_set1(EXP_LOW), v_neg(v_abs(x))), &n);
    return v_gate(v_max(v_set1(EXP_LOW), x), p, n);
}

/* x Phi(x): x e^(-x^2 / 2) M(|x|) for negative x, x - x Phi(-x) for the others, without cancellation */
INLINE vreal v_gelu(vreal x) {
    vreal n, a = v_min(v_set1(GELU_HIGH), v_abs(x)), m = v_gauss(a, &n);
    m = v_mul(m, v_mills(a));
    vreal fall = v_scale(v_mul(v_neg(a), m), n);
    return v_select(v_lt(x, v_zero()), fall, v_fnma(a, v_scale(m, n), x));
}

/* x sigmoid(g), g = x (GELU_C1 + GELU_C3 x^2), which is x (1 + tanh(g / 2)) / 2. e^-|g| needs g to within
 * less than an ulp: what each operation rounds away is kept. */
INLINE vreal v_gelu_tanh(vreal x) {
    vreal n, a = v_min(v_set1(GELU_TANH_HIGH), v_abs(x)), c1 = v_set1(GELU_C1), c3 = v_set1(GELU_C3);
    vreal z = v_mul(a, a), t = v_mul(c3, z), c = v_add(c1, t), part = v_sub(c, c1);
    vreal low = v_add(v_sub(c1, v_sub(c, part)), v_sub(t, part)); /* of c */
    low = v_add(low, v_add(v_mul_low(c3, z, t), v_mul(c3, v_mul_low(a, a, z))));
    low = v_add(low, v_fma(v_set1(GELU_C3_LOW), z, v_set1(GELU_C1_LOW)));
    vreal g = v_mul(a, c);
    low = v_fma(a, low, v_mul_low(a, c, g));
    vreal p = v_expm1_reduced(v_sub(v_reduce(v_neg(g), &n), low));
    return v_gate(v_max(v_set1(-GELU_TANH_HIGH), x), p, n);
}

/* tanh(log(1 + e^x)) = w (1 - rest / den), of z = e^-|x|, w = z for negative x and 1 for the others */
INLINE vreal v_mish_parts(vmask negative, vreal z, vreal *den) {
    vreal one = v_set1(1), s = v_add(one, z), z2 = v_mul(z, z);
    *den = v_fma(s, s, v_select(negative, one, z2));
    return v_select(negative, v_mul(z, s), v_add(z2, z2));
}

/* x tanh(log(1 + e^x)) */
INLINE vreal v_mish(vreal x) {
    vreal n, den, p = v_exp_parts(v_max(v_set1(EXP_LOW), v_neg(v_abs(x))), &n);
    vreal one = v_set1(1), m = v_add(one, p);
    vmask negative = v_lt(x, v_zero());
    vreal rest = v_mish_parts(negative, v_scale(m, n), &den), w = v_select(negative, m, one);
    vreal y = v_mul(v_max(v_set1(EXP_LOW), x), v_fnma(w, v_div(rest, den), w));
    return v_scale(y, v_select(negative, n, v_zero()));
}

/* x where it lies in [low, high], else the nearer of them. v_max and v_min return their second argument
 * where one is NaN, so that NaN passes, here and in what follows. */
INLINE vreal v_clip(real low, real high, vreal x) {
    return v_min(v_set1(high), v_max(v_set1(low), x));
}

INLINE vreal v_relu(vreal x) { return v_max(v_zero(), x); }
INLINE vreal v_relu6(vreal x) { return v_clip(0, 6, x); }
INLINE vreal v_hard_tanh(vreal x) { return v_clip(-1, 1, x); }
INLINE vreal v_hard_sigmoid(vreal x) {
    return v_mul(v_relu6(v_add(x, v_set1(3))), v_set1((real)(1.0 / 6)));
}
/* 0 from -3 down, as it is, not -infinity times zero */
INLINE vreal v_hard_silu(vreal x) { return v_mul(v_max(v_set1(-3), x), v_hard_sigmoid(x)); }
INLINE vreal v_leaky_relu(vreal x) { return v_max(v_mul(v_set1((real)LEAKY_SLOPE), x), x); }

INLINE vreal v_elu(vreal x) {
    return v_select(v_gt(x, v_zero()), x, v_expm1(v_min(v_zero(), x)));
}
INLINE vreal v_selu(vreal x) {
    vreal e = v_expm1(v_min(v_zero(), x));
    vreal y = v_fma(v_set1(SELU_LOWEST), e, v_mul(v_set1(SELU_LOWEST_LOW), e));
    return v_select(v_gt(x, v_zero()), v_mul(v_set1((real)SELU_SCALE), x), y);
}

INLINE vreal v_log_sigmoid(vreal x) { return v_neg(v_softplus(v_neg(x))); }

/* 1 from SOFTSIGN_HIGH on, not infinity over infinity */
INLINE vreal v_softsign(vreal x) {
    x = v_clip(-SOFTSIGN_HIGH, SOFTSIGN_HIGH, x);
    return v_div(x, v_add(v_set1(1), v_abs(x)));
}
