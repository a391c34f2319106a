/* The kernels for avx2: the vocabulary, then every kernel over it. */
#include "simd_avx2.h"
#include "kernels.inc.h"
