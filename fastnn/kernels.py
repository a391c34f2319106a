"""The C kernels as functions that take and return NumPy arrays.

    from fastnn import kernels
    y = kernels.dense_forward(x, kernel, bias, activation="relu")

Inputs may be anything that NumPy makes a real array of. float32 and float64 keep their dtype (a mix
is float64, as in NumPy); bool, integers and float16 become float32. C-contiguous arrays in native
byte order are read in place, others are copied first. Results are new C-contiguous arrays, or go
to `out`. They have the same bits for any number of threads.

`fastnn.reference.KERNELS` holds the plain-NumPy twin of each.
"""

from fastnn._native.arrays import (
    dense_backward,
    dense_forward,
    exp,
    exp_backward,
    fma_peak,
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

__all__ = [
    "dense_backward",
    "dense_forward",
    "exp",
    "exp_backward",
    "fma_peak",
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
