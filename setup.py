"""Builds fastnn's extension modules; everything declarative stands in pyproject.toml.

Each csrc/isa_<isa>.c is compiled for float32, float64 and bfloat16 with the flags of its own ISA,
and linked into fastnn._native.core; the other modules call the kernels through its tables.
"""

import glob
import os
import platform
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

COMMON_FLAGS = ["-std=gnu11", "-O2", "-g0", "-fvisibility=hidden"]
# A kernel's bits are part of its contract, whatever CFLAGS says.
COMMON_FLAGS += ["-ffp-contract=off", "-fno-fast-math"]
# GCC zeroes a struct of some words by `rep stos`, which takes 30 cycles to begin. Such structs are
# what kernels and phases pass on: it was a twenty-fifth of a small network's training step.
X86_GCC_FLAGS = ["-mmemset-strategy=unrolled_loop:2048:noalign,libcall:-1:noalign"]
# Nothing is thrown through a kernel, and these tables would be a fiftieth of the wheel.
KERNEL_FLAGS = ["-fno-asynchronous-unwind-tables"]
AVX512_FLAGS = ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"]
ISA_FLAGS = {
    "x86_64": {
        "avx2": ["-mavx2", "-mfma"],
        "avx512": AVX512_FLAGS,
        "avx512bf16": [*AVX512_FLAGS, "-mavx512bf16"],
    },
    "aarch64": {"neon": []},
}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(
    platform.machine().lower(), platform.machine().lower()
)
ISAS = {"scalar": [], **ISA_FLAGS.get(MACHINE, {})}
DTYPES = {"f32": [], "f64": [("FNN_F64", "1")], "bf16": [("FNN_BF16", "1")]}
# What an ISA adds to another, whose other tables are its own.
ONLY = {"avx512bf16": ["bf16"]}
# A free-threaded interpreter has no stable ABI.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")


OPENMP_PROBE = "#include <omp.h>\nint main(void) { return !omp_get_max_threads(); }\n"


class BuildExt(build_ext):
    """build_ext with per-ISA objects and OpenMP where the compiler has it."""

    def run(self) -> None:
        super().run()
        if not self.inplace:
            # Python started in the checkout finds ./fastnn first: it must run what was just built.
            self.copy_extensions_to_source()

    def build_extensions(self) -> None:
        openmp = ["-fopenmp"] if self.builds(OPENMP_PROBE, ["-fopenmp"]) else []
        if not openmp:
            self.warn("this compiler has no OpenMP: fastnn will run on one thread")
        is_x86_gcc = MACHINE == "x86_64" and self.builds(
            "int main(void) { return 0; }", X86_GCC_FLAGS
        )
        self.flags = COMMON_FLAGS + (X86_GCC_FLAGS if is_x86_gcc else [])
        for extension in self.extensions:
            extension.extra_compile_args = self.flags + openmp
            extension.extra_link_args = [*openmp, "-Wl,-s"] if os.name == "posix" else openmp
            if extension.name.endswith(".core"):
                extension.extra_objects = self.kernel_objects()
        self.parallel = self.parallel or os.cpu_count()
        super().build_extensions()

    def kernel_objects(self) -> list[str]:
        tables = [(isa, dtype) for isa in ISAS for dtype in ONLY.get(isa, DTYPES)]
        with ThreadPoolExecutor(self.parallel or os.cpu_count()) as pool:
            return list(pool.map(self.kernel_object, *zip(*tables, strict=True)))

    def kernel_object(self, isa: str, dtype: str) -> str:
        (kernels,) = self.compiler.compile(
            [f"csrc/isa_{isa}.c"],
            output_dir=os.path.join(self.build_temp, dtype),
            macros=DTYPES[dtype],
            include_dirs=["csrc"],
            extra_postargs=[*self.flags, *KERNEL_FLAGS, *ISAS[isa]],
        )
        return kernels

    def builds(self, program: str, flags: list[str]) -> bool:
        """Whether the compiler makes a program of this with such flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w", encoding="ascii") as file:
                file.write(program)
            try:
                objects = self.compiler.compile([source], output_dir=folder, extra_postargs=flags)
                self.compiler.link_executable(
                    objects, "probe", output_dir=folder, extra_postargs=flags
                )
            except Exception as error:  # distutils raises errors of several unrelated classes
                self.announce(f"{' '.join(flags)}: {error}", level=2)
                return False
        return True


def extension(pyx: str) -> Extension:
    name = os.path.splitext(os.path.basename(pyx))[0]
    headers = [f"csrc/{file}" for file in os.listdir("csrc") if file.endswith((".h", ".def"))]
    return Extension(
        f"fastnn._native.{name}",
        [pyx, *(["csrc/dispatch.c"] if name == "core" else [])],
        include_dirs=["csrc", "fastnn/_native"],
        depends=[*sorted(headers), *sorted(glob.glob("fastnn/_native/*.h"))],
        define_macros=[(f"FNN_HAVE_{isa.upper()}", None) for isa in ISAS]
        + ([("Py_LIMITED_API", "0x030B0000")] if ABI3 else []),
        py_limited_api=ABI3,
    )


setup(
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted(glob.glob("fastnn/_native/*.pyx"))],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildExt},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
)
