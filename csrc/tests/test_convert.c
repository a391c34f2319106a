/* Gathering rows of other types: each number is what C makes of it. */
#include <math.h>
#include <string.h>

#include "tests.h"

static const size_t SIZE[FNN_SOURCES] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 4, 8};

/* by way of the definition */
static double half_value(uint16_t h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    const double size = exponent == 31 ? (mantissa ? NAN : INFINITY)
                      : exponent       ? ldexp(1024 + mantissa, exponent - 25)
                                       : ldexp(mantissa, -24);
    return h >> 15 ? -size : size;
}

/* the bits of a number of that type, and what it is worth, rounded to the dtype */
static double number(kernels k, enum fnn_source source, uint64_t bits) {
    union {
        uint64_t bits;
        float f;
        double d;
    } real = {bits};
    const int narrow = k->itemsize == sizeof(float);
    switch (source) {
    case FNN_FROM_U8: return (uint8_t)bits;
    case FNN_FROM_I8: return (int8_t)bits;
    case FNN_FROM_U16: return (uint16_t)bits;
    case FNN_FROM_I16: return (int16_t)bits;
    case FNN_FROM_U32: return narrow ? (float)(uint32_t)bits : (double)(uint32_t)bits;
    case FNN_FROM_I32: return narrow ? (float)(int32_t)bits : (double)(int32_t)bits;
    case FNN_FROM_U64: return narrow ? (float)bits : (double)bits;
    case FNN_FROM_I64: return narrow ? (float)(int64_t)bits : (double)(int64_t)bits;
    case FNN_FROM_F16: return half_value((uint16_t)bits);
    case FNN_FROM_F32: return real.f;
    default: return narrow ? (float)real.d : real.d;
    }
}

static uint64_t random_bits(enum fnn_source source) {
    const uint64_t low = (uint64_t)uniform(0, 0x1p32), high = (uint64_t)uniform(0, 0x1p32);
    union {
        float f;
        uint32_t bits;
    } single = {(float)uniform(-100, 100)};
    union {
        double d;
        uint64_t bits;
    } wide = {uniform(-100, 100)};
    if (source == FNN_FROM_F32) return single.bits;
    return source == FNN_FROM_F64 ? wide.bits : low | high << 32;
}

static void convert_case(kernels k, const char *name, fnn_gather_from f, enum fnn_source source,
                         enum side side, ptrdiff_t rows, ptrdiff_t cols, int indexed, int scaled) {
    begin_case(k, side, "%s source %d %td x %td indexed %d scaled %d", name, (int)source, rows, cols,
               indexed, scaled);
    const ptrdiff_t source_rows = indexed ? 2 * rows + 1 : rows;
    const layout to = panels(k, rows, cols, 1), from = row_major(k, source_rows, cols, 3);
    array *src = new_ints(extent(&from), SIZE[source]), *dst = new_matrix(&to);
    array *index = indexed ? new_ints(rows, sizeof(int64_t)) : NULL;
    array *scale = scaled ? new_random(cols, -2, 2) : NULL;
    array *shift = scaled ? new_random(cols, -2, 2) : NULL;
    for (ptrdiff_t r = 0; r < source_rows; r++)
        for (ptrdiff_t c = 0; c < cols; c++)
            put_int(src, where(&from, r, c), (int64_t)random_bits(source));
    for (ptrdiff_t r = 0; r < rows; r++) {
        const ptrdiff_t i = indexed ? r * 7 % source_rows : r;
        if (indexed) put_int(index, r, i);
        for (ptrdiff_t c = 0; c < cols; c++) {
            uint64_t bits = 0;
            memcpy(&bits, at(src, where(&from, i, c)), SIZE[source]);
            const double x = number(k, source, bits);
            const double product = scaled ? x * get(scale, c) : x, b = scaled ? get(shift, c) : 0;
            const double bound = scaled ? 2 * epsilon(k) * (fabs(product) + fabs(b)) : 0;
            expect(dst, where(&to, r, c), product + b, bound);
        }
        for (ptrdiff_t c = cols; cols && c % k->panel; c++) expect(dst, where(&to, r, c), 0, 0);
    }
    f(source, rows, cols, at(index, 0), at(src, 0), from.row, at(scale, 0), at(shift, 0), to.panel,
      at(dst, 0));
    end_case();
}

/* the 65536 of them in one row */
static void half_case(kernels k, const char *name, fnn_gather_from f) {
    begin_case(k, GUARD_AFTER, "%s of every half", name);
    const layout to = panels(k, 1, 65536, 0);
    array *src = new_ints(65536, 2), *dst = new_matrix(&to);
    for (ptrdiff_t c = 0; c < 65536; c++) {
        put_int(src, c, c);
        expect(dst, where(&to, 0, c), half_value((uint16_t)c), 0);
    }
    f(FNN_FROM_F16, 1, 65536, NULL, at(src, 0), 65536, NULL, NULL, to.panel, at(dst, 0));
    end_case();
}

void test_gather_from(kernels k, const char *name, fnn_gather_from f) {
    const ptrdiff_t p = k->panel, sizes[] = {0, 1, 2, 7, k->vl, p - 1, p, p + 1, 2 * p + 3};
    const size_t n = sizeof sizes / sizeof *sizes;
    half_case(k, name, f);
    for (int source = 0; source < FNN_SOURCES; source++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                for (int flags = 0; flags < 8; flags++)
                    convert_case(k, name, f, (enum fnn_source)source, (enum side)(flags & 1), sizes[i],
                                 sizes[j], flags >> 1 & 1, flags >> 2);
}
