/* The kernels for avx512: the vocabulary, then every kernel over it. */
#include "simd_avx512.h"
#include "kernels.inc.h"
