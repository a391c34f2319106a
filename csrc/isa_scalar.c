/* The kernels for scalar: the vocabulary, then every kernel over it. */
#include "simd_scalar.h"
#include "kernels.inc.h"
