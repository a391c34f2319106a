/* Rows of numbers of other types, gathered into panels as reals.
 *
 * Plain C: a panel's row has a constant number of elements, and gcc makes vector conversions of that.
 */

/* exact: 5 bits of exponent and 10 of mantissa lie where float's are, but for the exponent's bias;
 * a half's subnormals are normal floats */
INLINE float half_to_float(uint16_t h) {
    const uint32_t magnitude = h & 0x7fffu, sign = (h & 0x8000u) << 16;
    const uint32_t rebias = magnitude < 0x7c00 ? 112u << 23 : 224u << 23;
    union {
        uint32_t bits;
        float value;
    } normal = {(magnitude << 13) + rebias}, y;
    y.value = magnitude < 0x400 ? (float)(int32_t)magnitude * 0x1p-24f : normal.value;
    y.bits |= sign;
    return y.value;
}

/* one row of one panel: y[0 .. P) = x[0 .. cols), then zeros */
#define CONVERT_FN(name, type, as_real)                                            \
    NOINLINE void from_##name(ptrdiff_t cols, const void *src, real *restrict y) { \
        const type *restrict x = src;                                              \
        if (cols >= P) {                                                           \
            for (int i = 0; i < P; i++) y[i] = (real)as_real(x[i]);                \
        } else {                                                                   \
            for (int i = 0; i < P; i++) y[i] = i < cols ? (real)as_real(x[i]) : 0; \
        }                                                                          \
    }
#define SOURCES(X)                    \
    X(U8, uint8_t, )                  \
    X(I8, int8_t, )                   \
    X(U16, uint16_t, )                \
    X(I16, int16_t, )                 \
    X(U32, uint32_t, )                \
    X(I32, int32_t, )                 \
    X(U64, uint64_t, )                \
    X(I64, int64_t, )                 \
    X(F16, uint16_t, half_to_float)   \
    X(F32, float, )                   \
    X(F64, double, )
SOURCES(CONVERT_FN)

typedef struct {
    void (*convert)(ptrdiff_t cols, const void *src, real *restrict y);
    ptrdiff_t size; /* of an element */
} source_type;
#define SOURCE_ROW(name, type, as_real) [FNN_FROM_##name] = {from_##name, sizeof(type)},
static const source_type SOURCE[FNN_SOURCES] = {SOURCES(SOURCE_ROW)};

/* As gather (see there), with lines counted in bytes. */
static void FNN_NAME(gather_from)(enum fnn_source source, ptrdiff_t rows, ptrdiff_t cols,
                                  const int64_t *index, const void *x, ptrdiff_t ldx,
                                  const void *scale, const void *shift, ptrdiff_t panel, void *dst) {
    const real *a = scale, *b = shift;
    const source_type s = SOURCE[source];
    const ptrdiff_t ahead = 2 + 8 * 64 / (cols * s.size + 1);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t later = min_size(r + ahead, rows - 1);
        const char *src = (const char *)x + (index ? index[r] : r) * ldx * s.size;
        const char *next = (const char *)x + (index ? index[later] : later) * ldx * s.size;
        real *y = (real *)dst + r * P;
        for (ptrdiff_t j = 0; j < cols; j += P, y += panel, src += P * s.size, next += P * s.size) {
            for (ptrdiff_t i = 0; i < P * s.size; i += 64) __builtin_prefetch(next + i);
            s.convert(cols - j, src, y);
            if (!scale) continue;
            for (ptrdiff_t v = 0; v < min_size(cols - j, P); v += VL) {
                const vmask m = v_first(min_size(cols - j - v, VL));
                vreal z = v_fma(v_load(y + v), v_load_m(m, a + j + v), v_load_m(m, b + j + v));
                v_store_m(m, y + v, z);
            }
        }
    }
}
