/* Random changes of training: elements dropped, and normal numbers added or multiplied.
 *
 * A number is a hash of the element's place in the batch under a key, so that whoever computes it,
 * forward or backward, on any thread and ISA, gets the same one and none is stored: an affine map of
 * 2^32 that the key chooses, then the two multiplications and three shifts of mix, which spread every
 * bit to all (C. Wellons, "hash prospector", the function of least bias of that form).
 *
 * A normal number is the hash's quantile by rational functions (M. Wichura, AS 241: PPND7, PPND16): of
 * p - 1/2 between 0.075 and 0.925, else of sqrt(-log p). 2^31 values of p on either side are enough
 * for 6.3 standard deviations, so that the third range of AS 241, beyond 8e-12, is never met.
 */
#include <string.h>

#define HALF_UNIT 0x1p-32 /* between two values of p */
#if FNN_F64
typedef uint64_t bits; /* of a real */
static const real quantile_num[][2] = { /* in the middle, in the tails */
    {2.50908092873012267e+3, 7.74545014278341407640e-4},
    {3.34305755835881281e+4, 2.27238449892691845833e-2},
    {6.72657709270087009e+4, 2.41780725177450611770e-1},
    {4.59219539315498715e+4, 1.27045825245236838258e+0},
    {1.37316937655094611e+4, 3.64784832476320460504e+0},
    {1.97159095030655144e+3, 5.76949722146069140550e+0},
    {1.33141667891784377e+2, 4.63033784615654529590e+0},
    {3.38713287279636661e+0, 1.42343711074968357734e+0}};
static const real quantile_den[][2] = {
    {5.22649527885285456e+3, 1.05075007164441684324e-9},
    {2.87290857357219427e+4, 5.47593808499534494600e-4},
    {3.93078958000927106e+4, 1.51986665636164571966e-2},
    {2.12137943015865959e+4, 1.48103976427480074590e-1},
    {5.39419602142475111e+3, 6.89767334985100004550e-1},
    {6.87187007492057908e+2, 1.67638483018380384940e+0},
    {4.23133307016009113e+1, 2.05319162663775882187e+0},
    {1, 1}};
#else
typedef uint32_t bits;
static const real quantile_num[][2] = {
    {5.9109374720e+1f, 1.7023821103e-1f},
    {1.5929113202e+2f, 1.3067284816e+0f},
    {5.0434271938e+1f, 2.7568153900e+0f},
    {3.3871327179e+0f, 1.4234372777e+0f}};
static const real quantile_den[][2] = {
    {6.7187563600e+1f, 0}, {7.8757757664e+1f, 1.2021132975e-1f}, {1.7895169469e+1f, 7.3700164250e-1f}, {1, 1}};
#endif

INLINE uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x21f0aaadu;
    x = (x ^ x >> 15) * 0x735a2d97u;
    return x ^ x >> 15;
}

/* of a key: element i's hash is mix(add + i times); `times` multiplied by the elements of a panel's row */
typedef struct {
    uint32_t add, times, by[P];
} hashes;

INLINE hashes hashes_of(uint64_t key) {
    hashes h = {.add = (uint32_t)key, .times = (uint32_t)(key >> 32) | 1};
    for (uint32_t i = 0; i < P; i++) h.by[i] = i * h.times;
    return h;
}

/* the number of the first element of a row of panel j */
INLINE uint32_t element(const fnn_noise_args *g, ptrdiff_t r, ptrdiff_t j) {
    return (uint32_t)((g->row0 + r) * g->width + g->col0 + j * P);
}

#if defined __GNUC__ && !defined __clang__
#pragma GCC push_options
#pragma GCC optimize("O3")
#endif

/* y = scale x + shift where it is kept, else low, of n elements of a row from element `id` on. A choice
 * between floats by a comparison of integers is not vectorised everywhere; one between their bits is. */
INLINE void choose(ptrdiff_t n, uint32_t id, const hashes *h, uint32_t below, real scale, real shift, real low,
                   const real *x, real *y) {
    const uint32_t top = 0x80000000u; /* moves the order of uint32_t to that of int32_t */
    const uint32_t first = h->add + id * h->times;
    bits other, one;
    memcpy(&other, &low, sizeof low);
    for (ptrdiff_t i = 0; i < n; i++) {
        const uint32_t number = mix(first + h->by[i]);
        const int32_t kept = -((int32_t)(number ^ top) >= (int32_t)(below ^ top));
        const real value = x[i] * scale + shift;
        memcpy(&one, &value, sizeof one);
        one = (one & (bits)kept) | (other & ~(bits)kept);
        memcpy(y + i, &one, sizeof one);
    }
}

/* shifts: shift and low are of use */
INLINE void dropout_by(int shifts, const fnn_noise_args *g) {
    const hashes h = hashes_of(g->key);
    const uint32_t below = (uint32_t)(g->rate * 4294967296.0);
    const real scale = (real)g->scale, none = (real)-0.0; /* which, added, leaves -0 as it is */
    const real shift = shifts ? (real)g->shift : none, low = shifts ? (real)g->low : 0;
    for (ptrdiff_t j = 0; j * P < g->cols; j++) {
        const real *x = (const real *)g->x + j * g->panel;
        real *y = (real *)g->y + j * g->panel;
        for (ptrdiff_t r = 0; r < g->rows; r++, x += P, y += P) {
            const uint32_t id = element(g, r, j);
            if (g->cols - j * P >= P) choose(P, id, &h, below, scale, shift, low, x, y);
            else choose(g->cols - j * P, id, &h, below, scale, shift, low, x, y);
        }
    }
}

static void FNN_NAME(dropout)(const fnn_noise_args *g) { dropout_by(0, g); }
static void FNN_NAME(alpha_dropout)(const fnn_noise_args *g) { dropout_by(1, g); }

/* p of the next P elements, with the sign that their normal numbers have */
INLINE void signed_tails(uint32_t id, const hashes *h, real *p) {
    const uint32_t first = h->add + id * h->times;
    for (int i = 0; i < P; i++) {
        const uint32_t x = mix(first + h->by[i]);
        const real tail = ((real)(int32_t)(x & 0x7fffffff) + (real)0.5) * (real)HALF_UNIT;
        p[i] = x >> 31 ? -tail : tail;
    }
}

#if defined __GNUC__ && !defined __clang__
#pragma GCC pop_options
#endif

/* the polynomial of the middle or of the tails, as each lane wants */
INLINE vreal poly_of_two(vmask tail, vreal r, const real (*c)[2], int n) {
    vreal y = v_select(tail, v_set1(c[0][1]), v_set1(c[0][0]));
    UNROLL(8) for (int i = 1; i < n; i++)
        y = v_fma(y, r, v_select(tail, v_set1(c[i][1]), v_set1(c[i][0])));
    return y;
}

/* the normal number with |tail| beyond it, and its sign */
INLINE vreal v_quantile(vreal tail) {
    vreal p = v_abs(tail), q = v_sub(v_set1((real)0.5), p);
    vmask far = v_lt(p, v_set1((real)0.075));
    vreal r = v_sub(v_sqrt(v_neg(v_log(p))), v_set1((real)1.6));
    r = v_select(far, r, v_fnma(q, q, v_set1((real)0.180625)));
    vreal num = poly_of_two(far, r, quantile_num, COUNT(quantile_num));
    vreal den = poly_of_two(far, r, quantile_den, COUNT(quantile_den));
    num = v_mul(num, v_select(far, v_set1(1), q));
    return v_copysign(v_div(num, den), tail);
}

INLINE vreal gaussian_noise_1(vreal x, vreal scale, vreal number) { return v_fma(scale, number, x); }
INLINE vreal gaussian_dropout_1(vreal x, vreal scale, vreal number) {
    return v_mul(x, v_fma(scale, number, v_set1(1)));
}

/* y = f(x, scale, a normal number), a row of a panel at a time: its numbers first, in integers */
INLINE void gaussian(vreal (*f)(vreal, vreal, vreal), const fnn_noise_args *g) {
    const hashes h = hashes_of(g->key);
    const vreal scale = v_set1((real)g->scale);
    real tails[P];
    for (ptrdiff_t j = 0; j * P < g->cols; j++) {
        const real *x = (const real *)g->x + j * g->panel;
        real *y = (real *)g->y + j * g->panel;
        const ptrdiff_t cols = min_size(P, g->cols - j * P);
        for (ptrdiff_t r = 0; r < g->rows; r++, x += P, y += P) {
            signed_tails(element(g, r, j), &h, tails);
            for (ptrdiff_t i = 0; i < cols; i += VL) {
                const ptrdiff_t n = min_size(VL, cols - i);
                store_first(n, y + i, f(load_first(n, x + i), scale, v_quantile(v_load(tails + i))));
            }
        }
    }
}

static void FNN_NAME(gaussian_noise)(const fnn_noise_args *g) { gaussian(gaussian_noise_1, g); }
static void FNN_NAME(gaussian_dropout)(const fnn_noise_args *g) { gaussian(gaussian_dropout_1, g); }
