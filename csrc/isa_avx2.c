/* The kernels for avx2: the vocabulary, then every kernel over it. */

/* By default gcc 12 keeps an accumulator of some register tiles on the stack, though 16 registers hold
 * them all: a step of the 5 x 2 tile took 8.6 cycles, with these options it takes 5.4. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("ira-region=all", "no-gcse")
#endif
#include "simd_avx2.h"
#include "kernels.inc.h"
