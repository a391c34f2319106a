/* The kernels for neon: the vocabulary, then every kernel over it. */
#include "simd_neon.h"
#include "kernels.inc.h"
