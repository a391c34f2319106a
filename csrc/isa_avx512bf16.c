/* The kernels for avx512bf16: those for avx512, with the products of bfloat16 pairs that it adds. */
#include "simd_avx512.h"
#include "kernels.inc.h"
