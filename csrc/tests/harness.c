#include "harness.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARRAYS = 16, REGION = 1 << 23, MARGIN = 256, REPORTS = 20 };

struct array {
    char *region;       /* REGION bytes between two guard pages */
    char *data, *before;
    double *want, *tolerance; /* tolerance < 0: to keep its bits */
    ptrdiff_t n;
    size_t itemsize;
    int is_real;
};

static array arrays[ARRAYS];
static int used;
static const fnn_kernels *table;
static enum side guard;
static char label[256];
static int failures_of_case;
static long passed, failed;

static void *reserve(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return p;
}

static void make_regions(void) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (array *a = arrays; a < arrays + ARRAYS; a++) {
        char *p = reserve(REGION + 2 * page);
        if (mprotect(p, page, PROT_NONE) || mprotect(p + page + REGION, page, PROT_NONE)) {
            perror("mprotect");
            exit(2);
        }
        a->region = p + page;
        a->before = reserve(REGION);
        a->want = reserve(REGION / sizeof(float) * sizeof(double));
        a->tolerance = reserve(REGION / sizeof(float) * sizeof(double));
    }
}

void begin_case(const fnn_kernels *k, enum side side, const char *format, ...) {
    va_list args;
    if (!arrays[0].region) make_regions();
    used = 0;
    failures_of_case = 0;
    table = k;
    guard = side;
    int length = snprintf(label, sizeof label, "%s %s guard %s: ", k->dtype, k->isa,
                          side == GUARD_AFTER ? "after" : "before");
    va_start(args, format);
    vsnprintf(label + length, sizeof label - (size_t)length, format, args);
    va_end(args);
}

void fail(const char *format, ...) {
    va_list args;
    if (failures_of_case++ || failed >= REPORTS) return;
    printf("FAIL %s: ", label);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static const uint32_t POISON_4 = 0x7fa5a5a5;
static const uint64_t POISON_8 = 0x7ff4a5a5a5a5a5a5;

/* signalling NaNs of the element's size */
static void poison(void *p, size_t itemsize, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) {
        if (itemsize == sizeof POISON_8) ((uint64_t *)p)[i] = POISON_8;
        else memcpy((char *)p + (size_t)i * itemsize, &POISON_4, itemsize);
    }
}

/* element i of array or copy p as bits */
static uint64_t bits(const void *p, size_t itemsize, ptrdiff_t i) {
    uint64_t value = 0; /* little-endian, as every CPU here is */
    memcpy(&value, (const char *)p + (size_t)i * itemsize, itemsize);
    return value;
}

static char *margin(const array *a) {
    return guard == GUARD_AFTER ? a->data - MARGIN : a->data + (size_t)a->n * a->itemsize;
}

static array *new_array(ptrdiff_t n, size_t itemsize, int is_real) {
    if (used == ARRAYS || (size_t)n * itemsize + MARGIN > REGION) {
        fprintf(stderr, "harness: too many or too large arrays: %s\n", label);
        exit(2);
    }
    array *a = &arrays[used++];
    const size_t bytes = (size_t)n * itemsize;
    a->n = n;
    a->itemsize = itemsize;
    a->is_real = is_real;
    a->data = guard == GUARD_AFTER ? a->region + REGION - bytes : a->region;
    poison(a->data, itemsize, n);
    poison(margin(a), itemsize, (ptrdiff_t)(MARGIN / itemsize));
    memcpy(a->before, a->data, bytes);
    for (ptrdiff_t i = 0; i < n; i++) a->tolerance[i] = -1;
    return a;
}

array *new_reals(ptrdiff_t n) { return new_array(n, (size_t)table->itemsize, 1); }
array *new_ints(ptrdiff_t n, size_t itemsize) { return new_array(n, itemsize, 0); }

array *new_random(ptrdiff_t n, double low, double high) {
    array *a = new_reals(n);
    for (ptrdiff_t i = 0; i < n; i++) put(a, i, uniform(low, high));
    return a;
}

void *at(array *a, ptrdiff_t i) { return a ? a->data + i * (ptrdiff_t)a->itemsize : NULL; }

static void put_bits(array *a, ptrdiff_t i, uint64_t value) {
    memcpy(a->data + (size_t)i * a->itemsize, &value, a->itemsize);
    memcpy(a->before + (size_t)i * a->itemsize, &value, a->itemsize);
}

typedef union {
    float real;
    uint32_t bits;
} bits_4;

typedef union {
    double real;
    uint64_t bits;
} bits_8;

void put(array *a, ptrdiff_t i, double value) {
    if (a->itemsize == sizeof(float)) put_bits(a, i, (bits_4){.real = (float)value}.bits);
    else put_bits(a, i, (bits_8){.real = value}.bits);
}

void put_int(array *a, ptrdiff_t i, int64_t value) { put_bits(a, i, (uint64_t)value); }

double get(const array *a, ptrdiff_t i) {
    const uint64_t value = bits(a->data, a->itemsize, i);
    return a->itemsize == sizeof(float) ? (double)(bits_4){.bits = (uint32_t)value}.real
                                        : (bits_8){.bits = value}.real;
}

/* by way of the definition: 8 significant bits, ties to even, no subnormals */
double to_bfloat16(double value) {
    int exponent;
    if (!isfinite(value) || value == 0) return value;
    if (fabs(value) < FLT_MIN) return copysign(0, value);
    const double scaled = ldexp(frexp(value, &exponent), 8);
    const double rounded_up = ldexp(nearbyint(scaled), exponent - 8);
    return fabs(rounded_up) > FLT_MAX ? copysign(INFINITY, value) : rounded_up;
}

static uint32_t half(double value) {
    return isnan(value) ? 0x7fc0 : (bits_4){.real = (float)to_bfloat16(value)}.bits >> 16;
}

void put_pair(array *a, ptrdiff_t i, double low, double high) {
    put_bits(a, i, half(low) | half(high) << 16);
}

double get_half(const array *a, ptrdiff_t i, int high) {
    const uint32_t word = (uint32_t)bits(a->data, a->itemsize, i);
    return (bits_4){.bits = high ? word & 0xffff0000 : word << 16}.real;
}

void expect(array *a, ptrdiff_t i, double want, double tolerance) {
    a->want[i] = want;
    a->tolerance[i] = isfinite(want) ? tolerance : 0;
}

void expect_same(array *a, const array *b) {
    const uint64_t untouched = a->itemsize == sizeof POISON_4 ? POISON_4 : POISON_8;
    memcpy(a->before, b->data, (size_t)a->n * a->itemsize);
    for (ptrdiff_t i = 0; i < a->n; i++) {
        a->tolerance[i] = -1;
        if (bits(a->before, a->itemsize, i) != untouched && isnan(get(b, i))) expect(a, i, NAN, 0);
    }
}

static int as_expected(double got, double want, double tolerance) {
    if (isnan(want)) return isnan(got);
    return got == want || fabs(got - want) <= tolerance;
}

static void check_array(const array *a) {
    char clean[MARGIN];
    const int number = (int)(a - arrays);
    for (ptrdiff_t i = 0; i < a->n; i++) {
        if (a->tolerance[i] < 0) {
            if (bits(a->data, a->itemsize, i) != bits(a->before, a->itemsize, i))
                fail("array %d, element %td of %td is %.17g, was to keep its bits, or have those of the "
                     "same computation cut otherwise",
                     number, i, a->n, a->is_real ? get(a, i) : 0);
        } else if (!as_expected(get(a, i), a->want[i], a->tolerance[i])) {
            fail("array %d, element %td of %td is %.17g, not %.17g +- %.3g", number, i, a->n, get(a, i),
                 a->want[i], a->tolerance[i]);
        }
    }
    poison(clean, a->itemsize, (ptrdiff_t)(MARGIN / a->itemsize));
    if (memcmp(margin(a), clean, MARGIN)) fail("wrote outside array %d", number);
}

void end_case(void) {
    for (int i = 0; i < used; i++) check_array(&arrays[i]);
    if (failures_of_case) failed++;
    else passed++;
}

layout panels(const fnn_kernels *k, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t spare_rows) {
    return (layout){rows, cols, k->panel, (rows + spare_rows) * k->panel, k->panel, 1};
}

layout row_major(const fnn_kernels *k, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t gap) {
    return (layout){rows, cols, cols + gap, k->panel, k->panel, 0};
}

ptrdiff_t where(const layout *l, ptrdiff_t r, ptrdiff_t c) {
    return c / l->width * l->panel + r * l->row + c % l->width;
}

/* a row-major matrix ends with its last element */
ptrdiff_t extent(const layout *l) {
    if (l->rows == 0 || l->cols == 0) return 0;
    if (l->padded) return (l->cols - 1) / l->width * l->panel + l->rows * l->width;
    return where(l, l->rows - 1, l->cols - 1) + 1;
}

array *new_matrix(const layout *l) { return new_reals(extent(l)); }

array *random_matrix(const layout *l, double low, double high) {
    array *a = new_matrix(l);
    for (ptrdiff_t r = 0; r < l->rows; r++)
        for (ptrdiff_t c = 0; c < l->cols; c++) put(a, where(l, r, c), uniform(low, high));
    return a;
}

double epsilon(const fnn_kernels *k) {
    return k->itemsize == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;
}

double smallest(const fnn_kernels *k) {
    return k->itemsize == sizeof(float) ? (double)FLT_TRUE_MIN : DBL_TRUE_MIN;
}

double rounded(const fnn_kernels *k, double x) {
    return k->itemsize == sizeof(float) ? (double)(float)x : x;
}

/* Knuth's 64-bit linear congruential generator, the high bits */
double uniform(double low, double high) {
    static uint64_t state = 1;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return low + (high - low) * (double)(state >> 11) * 0x1p-53;
}

int summary(void) {
    printf("%ld passed, %ld failed\n", passed, failed);
    return failed != 0;
}

static void on_fault(int signal_number) {
    static const char text[] = "FAIL, memory outside the arrays was touched: ";
    ssize_t done = write(STDOUT_FILENO, text, sizeof text - 1);
    done += write(STDOUT_FILENO, label, strlen(label));
    done += write(STDOUT_FILENO, "\n", 1);
    _exit(done ? 128 + signal_number : 2);
}

void catch_faults(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
}
