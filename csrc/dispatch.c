/* Which kernels this CPU can run, and the CPU's treatment of subnormals.
 *
 * The build compiles this file with the platform's baseline flags and says with FNN_HAVE_AVX2,
 * FNN_HAVE_AVX512, FNN_HAVE_AVX512BF16 and FNN_HAVE_NEON which tables it links; scalar is always
 * there.
 */
#include "fnn.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define FNN_TABLES(isa)                             \
    extern const fnn_kernels fnn_kernels_f32_##isa; \
    extern const fnn_kernels fnn_kernels_f64_##isa; \
    extern const fnn_kernels fnn_kernels_bf16_##isa;

FNN_TABLES(scalar)
#if FNN_HAVE_NEON
FNN_TABLES(neon)
#endif
#if FNN_HAVE_AVX2
FNN_TABLES(avx2)
#endif
#if FNN_HAVE_AVX512
FNN_TABLES(avx512)
#endif
#if FNN_HAVE_AVX512BF16
extern const fnn_kernels fnn_kernels_bf16_avx512bf16;
#endif

#define FNN_ROW(isa) \
    {&fnn_kernels_f32_##isa, &fnn_kernels_f64_##isa, &fnn_kernels_bf16_##isa}

static const fnn_kernels *const tables[FNN_ISAS][FNN_DTYPES] = {
    [FNN_SCALAR] = FNN_ROW(scalar),
#if FNN_HAVE_NEON
    [FNN_NEON] = FNN_ROW(neon),
#endif
#if FNN_HAVE_AVX2
    [FNN_AVX2] = FNN_ROW(avx2),
#endif
#if FNN_HAVE_AVX512
    [FNN_AVX512] = FNN_ROW(avx512),
#endif
#if FNN_HAVE_AVX512BF16
    [FNN_AVX512BF16] = {&fnn_kernels_f32_avx512, &fnn_kernels_f64_avx512,
                        &fnn_kernels_bf16_avx512bf16},
#endif
};

static const char *const names[FNN_ISAS] = {
    [FNN_SCALAR] = "scalar", [FNN_NEON] = "neon", [FNN_AVX2] = "avx2", [FNN_AVX512] = "avx512",
    [FNN_AVX512BF16] = "avx512bf16"};

/* __builtin_cpu_supports reads XCR0 too: it is false where the OS does not save the registers. */
static int cpu_runs(enum fnn_isa isa) {
    switch (isa) {
    case FNN_SCALAR:
        return 1;
#if defined(__aarch64__)
    case FNN_NEON: /* part of the architecture */
        return 1;
#endif
#if defined(__x86_64__)
    case FNN_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case FNN_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("fma");
    case FNN_AVX512BF16:
        return cpu_runs(FNN_AVX512) && __builtin_cpu_supports("avx512bf16");
#endif
    default:
        return 0;
    }
}

static int in_range(int value, int count) { return 0 <= value && value < count; }

const fnn_kernels *fnn_get_kernels(enum fnn_isa isa, enum fnn_dtype dtype) {
    if (!in_range((int)isa, FNN_ISAS) || !in_range((int)dtype, FNN_DTYPES) || !cpu_runs(isa))
        return NULL;
    return tables[isa][dtype];
}

enum fnn_isa fnn_best_isa(void) {
    for (int isa = FNN_ISAS - 1; isa > FNN_SCALAR; isa--)
        if (fnn_get_kernels((enum fnn_isa)isa, FNN_FLOAT32))
            return (enum fnn_isa)isa;
    return FNN_SCALAR;
}

const char *fnn_isa_name(enum fnn_isa isa) {
    return in_range((int)isa, FNN_ISAS) ? names[isa] : NULL;
}

#if defined(__x86_64__)
#define MXCSR_DAZ (1u << 6)
#define MXCSR_FTZ (1u << 15)

uint64_t fnn_flush_subnormals(void) {
    unsigned state = _mm_getcsr();
    _mm_setcsr(state | MXCSR_FTZ | MXCSR_DAZ);
    return state;
}

void fnn_restore_fp(uint64_t state) { _mm_setcsr((unsigned)state); }

#elif defined(__aarch64__)
#define FPCR_FZ (UINT64_C(1) << 24)

uint64_t fnn_flush_subnormals(void) {
    uint64_t state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" : : "r"(state | FPCR_FZ) : "memory");
    return state;
}

void fnn_restore_fp(uint64_t state) {
    __asm__ volatile("msr fpcr, %0" : : "r"(state) : "memory");
}

#else /* nothing known to switch: subnormals stay as they are, only slower */
uint64_t fnn_flush_subnormals(void) { return 0; }
void fnn_restore_fp(uint64_t state) { (void)state; }
#endif
