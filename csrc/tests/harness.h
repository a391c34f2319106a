/* Arrays between guard pages, and the counting of cases.
 *
 * A case is one kernel of one table at one size. It begins, makes its arrays, says what it expects
 * of single elements, calls the kernel and ends. At its end every element must be what was
 * expected of it, and every other element of every array, inputs too, must have kept its bits.
 * Each array lies flush against a page that cannot be touched, before it or after it; the open
 * side, and all that a case does not put, holds signalling NaNs, which no arithmetic leaves as
 * they are.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "../fnn.h"

enum side { GUARD_BEFORE, GUARD_AFTER, SIDES };

typedef struct array array;

void begin_case(const fnn_kernels *k, enum side side, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void end_case(void);
/* Fails the case, with a reason; only the first is printed. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

array *new_reals(ptrdiff_t n);                            /* of the case's dtype */
array *new_random(ptrdiff_t n, double low, double high);  /* the same, uniform */
array *new_ints(ptrdiff_t n, size_t itemsize);            /* of 1, 2, 4 or 8 bytes */
void *at(array *a, ptrdiff_t i);                          /* element i's address; NULL if a is */
void put(array *a, ptrdiff_t i, double value);
/* Halves of a pair: what the bfloat16 nearest to a value is, and a word of two. */
double to_bfloat16(double value);
void put_pair(array *a, ptrdiff_t i, double low, double high);
double get_half(const array *a, ptrdiff_t i, int high);
void put_int(array *a, ptrdiff_t i, int64_t value);
double get(const array *a, ptrdiff_t i);
void expect(array *a, ptrdiff_t i, double want, double tolerance);
void expect_same(array *a, const array *b); /* a's bits are to be those b has now; NaN is NaN */

/* Position of element (r, c) in a panelled matrix, and the elements its panels take. */
typedef struct {
    ptrdiff_t rows, cols, row, panel, width; /* width: P */
    int padded; /* panels proper: their last padding is memory too */
} layout;
layout panels(const fnn_kernels *k, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t spare_rows);
layout row_major(const fnn_kernels *k, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t gap);
ptrdiff_t where(const layout *l, ptrdiff_t r, ptrdiff_t c);
ptrdiff_t extent(const layout *l);
array *new_matrix(const layout *l);
array *random_matrix(const layout *l, double low, double high);

double epsilon(const fnn_kernels *k);   /* from 1 to the next number */
double smallest(const fnn_kernels *k);  /* the smallest subnormal */
double uniform(double low, double high);
double rounded(const fnn_kernels *k, double x); /* to the dtype */

/* Prints the closing line; the process's exit status. */
int summary(void);
void catch_faults(void);

#endif
