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
def barrier_seconds(num_threads: int | None = None) -> float: ...
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
def relu6(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def leaky_relu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def elu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def selu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def log_sigmoid(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def softsign(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def hard_tanh(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def hard_sigmoid(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def hard_silu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def gelu(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def gelu_tanh(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def mish(
    x: ArrayLike, *, out: NDArray[Any] | None = None, num_threads: int | None = None
) -> NDArray[Any]: ...
def log_softmax(
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
def relu6_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def leaky_relu_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def elu_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def selu_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def log_sigmoid_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def softsign_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def hard_tanh_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def hard_sigmoid_backward(
    y: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def hard_silu_backward(
    x: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def gelu_backward(
    x: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def gelu_tanh_backward(
    x: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def mish_backward(
    x: ArrayLike,
    dy: ArrayLike,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def log_softmax_backward(
    y: ArrayLike,
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
def ramp(
    x: ArrayLike,
    slope: float = 0.0,
    threshold: float = 0.0,
    highest: float = ...,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def ramp_backward(
    x: ArrayLike,
    dy: ArrayLike,
    slope: float = 0.0,
    threshold: float = 0.0,
    highest: float = ...,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def exp_tail(
    x: ArrayLike,
    height: float = 1.0,
    rate: float = 1.0,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
def exp_tail_backward(
    y: ArrayLike,
    dy: ArrayLike,
    height: float = 1.0,
    rate: float = 1.0,
    *,
    out: NDArray[Any] | None = None,
    num_threads: int | None = None,
) -> NDArray[Any]: ...
