/* The tables that there are, and flushing of subnormals. */
#include <float.h>
#include <string.h>

#include "tests.h"

/* what a dtype says of itself, and whether its table has what it is to have */
static void check_table(kernels k, int isa, int dtype) {
    static const char *const names[FNN_DTYPES] = {"f32", "f64", "bf16"};
    const int borrowed = isa == FNN_AVX512BF16 && dtype != FNN_BFLOAT16;
    const char *isa_name = fnn_isa_name((enum fnn_isa)(borrowed ? FNN_AVX512 : isa));
    const int pairs = dtype == FNN_BFLOAT16;
    if (strcmp(k->isa, isa_name)) fail("isa is %s", k->isa);
    if (strcmp(k->dtype, names[dtype])) fail("dtype is %s", k->dtype);
    if (k->itemsize != (dtype == FNN_FLOAT64 ? 8 : 4)) fail("itemsize is %td", k->itemsize);
    if (k->vl < 1 || k->panel % (2 * k->vl)) fail("vl %td, panel %td", k->vl, k->panel);
    if (isa > (int)fnn_best_isa()) fail("%s is better than the best", k->isa);
    if (!k->gemm_nn || !k->relu) fail("no gemm_nn or relu");
    if (pairs != !!k->pair_rows || pairs == !!k->adam) fail("pair_rows or adam of another dtype");
}

static void test_tables(void) {
    kernels scalar = fnn_get_kernels(FNN_SCALAR, FNN_FLOAT32);
    begin_case(scalar, GUARD_AFTER, "fnn_get_kernels");
    for (int isa = 0; isa < FNN_ISAS; isa++) {
        for (int dtype = 0; dtype < FNN_DTYPES; dtype++) {
            kernels k = fnn_get_kernels((enum fnn_isa)isa, (enum fnn_dtype)dtype);
            if (k) check_table(k, isa, dtype);
        }
    }
    if (!fnn_get_kernels(fnn_best_isa(), FNN_FLOAT32)) fail("no table for the best ISA");
    if (fnn_get_kernels((enum fnn_isa)FNN_ISAS, FNN_FLOAT32)) fail("a table past the last ISA");
    if (fnn_get_kernels(FNN_SCALAR, (enum fnn_dtype)FNN_DTYPES)) fail("a table past the last dtype");
    if (fnn_isa_name((enum fnn_isa)FNN_ISAS)) fail("a name past the last ISA");
    end_case();
}

static float half(float x) {
    volatile float y = x;
    y *= 0.5f;
    return y;
}

static void test_subnormals(void) {
    begin_case(fnn_get_kernels(FNN_SCALAR, FNN_FLOAT32), GUARD_AFTER, "fnn_flush_subnormals");
    if (half(FLT_MIN) == 0) fail("subnormals are flushed from the start");
    const uint64_t state = fnn_flush_subnormals();
#if defined(__x86_64__) || defined(__aarch64__)
    const float result = half(FLT_MIN), operand = half(FLT_MIN / 2 * 4);
    if (result != 0) fail("a subnormal result is kept");
    if (operand != FLT_MIN) fail("a normal result is flushed");
#endif
    fnn_restore_fp(state);
    if (half(FLT_MIN) == 0) fail("subnormals stay flushed");
    end_case();
}

void test_dispatch(void) {
    test_tables();
    test_subnormals();
}
