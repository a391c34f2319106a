/* Runs every kernel of every table that this CPU can run. */
#include <stdio.h>
#include <string.h>

#include "tests.h"

#define SPEC(kind, name) if (k->name) test_##kind(k, #name, k->name, &spec_##name);
#define WANT(kind, name) if (k->name) test_##kind(k, #name, k->name, want_##name);
#define PLAIN(kind, name) if (k->name) test_##kind(k, #name, k->name);

#define FNN_UNARY(name) SPEC(unary, name)
#define FNN_GRAD(name) SPEC(grad, name)
#define FNN_BINARY(name) PLAIN(binary, name)
#define FNN_ROWS(name) WANT(rows, name)
#define FNN_ROWS_GRAD(name) WANT(rows_grad, name)
#define FNN_GEMM(name) SPEC(gemm, name)
#define FNN_PAIR(name) SPEC(pair, name)
#define FNN_FEW(name) SPEC(few, name)
#define FNN_PACK(name) SPEC(pack, name)
#define FNN_GATHER(name) PLAIN(gather, name)
#define FNN_GATHER_FROM(name) PLAIN(gather_from, name)
#define FNN_SPARSE(name) PLAIN(sparse, name)
#define FNN_SCATTER(name) PLAIN(scatter, name)
#define FNN_SCALE(name) PLAIN(scale, name)
#define FNN_COLSUM(name) PLAIN(colsum, name)
#define FNN_CURVE(name) SPEC(curve, name)
#define FNN_CURVE_GRAD(name) SPEC(curve_grad, name)
#define FNN_NOISE(name) SPEC(noise, name)
#define FNN_LAYER_NORM(name) WANT(layer_norm, name)
#define FNN_BATCH_NORM(name) WANT(batch_norm, name)
#define FNN_PRELU(name) WANT(prelu, name)
#define FNN_LOSS(name) SPEC(loss, name)
#define FNN_METRIC(name) SPEC(metric, name)
#define FNN_OPTIM(name) SPEC(optim, name)
#define FNN_NORM(name) PLAIN(norm, name)
#define FNN_GRADIENT(name) SPEC(gradient, name)
#define FNN_PROBE(name) PLAIN(probe, name)

static void test_table(kernels k) {
#include "../kernels.def"
}
#include "../kernels_undef.h"

int main(void) {
    catch_faults();
    test_dispatch();
    for (int isa = 0; isa < FNN_ISAS; isa++) {
        for (int dtype = 0; dtype < FNN_DTYPES; dtype++) {
            kernels k = fnn_get_kernels((enum fnn_isa)isa, (enum fnn_dtype)dtype);
            if (!k || strcmp(k->isa, fnn_isa_name((enum fnn_isa)isa))) continue;
            printf("%s %s\n", k->isa, k->dtype);
            test_table(k);
        }
    }
    return summary();
}
