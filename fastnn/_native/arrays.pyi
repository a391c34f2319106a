from typing import Any

from numpy.typing import ArrayLike, NDArray

def matmul(
    a: ArrayLike,
    b: ArrayLike,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    precision: str | None = None,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def dense_forward(
    x: ArrayLike,
    kernel: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: str | None = None,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def dense_backward(
    x: ArrayLike,
    kernel: ArrayLike,
    y: ArrayLike,
    dy: ArrayLike,
    *,
    activation: str | None = None,
    num_threads: int | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
def fma_peak(dtype: str = "float32", num_threads: int | None = None) -> float: ...
def sigmoid(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def tanh(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def relu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def exp(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def log(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def softplus(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def silu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def softmax(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def sigmoid_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def tanh_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def relu_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def exp_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def log_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def softplus_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def silu_backward(
    x: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def softmax_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
