"""The training engine in plain NumPy: the interface of docs/architecture.md.

All weights are views into one flat vector, and so are the gradients and the optimizer's slots, so
that an optimizer step is a few NumPy calls however many layers there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise, repeat
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._measures import Measure, split_measure
from fastnn._slots import initial_value, slot_names
from fastnn._sparse import CSR
from fastnn.reference import kernels
from fastnn.reference.kernels import Array

Constraint = tuple[Any, ...] | None  # ("non_neg",), or ("norm", low, high, rate)
Batch = tuple[Array, Array, Array | None]  # x, y, sample weights

BLOCK_ROWS = 1024  # rows of one forward pass in evaluate and predict
FUSED: dict[tuple[str | None, str], Callable[..., tuple[Array, Array]]] = {
    ("bce", "sigmoid"): kernels.bce_logits,
    ("log_loss", "sigmoid"): kernels.log_loss_logits,
    ("half_poisson", "exp"): kernels.half_poisson_logits,
    ("focal", "sigmoid"): kernels.focal_logits,
    ("xent", "softmax"): kernels.xent_logits,
    ("focal_xent", "softmax"): kernels.focal_xent_logits,
}


class _Activation:
    """y = f(x)."""

    sizes: tuple[int, ...] = ()  # of the trained arrays in the flat vector: none
    step = 0  # the optimizer step that the pass is part of; 0: not in training

    def __init__(self, features: int, name: str, *numbers: float) -> None:
        self.features = features
        self.name = name
        self.numbers = numbers
        self.forward: Callable[..., Array] | None
        self.backward: Callable[..., Array] | None
        if numbers:
            self.forward, self.backward = kernels.CURVES[name]
        else:
            self.forward, self.backward = kernels.FORWARD.get(name), kernels.BACKWARD.get(name)

    def bind(self, views: list[Array], gradients: list[Array]) -> None:
        """Take no views: nothing is trained here."""

    def linear(self, x: Array) -> Array:
        """Return what the activation is applied to."""
        return x.copy()  # apply() works in place

    def apply(self, z: Array) -> tuple[Array, Array]:
        """Return y = f(z), in place where possible, and what its derivative is computed from."""
        if self.forward is None:
            return z, z
        saves_input = self.name in kernels.SAVES_INPUT
        y = self.forward(z, *self.numbers, out=None if saves_input else z)
        return y, z if saves_input else y

    def activation_backward(self, saved: Array, dy: Array) -> Array:
        """Return dz from dy."""
        return dy if self.backward is None else self.backward(saved, dy, *self.numbers)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        """Return dx, or None where nobody needs it; store the gradients of the weights."""
        return dz


class _Weighted(_Activation):
    """An op with a kernel (rows, features), a bias (features,), or both."""

    def __init__(self, features: int, activation: str, rows: int, use_bias: bool) -> None:
        super().__init__(features, activation)
        self.shape = (rows, features)
        self.use_bias = use_bias
        self.trainable = True
        self.rate = 1.0  # a factor of the learning rate
        self.constraints: tuple[Constraint, Constraint] = (None, None)  # of kernel and bias
        self.sizes = (rows * features,) * bool(rows) + (features,) * bool(use_bias)

    def split(self, views: list[Array]) -> tuple[Array | None, Array | None]:
        """Return kernel and bias from their pieces of a flat vector."""
        kernel = views[0].reshape(self.shape) if self.shape[0] else None
        return kernel, views[-1] if self.use_bias else None

    def bind(self, views: list[Array], gradients: list[Array]) -> None:
        self.kernel, self.bias = self.split(views)
        self.dkernel, self.dbias = self.split(gradients)

    def constrain(self) -> None:
        """Bring kernel and bias to where their constraints want them."""
        for weight, constraint in zip((self.kernel, self.bias), self.constraints, strict=True):
            if weight is None or constraint is None:
                continue
            kind, *numbers = constraint
            if kind == "non_neg":
                np.maximum(weight, 0, out=weight)
                continue
            low, high, rate = numbers
            by_column = isinstance(self, _Dense | _Embed) and weight.ndim == 2
            columns = weight if by_column else weight.ravel()
            norms = np.sqrt(kernels.colsquare(columns) if columns.ndim == 2 else columns @ columns)
            desired = rate * np.clip(norms, low, high) + (1 - rate) * norms
            weight *= desired / (1e-7 + norms)

    def keep(self, dkernel: Array | None, dbias: Array | None) -> None:
        """Store the gradients, where there is such a weight and it is trained."""
        for target, value in ((self.dkernel, dkernel), (self.dbias, dbias)):
            if target is not None and self.trainable:
                target[...] = value


class _Dense(_Weighted):
    """y = f(x @ kernel + bias)."""

    kernel: Array
    dkernel: Array

    def __init__(
        self, inputs: int, units: int, activation: str, use_bias: bool, operands: str | None = None
    ) -> None:
        super().__init__(units, activation, inputs, use_bias)
        self.rounded = kernels.round_bfloat16 if operands == "bfloat16" else np.asarray

    def linear(self, x: Array) -> Array:
        if isinstance(x, CSR):  # in the network's own dtype, whatever the operands of others
            return kernels.sparse_nn(x.begin, x.column, x.value, self.kernel, self.bias)
        z: Array = self.rounded(x) @ self.rounded(self.kernel)
        if self.bias is not None:
            z += self.bias
        return z

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        if self.dbias is not None and self.trainable:
            dz.sum(axis=0, out=self.dbias)
        if isinstance(x, CSR):
            if self.trainable:
                self.dkernel[:] = 0
                used = slice(x.begin[0], x.begin[-1])
                rows = np.repeat(np.arange(len(x)), np.diff(x.begin))
                kernels.scatter_add(x.column[used], rows, x.value[used], dz, self.dkernel)
            return None
        dz = self.rounded(dz)
        if self.trainable:
            np.matmul(self.rounded(x).T, dz, out=self.dkernel)
        return dz @ self.rounded(self.kernel).T if need_dx else None


class _LayerNorm(_Weighted):
    """y = x, normalized by row, * kernel + bias."""

    def __init__(self, features: int, epsilon: float, scale: bool, center: bool) -> None:
        super().__init__(features, "linear", int(scale), center)
        self.epsilon = epsilon

    def linear(self, x: Array) -> Array:
        y, self.stats = kernels.layer_norm(x, self.kernel, self.bias, self.epsilon)
        return y

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        self.keep(*kernels.layer_norm_gradient(x, dz, self.stats))
        return kernels.layer_norm_backward(x, dz, self.kernel, self.stats) if need_dx else None


class _BatchNorm(_Weighted):
    """y = x, normalized by column, * kernel + bias; by moving statistics outside of training."""

    def __init__(
        self, features: int, dtype: Any, momentum: float, epsilon: float, scale: bool, center: bool
    ) -> None:
        super().__init__(features, "linear", int(scale), center)
        self.momentum = momentum
        self.epsilon = epsilon
        self.moving = (np.zeros(features, dtype), np.zeros(features, dtype))

    def linear(self, x: Array) -> Array:
        self.calm = not (self.step and self.trainable)
        if self.calm:
            self.moments = self.moving
        else:
            self.moments = kernels.batch_norm_moments(x, *self.moving, self.momentum)
        scale, shift = kernels.batch_norm_calm(*self.moments, self.kernel, self.bias, self.epsilon)
        return kernels.scale_shift(x, np.ravel(scale), np.ravel(shift))

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        sums = kernels.batch_norm_sums(x, dz, *self.moments, self.epsilon)
        self.keep(*sums)
        if self.calm:
            scale, _ = kernels.batch_norm_calm(*self.moments, self.kernel, None, self.epsilon)
            return dz * scale
        return kernels.batch_norm_backward(x, dz, *self.moments, self.kernel, self.epsilon, sums)


class _PReLU(_Weighted):
    """y = x where that is above 0, else x * kernel."""

    kernel: Array

    def __init__(self, features: int) -> None:
        super().__init__(features, "linear", 1, False)

    def linear(self, x: Array) -> Array:
        return kernels.prelu(x, self.kernel)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        self.keep(kernels.prelu_gradient(x, dz), None)
        return kernels.prelu_backward(x, dz, self.kernel) if need_dx else None


class _Shared:
    """The input that ops read which write side by side, and its gradient."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.taken: set[int] = set()
        self.dx: Array | None = None

    def write(self, op: _Embed | _Take, x: Array) -> Array:
        """Return what the ops before have written, and this one's part beside it."""
        if op.start == 0:
            self.x, x = x, x[:, :0]
        return np.concatenate([x, op.part(self.x)], axis=1)

    def backward(self, op: _Embed | _Take, dz: Array) -> Array:
        """Return the gradient for the op before; the last op comes first."""
        if self.dx is None:
            self.dx = np.zeros_like(self.x)
        op.part_backward(self.x, dz[:, op.start :], self.dx)
        if op.start:
            return dz[:, : op.start]
        dx, self.dx = self.dx, None
        return dx

    def checked(self, columns: Sequence[int]) -> list[int]:
        """Refuse columns that there are not."""
        if not columns or not 0 <= min(columns) <= max(columns) < self.features:
            raise ValueError(f"ops: expected columns of {self.features} inputs, got {columns}")
        return list(columns)


class _Embed(_Weighted):
    """Rows of a table, the kernel (rows, units), looked up by the numbers in some columns."""

    kernel: Array

    def __init__(
        self, shared: _Shared, start: int, rows: int, units: int, columns: Sequence[int]
    ) -> None:
        super().__init__(start + units * len(columns), "linear", rows, False)
        if rows < 1 or units < 1:
            raise ValueError(f"ops: expected a table of numbers, got {rows} x {units}")
        self.shared, self.start, self.columns = shared, start, shared.checked(columns)
        self.shape, self.sizes = (rows, units), (rows * units,)

    def part(self, x: Array) -> Array:
        y = kernels.embed(self.kernel, x[:, self.columns].ravel())
        return y.reshape(len(x), -1)

    def part_backward(self, x: Array, dy: Array, dx: Array) -> None:
        rows, units = self.shape
        dy = dy.reshape(-1, units)
        self.keep(kernels.embed_gradient(x[:, self.columns].ravel(), dy, rows), None)

    def linear(self, x: Array) -> Array:
        return self.shared.write(self, x)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        return self.shared.backward(self, dz)


class _Take(_Activation):
    """Some columns as they are."""

    def __init__(self, shared: _Shared, start: int, columns: Sequence[int]) -> None:
        super().__init__(start + len(columns), "linear")
        self.shared, self.start, self.columns = shared, start, shared.checked(columns)
        if len(shared.taken | set(columns)) < len(shared.taken) + len(columns):
            raise ValueError(f"ops: expected columns to be taken once, got {columns}")
        shared.taken |= set(columns)

    def part(self, x: Array) -> Array:
        return kernels.embed(x[:, self.columns])

    def part_backward(self, x: Array, dy: Array, dx: Array) -> None:
        dx[:, self.columns] = dy

    def linear(self, x: Array) -> Array:
        return self.shared.write(self, x)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        return self.shared.backward(self, dz)


class _ScaleShift(_Activation):
    """y = x * scale + shift, one of each a feature, not trained."""

    def __init__(self, features: int, dtype: np.dtype[Any]) -> None:
        super().__init__(features, "linear")
        self.scale = np.ones(features, dtype)
        self.shift = np.zeros(features, dtype)

    def linear(self, x: Array) -> Array:
        return kernels.scale_shift(x, self.scale, self.shift)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        return dz * self.scale if need_dx else None


class _Noise(_Activation):
    """y = x, in training changed at random."""

    def __init__(self, features: int, kind: str, amount: float, seed: int) -> None:
        super().__init__(features, "linear")
        self.kind = kind
        self.amount = amount
        if kind == "gaussian_dropout":  # a rate
            self.amount = math.sqrt(amount / (1 - amount))
        self.seed = seed

    def _key(self) -> int:
        return kernels.dropout_key(self.seed, self.step)

    def linear(self, x: Array) -> Array:
        if self.step == 0:
            return x.copy()
        noise: Array = kernels.KERNELS[self.kind](x, 0, self._key(), self.amount)
        return noise

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        if self.step == 0 or self.kind == "gaussian_noise":
            return dz
        if self.kind == "alpha_dropout":
            kept = kernels.dropout(np.ones_like(dz), 0, self._key(), self.amount) > 0
            dx: Array = dz * kept * dz.dtype.type(kernels.alpha_numbers(self.amount)[0])
            return dx
        return self.linear(dz)


class _Fork(_Activation):
    """y = x, which the join that belongs to it adds."""

    x: Array  # what went in last
    dy: Array  # the join's gradient

    def __init__(self, features: int) -> None:
        super().__init__(features, "linear")

    def linear(self, x: Array) -> Array:
        self.x = x
        return x

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        return kernels.add(dz, self.dy) if need_dx else None


class _Join(_Activation):
    """y = x + what went into the fork."""

    def __init__(self, features: int, fork: _Fork) -> None:
        super().__init__(features, "linear")
        if fork.features != features:
            raise ValueError("ops: expected a join as wide as its fork")
        self.fork = fork

    def linear(self, x: Array) -> Array:
        return kernels.add(x, self.fork.x)

    def linear_backward(self, x: Array, dz: Array, need_dx: bool) -> Array | None:
        self.fork.dy = dz
        return dz


class Network:
    """A dense network that trains and predicts in plain NumPy.

    The twin of `fastnn._native.network.Network`; docs/architecture.md describes the interface.
    `num_threads` is accepted everywhere and left to NumPy's BLAS, which chooses for itself.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    input_size : int
        Features of the input.
    ops : sequence of tuples
        ("dense", units, activation, use_bias), with "bfloat16" as a fifth for matrix products of
        operands rounded to that; ("activation", name), with its numbers where it takes any;
        ("scale_shift",); ("dropout", rate, seed), or another noise instead; ("layer_norm", epsilon,
        scale, center), ("batch_norm", momentum, epsilon, scale, center), ("prelu",),
        ("embed", rows, units, columns), ("take", columns), ("fork",) or ("join",), which closes the
        last fork that is open.
    """

    def __init__(self, dtype: str, input_size: int, ops: Sequence[tuple[Any, ...]]) -> None:
        if dtype not in ("float32", "float64"):
            raise ValueError(f'dtype must be "float32" or "float64", got {dtype!r}')
        if not ops:
            raise ValueError("ops must hold at least one op, got none")
        self.dtype = dtype
        self.input_size = input_size
        self.ops = list(ops)
        self._ops: list[_Activation] = []
        features = input_size
        self._open: list[_Fork] = []
        for op in ops:
            self._ops.append(self._make_op(features, *op))
            features = self._ops[-1].features
        if self._open:
            raise ValueError("ops: expected a join for each fork")
        self.output_size = features
        self._weights = self._zeros()
        self._gradients = self._zeros()
        for layer, views, gradients in zip(
            self._ops, self._views(self._weights), self._views(self._gradients), strict=True
        ):
            layer.bind(views, gradients)
        self._l1, self._l2 = self._zeros(), self._zeros()  # the penalty on each weight
        self._kept: list[tuple[Array, Array]] | None = None
        self._loss: Callable[..., tuple[Array, Array]] = _no_loss
        self._loss_params: tuple[float, ...] = ()
        self._fused = False
        self._target_size = features
        self._ignored: int | None = None
        self._metrics: list[Measure] = []
        self._optimizer: str | None = None
        self._hyper: dict[str, Any] = {}
        self.iterations = 0
        self._draws, self.drawn_at = 0, -1  # forwards in training since that step
        self._rows_in_all = 0  # of the pass that a step is part of
        self.slot_names: tuple[str, ...] = ()
        self._slots: dict[str, Array] = {}

    def _make_op(self, features: int, kind: str, *arguments: Any) -> _Activation:
        match kind:
            case "dense":
                return _Dense(features, *arguments)
            case "activation":
                return _Activation(features, *arguments)
            case "dropout" | "alpha_dropout" | "gaussian_noise" | "gaussian_dropout":
                return _Noise(features, kind, *arguments)
            case "scale_shift":
                return _ScaleShift(features, np.dtype(self.dtype))
            case "layer_norm":
                return _LayerNorm(features, *arguments)
            case "batch_norm":
                return _BatchNorm(features, self.dtype, *arguments)
            case "prelu":
                return _PReLU(features)
            case "embed" | "take":
                cls = _Embed if kind == "embed" else _Take
                before = self._ops[-1] if self._ops else None
                if isinstance(before, _Embed | _Take):
                    return cls(before.shared, features, *arguments)
                return cls(_Shared(features), 0, *arguments)
            case "fork":
                self._open.append(_Fork(features))
                return self._open[-1]
            case "join":
                if not self._open:
                    raise ValueError("ops: expected a fork before each join")
                return _Join(features, self._open.pop())
        raise ValueError(f"ops: expected those of docs/architecture.md, got {kind!r}")

    def _zeros(self) -> Array:
        return np.zeros(sum(sum(op.sizes) for op in self._ops), self.dtype)

    def _views(self, flat: Array) -> list[list[Array]]:
        """Cut a flat vector into the trained arrays of each op."""
        views, start = [], 0
        for op in self._ops:
            stops = np.cumsum((start, *op.sizes))
            views.append([flat[a:b] for a, b in pairwise(stops)])
            start = stops[-1]
        return views

    # ---- weights -----------------------------------------------------------------------------

    def _weighted(self, op: int) -> _Weighted:
        layer = self._ops[op]
        if not isinstance(layer, _Weighted):
            raise ValueError(f"op must be the index of an op with weights, got {self.ops[op]}")
        return layer

    def get_kernel(self, op: int) -> Array | None:
        """Return a copy of the kernel (rows, units) of op number `op`, or None without one."""
        kernel = self._weighted(op).kernel
        return None if kernel is None else kernel.copy()

    def get_bias(self, op: int) -> Array | None:
        """Return a copy of the bias (units,), or None where the op has none."""
        bias = self._weighted(op).bias
        return None if bias is None else bias.copy()

    def set_kernel(self, op: int, array: Array) -> None:
        """Copy `array` (rows, units) into the kernel."""
        _copy("kernel", _required(self._weighted(op).kernel), array)

    def set_bias(self, op: int, array: Array) -> None:
        """Copy `array` (units,) into the bias."""
        _copy("bias", _required(self._weighted(op).bias), array)

    def get_statistics(self, op: int) -> tuple[Array, Array]:
        """Return copies of a batch_norm op's moving mean and variance, each (features,)."""
        mean, variance = self._batch_norm(op).moving
        return mean.copy(), variance.copy()

    def set_statistics(self, op: int, mean: Array, variance: Array) -> None:
        """Copy a mean and a variance, each (features,), into a batch_norm op."""
        for name, target, value in zip(
            ("mean", "variance"), self._batch_norm(op).moving, (mean, variance), strict=True
        ):
            _copy(name, target, value)

    def _batch_norm(self, op: int) -> _BatchNorm:
        layer = self._ops[op]
        if not isinstance(layer, _BatchNorm):
            raise ValueError(f"op must be the index of a batch_norm op, got {self.ops[op]}")
        return layer

    def get_scale_shift(self, op: int) -> tuple[Array, Array]:
        """Return copies of the scale and the shift, each (features,)."""
        layer = self._scale_shift(op)
        return layer.scale.copy(), layer.shift.copy()

    def set_scale_shift(self, op: int, scale: Array, shift: Array) -> None:
        """Copy a scale and a shift, each (features,), into a scale_shift op."""
        layer = self._scale_shift(op)
        _copy("scale", layer.scale, scale)
        _copy("shift", layer.shift, shift)

    def _scale_shift(self, op: int) -> _ScaleShift:
        layer = self._ops[op]
        if not isinstance(layer, _ScaleShift):
            raise ValueError(f"op must be the index of a scale_shift op, got {op}: {self.ops[op]}")
        return layer

    def set_penalty(self, op: int, kernel: tuple[float, float], bias: tuple[float, float]) -> None:
        """Set l1 and l2 of an op's kernel and of its bias."""
        for flat, both in zip((self._l1, self._l2), zip(kernel, bias, strict=True), strict=True):
            for view, value in zip(
                self._weighted(op).split(self._views(flat)[op]), both, strict=True
            ):
                if view is not None:
                    view[...] = value

    def set_constraint(self, op: int, kernel: Constraint, bias: Constraint) -> None:
        """Set what an op's kernel and its bias are brought to after each step."""
        self._weighted(op).constraints = (kernel, bias)

    def set_rate(self, op: int, factor: float) -> None:
        """Set what the learning rate is multiplied by for an op's weights; at first by 1."""
        self._weighted(op).rate = factor

    def set_trainable(self, op: int, value: bool) -> None:
        """Say whether training changes the weights of an op; at first it does."""
        layer = self._weighted(op)
        if value and not layer.trainable and "average" in self._slots:
            self.set_slot("average", op, layer.kernel, layer.bias)  # none was taken meanwhile
        if value != layer.trainable and "sums" in self._slots:
            for sums in self._views(self._slots["sums"])[op]:
                sums[:] = 0
        layer.trainable = value
        self._gradients[:] = 0

    def _trained(self, flat: Array) -> list[list[Array]]:
        """Return the trained arrays of each op, but of those that are kept from training."""
        return [
            views
            for op, views in zip(self._ops, self._views(flat), strict=True)
            if getattr(op, "trainable", False)
        ]

    def penalty(self) -> float:
        """Return what the weights add to the loss."""
        flats = (self._weights, self._l1, self._l2)
        return sum(
            float((l1 * np.abs(w) + l2 * w * w).sum(dtype=np.float64))
            for arrays in zip(*map(self._trained, flats), strict=True)
            for w, l1, l2 in zip(*arrays, strict=True)
        )

    @property
    def flat_weights(self) -> Array:
        """All trained weights as one read-only live vector."""
        return _read_only(self._weights)

    @property
    def flat_gradients(self) -> Array:
        """The gradients in the order of `flat_weights`, read-only and live."""
        return _read_only(self._gradients)

    # ---- loss and optimizer ------------------------------------------------------------------

    def compile(
        self,
        loss: str | None,
        optimizer: str | None,
        metrics: Sequence[Measure],
        hyper: Mapping[str, Any],
        loss_params: Sequence[float] = (),
        ignored: int | None = None,
    ) -> None:
        """Choose the loss ("mse", "bce", ... or None) and its numbers, the optimizer, the metrics.

        The optimizer's slots and `iterations` start from zero. "bce" and "focal" after a sigmoid,
        "xent" and "focal_xent" after a softmax are computed from the logits. Rows of the class
        `ignored` do not count in the loss.
        """
        if loss == "gaussian_nll" and self.output_size % 2:
            raise ValueError(
                f"loss: gaussian_nll needs an even number of outputs, got {self.output_size}"
            )
        fused = FUSED.get((loss, self._ops[-1].name))
        if not fused and loss and loss not in kernels.LOSSES:
            raise ValueError(f"loss: unknown {loss!r}")
        self._fused = fused is not None
        self._loss = fused or (kernels.KERNELS[loss] if loss else _no_loss)
        self._loss_params = tuple(loss_params)
        self._target_size = self.output_size // 2 if loss == "gaussian_nll" else self.output_size
        self._ignored = ignored
        self._metrics = list(metrics)
        self._optimizer = optimizer
        self.set_hyper(hyper)
        self.slot_names = slot_names(optimizer, hyper)
        self._slots = {name: self._zeros() for name in self.slot_names}
        if "v" in self._slots:
            self._slots["v"] += initial_value(hyper)
        self.iterations, self.drawn_at = 0, -1

    def set_hyper(self, hyper: Mapping[str, Any]) -> None:
        """Set the optimizer's numbers, such as learning_rate; its slots stay."""
        self._hyper = dict(hyper)

    def take_averages(self) -> None:
        """Let the weights that are trained become their moving averages."""
        for weights, averages in zip(
            self._trained(self._weights), self._trained(self._slots["average"]), strict=True
        ):
            for w, mean in zip(weights, averages, strict=True):
                w[...] = mean

    def get_slot(self, name: str, op: int) -> tuple[Array | None, Array | None]:
        """Return copies of a slot, kernel- and bias-shaped; None where there is no such weight."""
        kernel, bias = self._weighted(op).split(self._views(self._slots[name])[op])
        return None if kernel is None else kernel.copy(), None if bias is None else bias.copy()

    def set_slot(self, name: str, op: int, kernel: Array | None, bias: Array | None) -> None:
        """Copy arrays into an optimizer slot."""
        views = self._weighted(op).split(self._views(self._slots[name])[op])
        for part, target, array in zip(("kernel", "bias"), views, (kernel, bias), strict=True):
            if target is not None:
                _copy(part, target, _required(array))

    # ---- training ----------------------------------------------------------------------------

    def train(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        index: Array,
        batch_size: int,
        start: int = 0,
        max_seconds: float = math.inf,
        num_threads: int | None = None,
        sums: Array | None = None,
        learning_rates: Array | None = None,
        outputs: Array | None = None,
        penalty_scales: Array | None = None,
    ) -> tuple[int, float, list[float]]:
        """Train on batches of rows `index` from position `start` on.

        `learning_rates` are those of the steps from position 0 on, instead of the optimizer's;
        `penalty_scales`, likewise, what the penalties on weights are multiplied by.
        `outputs` (len(index), output_size) takes what the network gives for each position.

        Returns
        -------
        stop : int
            The position in `index` reached after about `max_seconds`, at least one batch.
        loss_sum : float
            Sum of the weighted losses of the rows seen, and of what `sums` held before.
        metric_sums : list of float
            Sum of each metric over the same rows, unweighted.
        """
        batches = self._batches(x, y, sample_weight, index, batch_size, start, max_seconds)
        self._rows_in_all = len(index)
        hyper, first = self._hyper, start // batch_size
        rates = repeat(None) if learning_rates is None else learning_rates[first:]
        scales = repeat(1.0) if penalty_scales is None else penalty_scales[first:]
        numbers = zip(rates, scales, strict=False)

        def step(x: Array, y: Array, weight: Array | None) -> tuple[list[float], Array]:
            rate, scale = next(numbers)
            if rate is not None:
                self._hyper = {**hyper, "learning_rate": float(rate)}
            return self._step(x, y, weight, float(scale))

        try:
            return self._run(step, batches, sums, start, outputs)
        finally:
            self._hyper = hyper

    def evaluate(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        index: Array,
        start: int = 0,
        max_seconds: float = math.inf,
        num_threads: int | None = None,
        sums: Array | None = None,
        outputs: Array | None = None,
    ) -> tuple[int, float, list[float]]:
        """Return what `train` does, without training."""
        if self._ignored is not None and y.ndim == 1:  # all rows are one batch to what is left out
            sample_weight = self._counted(y, sample_weight, y.take(index))
        batches = self._batches(x, y, sample_weight, index, BLOCK_ROWS, start, max_seconds)
        return self._run(self._measure, batches, sums, start, outputs)

    def _counted(self, y: Array, weight: Array | None, batch: Array) -> Array:
        """Weights of the rows of `y`: 0 of the class that is ignored, more of others in turn."""
        counted = int(np.count_nonzero(batch != self._ignored))
        weights = np.where(y == self._ignored, 0, len(batch) / max(counted, 1)).astype(self.dtype)
        return weights if weight is None else weights * weight

    def _batches(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        index: Array,
        batch_size: int,
        start: int,
        max_seconds: float,
    ) -> Iterator[Batch]:
        """Yield x, y and weights of one batch after the other, until the time is up."""
        self._check(x, y, sample_weight, index)
        deadline = perf_counter() + max_seconds
        while start < len(index):
            rows = index[start : start + batch_size]
            weight = None if sample_weight is None else sample_weight.take(rows)
            yield self._read(x.take(rows, axis=0)), y.take(rows, axis=0), weight
            start += len(rows)
            if perf_counter() >= deadline:
                return

    def _any(self, y: Array) -> Array:
        """Return `y` with an id that exists in place of the class that is ignored."""
        if self._ignored is None or y.ndim > 1:
            return y
        return np.where(y == self._ignored, 0, y)

    def _run(
        self,
        step: Callable[[Array, Array, Array | None], tuple[list[float], Array]],
        batches: Iterator[Batch],
        sums: Array | None,
        start: int,
        outputs: Array | None,
    ) -> tuple[int, float, list[float]]:
        """Call `step` on each batch and add the sums it returns to `sums`, by default to zeros."""
        if sums is None:
            sums = np.zeros(1 + len(self._metrics))
        for x, y, weight in batches:
            found, p = step(x, y, weight)
            sums += found
            if outputs is not None:
                outputs[start : start + len(x)] = p
            start += len(x)
        return start, float(sums[0]), sums[1:].tolist()

    def _step(
        self, x: Array, y: Array, weight: Array | None, penalty_scale: float
    ) -> tuple[list[float], Array]:
        """Take one optimizer step on a batch; return sums of losses and metrics, and outputs."""
        if self._ignored is not None and y.ndim == 1:
            weight = self._counted(y, weight, y)
        output, kept = self._forward(x, activate_last=not self._fused, step=self.iterations + 1)
        loss, dp = self._loss(output, self._any(y), weight, 1.0 / len(x), *self._loss_params)
        total = float(loss.sum()) + len(x) * penalty_scale * self.penalty()
        sums, p = self._metric_sums(output, y)
        self._backward(kept, dp, need_dx=False)
        self._change_weights(len(x) / self._rows_in_all, penalty_scale)
        return [total, *sums], p

    def _measure(self, x: Array, y: Array, weight: Array | None) -> tuple[list[float], Array]:
        """Return the sums of losses and metrics of a block of rows, and their outputs."""
        output, _ = self._forward(x, activate_last=not self._fused)
        loss, _ = self._loss(output, self._any(y), weight, 1.0, *self._loss_params)
        total = float(loss.sum()) + len(x) * self.penalty()
        sums, p = self._metric_sums(output, y)
        return [total, *sums], p

    def _metric_sums(self, output: Array, y: Array) -> tuple[list[float], Array]:
        """Sum each metric, and return the outputs; `output` is logits where the loss is fused."""
        p = self._ops[-1].apply(output.copy())[0] if self._fused else output
        seen = p[:, : self._target_size]
        return [float(measure(metric, seen, y).sum()) for metric in self._metrics], p

    def predict(self, x: Array, out: Array, num_threads: int | None = None) -> None:
        """Write the outputs for `x` (n, input_size) into `out` (n, output_size)."""
        for start in range(0, len(x), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            out[rows], _ = self._forward(self._read(x[rows]))

    def predict_few(self, x: object) -> Array | None:
        """Return None: this twin knows no short way for a few rows."""
        return None

    def forward(self, x: Array, num_threads: int | None = None, training: bool = False) -> Array:
        """Return the outputs for `x` and keep the activations for `backward`."""
        step = 0
        if training:  # each draws its own random numbers, the first those of `train`'s next step
            self._draws = self._draws + 1 if self.drawn_at == self.iterations else 0
            self.drawn_at = self.iterations
            step = self.iterations + 1 + (self._draws << 32)
        y, self._kept = self._forward(self._read(x), step=step)
        return y.copy()

    def backward(self, dy: Array, num_threads: int | None = None) -> Array | None:
        """Store the gradients of the weights for the gradient `dy` of the output; return dx.

        After a forward of sparse rows there is no dx: it is None.
        """
        if self._kept is None or dy.shape != (len(self._kept[0][0]), self.output_size):
            raise ValueError(f"dy must have the shape of the last forward's output: {dy.shape}")
        return self._backward(self._kept, dy, need_dx=True)

    def apply_gradients(self, num_threads: int | None = None, penalty_scale: float = 1) -> None:
        """Take one optimizer step with the stored gradients."""
        if self._optimizer is None:
            raise ValueError("apply_gradients needs an optimizer: call compile with one")
        self._change_weights(1.0, penalty_scale)

    def _change_weights(self, share: float, penalty_scale: float) -> None:
        """Do a step with its gradients, `share` of those of a pass that are summed."""
        self.iterations += 1
        hyper, gradients = self._hyper, self._gradients
        summed = 0 if self._optimizer == "sum" else hyper.get("gradient_accumulation_steps") or 1
        update = -(-self.iterations // summed) if summed else self.iterations
        if "sums" in self._slots:
            gradients = self._slots["sums"]
            part = 1 / summed if summed else share
            for sums, given in zip(
                self._trained(gradients), self._trained(self._gradients), strict=True
            ):
                for target, g in zip(sums, given, strict=True):
                    target += part * g
        if summed and self.iterations % summed == 0:
            self._update(gradients, update, penalty_scale)
            if "sums" in self._slots:
                gradients[:] = 0
        if "average" in self._slots:
            self._average(update)
        for op in self._ops:
            if isinstance(op, _Weighted) and op.trainable:
                op.constrain()

    def _average(self, update: int) -> None:
        """Take the weights into their averages; where it is time for it, let them become these."""
        every = self._hyper.get("ema_overwrite_frequency")
        kept = {"beta_1": self._hyper["ema_momentum"] if update > 1 else 0.0}
        for weights, averages in zip(
            self._trained(self._weights), self._trained(self._slots["average"]), strict=True
        ):
            for w, mean in zip(weights, averages, strict=True):
                kernels.average(w, mean, {}, kept)
                if every and update % every == 0:
                    w[...] = mean

    def _update(self, gradients: Array, update: int, penalty_scale: float) -> None:
        """Take optimizer step number `update` with these gradients."""
        hyper, optimizer = self._hyper, str(self._optimizer)
        numbers = _corrected(optimizer, hyper, update)
        penalty = self._l1 * np.sign(self._weights) + 2 * self._l2 * self._weights
        g = gradients + self._weights.dtype.type(penalty_scale) * penalty
        _clip(self._trained(g), hyper)
        slots = {name: self._trained(slot) for name, slot in self._slots.items()}
        rates = [op.rate for op in self._ops if isinstance(op, _Weighted) and op.trainable]
        arrays = zip(self._trained(self._weights), self._trained(g), rates, strict=True)
        for number, (weights, given, rate) in enumerate(arrays):
            here = {**numbers, "learning_rate": numbers["learning_rate"] * rate}
            for part, (w, dw) in enumerate(zip(weights, given, strict=True)):
                w -= w * (hyper["learning_rate"] * rate * (hyper.get("weight_decay") or 0))
                own = {name: slot[number][part] for name, slot in slots.items()}
                kernels.KERNELS[optimizer](dw, w, own, here)

    def train_threads(self, batch_size: int, num_threads: int | None = None) -> int:
        """Return 1: this class starts no threads of its own."""
        return 1

    def _forward(
        self, x: Array, activate_last: bool = True, step: int = 0
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """Return the output, and of each op its input and what its derivative needs.

        `step` is the optimizer step that the pass is part of, 0 outside of training.
        """
        kept = []
        for op in self._ops:
            op.step = step
            z = op.linear(x)
            y, saved = op.apply(z) if activate_last or op is not self._ops[-1] else (z, z)
            kept.append((x, saved))
            x = y
        return x, kept

    def _backward(self, kept: list[tuple[Array, Array]], dy: Array, need_dx: bool) -> Array | None:
        """Carry dy back through the ops; with need_dx False, `dy` is dz of a fused last op."""
        for number in reversed(range(len(self._ops))):
            op, (x, saved) = self._ops[number], kept[number]
            fused = not need_dx and self._fused and op is self._ops[-1]
            dz = dy if fused else op.activation_backward(saved, dy)
            dx = op.linear_backward(x, dz, need_dx or number > 0)
            if dx is not None:
                dy = dx
        return dx if need_dx else None

    def _read(self, x: Any) -> Any:
        """Rows as the ops take them: numbers of other types are converted, sparse rows stay so."""
        if not isinstance(x, CSR):
            return x.astype(self.dtype, copy=False)
        if not isinstance(self._ops[0], _Dense):
            raise ValueError(f"x: sparse rows go into a dense op, got {self.ops[0]!r} first")
        return x

    def _check(self, x: Array, y: Array, sample_weight: Array | None, index: Array) -> None:
        """Refuse what NumPy would read silently wrong: lengths that differ, ids out of range."""
        if len(y) != len(x):
            raise ValueError(f"y must have as many rows as x ({len(x)}), got {len(y)}")
        if sample_weight is not None and sample_weight.shape != (len(x),):
            raise ValueError(
                f"sample_weight must have shape ({len(x)},), got {sample_weight.shape}"
            )
        if index.size and not 0 <= index.min() <= index.max() < len(x):
            raise ValueError(f"index must lie in [0, {len(x)})")
        if y.ndim == 1:
            counted = y if self._ignored is None else y[y != self._ignored]
            if counted.size and not 0 <= counted.min() <= counted.max() < self.output_size:
                raise ValueError(f"y must hold class ids in [0, {self.output_size})")
        elif y.shape[1] != self._target_size:
            raise ValueError(f"y must have {self._target_size} columns, got {y.shape[1]}")


def measure(metric: Measure, p: Array, t: Array) -> Array:
    """Return the value of each row (n,) of a metric, or of a loss that is reported as one."""
    name, numbers = split_measure(metric)
    kernel = kernels.KERNELS[name]
    if name in kernels.LOSSES:
        losses: Array = kernel(p, t, None, 1.0, *numbers)[0]
        return losses
    values: Array = kernel(p, t, *numbers)
    return values


def _clip(gradients: list[list[Array]], hyper: Mapping[str, Any]) -> None:
    """Make gradients smaller, in place, as the optimizer's numbers ask for."""
    arrays = [array for views in gradients for array in views]
    norms = [math.sqrt(float((array.astype(np.float64) ** 2).sum())) for array in arrays]
    total = math.hypot(*norms)
    for array, norm in zip(arrays, norms, strict=True):
        if limit := hyper.get("global_clipnorm"):
            array *= min(1.0, limit / total) if total else 1.0
        if limit := hyper.get("clipnorm"):
            array *= min(1.0, limit / norm) if norm else 1.0
        if limit := hyper.get("clipvalue"):
            np.clip(array, -limit, limit, out=array)


def _corrected(optimizer: str, hyper: Mapping[str, Any], t: int) -> Mapping[str, Any]:
    """The numbers of step t = 1, 2, ..., corrected for the means' bias to 0."""
    rate = hyper["learning_rate"]
    if optimizer in ("adam", "amsgrad"):
        root = math.sqrt(1 - hyper["beta_2"] ** t)
        return {**hyper, "learning_rate": rate * root / (1 - hyper["beta_1"] ** t)}
    if optimizer == "adamax":
        return {**hyper, "learning_rate": rate / (1 - hyper["beta_1"] ** t)}
    if optimizer == "nadam":
        root = math.sqrt(1 - hyper["beta_2"] ** t)
        u = [hyper["beta_1"] * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
        product = math.prod(u[:t])
        return {
            **hyper,
            "learning_rate": rate * root,
            "epsilon": hyper["epsilon"] * root,
            "part_m": u[t] / (1 - product * u[t]),
            "part_g": (1 - u[t - 1]) / (1 - product),
        }
    return hyper


def _no_loss(*arguments: Any) -> tuple[Array, Array]:
    """Stand in for the loss until `compile` sets one."""
    raise ValueError("the network has no loss: call compile with one")


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _required(array: Array | None) -> Array:
    if array is None:
        raise ValueError("op has no such weight")
    return array


def _copy(name: str, target: Array, source: Array) -> None:
    """Copy without broadcasting."""
    if source.shape != target.shape:
        raise ValueError(f"{name} must have shape {target.shape}, got {source.shape}")
    target[...] = source
