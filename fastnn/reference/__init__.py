"""The plain-NumPy twin of fastnn: what the tests and the benchmarks compare it with.

- `KERNELS`: one function a line of csrc/kernels.def, on row-major arrays;
- `matmul`, `dense_forward`, `sigmoid`, ...: the functions of `fastnn.kernels`;
- `Network`: the training engine, with the interface of docs/architecture.md.

It is written as a practised NumPy user would write it for speed: vectorised, in place where that
is natural, with matrix products left to NumPy's BLAS.
"""

from fastnn.reference.kernels import (
    KERNELS,
    dense_backward,
    dense_forward,
    exp,
    exp_backward,
    log,
    log_backward,
    matmul,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    tanh,
    tanh_backward,
)
from fastnn.reference.network import Network

__all__ = [
    "KERNELS",
    "Network",
    "dense_backward",
    "dense_forward",
    "exp",
    "exp_backward",
    "log",
    "log_backward",
    "matmul",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softplus_backward",
    "tanh",
    "tanh_backward",
]
