"""PyTorch, eager."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from tasks import Elementwise, Matmul, Prediction, Training
from torch import nn

from adapters import Adapter, Function, Trainer
from fastnn.cli.workloads import HYPER, Array, Workload

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
LOSSES: dict[str, Callable[..., Any]] = {
    "xent": nn.functional.cross_entropy,
    "mse": nn.functional.mse_loss,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "copy": lambda x, out: out.copy_(x),
}
PREDICTED_ROWS = 1024  # at a time, so that the activations stay in the cache


class Peer(Adapter):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        torch.set_flush_denormal(True)

    def versions(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def training(self, task: Training) -> Trainer:
        return Loop(task)

    def matmul(self, task: Matmul) -> Function:
        dtype = getattr(torch, task.dtype)
        a, b = (torch.from_numpy(array).to(dtype) for array in task.operands())
        transpose_a, transpose_b = task.transposes
        left, right = a.T if transpose_a else a, b.T if transpose_b else b
        out = torch.empty(task.shape[:2], dtype=dtype)
        return lambda: torch.mm(left, right, out=out)

    def elementwise(self, task: Elementwise) -> Function:
        x, function = torch.from_numpy(task.operand()), FUNCTIONS[task.function]
        out = torch.empty_like(x)
        return lambda: function(x, out=out)

    def prediction(self, task: Prediction) -> Function:
        model = sequential(task.workload)
        if task.workload.loss == "xent":
            model.append(nn.Softmax(dim=1))
        put_weights(model, task.workload.weights())
        run = self.prepared(model)
        x, outputs = task.operand(), task.workload.layers[-1][0]

        @torch.inference_mode()
        def predict() -> Array:
            rows: Any = torch.from_numpy(x)
            if len(x) <= PREDICTED_ROWS:
                return as_array(run(rows))
            out: Any = torch.empty(len(x), outputs)
            for part, into in zip(
                rows.split(PREDICTED_ROWS), out.split(PREDICTED_ROWS), strict=True
            ):
                into.copy_(run(part))
            return as_array(out)

        return predict

    def prepared(self, model: Any) -> Any:
        """The model as it is called for predictions."""
        return model

    def to_numpy(self, result: Any) -> Array:
        return as_array(result.double()) if isinstance(result, torch.Tensor) else result


class Loop:
    """The usual loop over the batches; the optimizer is the fused one."""

    def __init__(self, task: Training) -> None:
        self.task = task
        self.first = task.workload.weights()
        self.model = sequential(task.workload)
        x: Any
        y: Any
        x, y = (torch.from_numpy(array) for array in task.data())
        y = y.long() if task.workload.loss == "xent" else y
        size = task.workload.batch_size
        self.batches = list(zip(x.split(size), y.split(size), strict=True))
        self.criterion = LOSSES[task.workload.loss]

    def autocast(self) -> Any:
        """Where the forward pass and the loss run: in bfloat16 if the task says so."""
        enabled = self.task.dtype == "mixed_bfloat16"
        return torch.autocast("cpu", torch.bfloat16) if enabled else contextlib.nullcontext()

    def reset(self) -> None:
        put_weights(self.model, self.first)
        hyper = HYPER[self.task.workload.optimizer]
        parameters, rate = self.model.parameters(), hyper["learning_rate"]
        if self.task.workload.optimizer == "sgd":
            self.optimizer: Any = torch.optim.SGD(parameters, rate, fused=True)
        else:
            betas = (hyper["beta_1"], hyper["beta_2"])
            self.optimizer = torch.optim.Adam(parameters, rate, betas, hyper["epsilon"], fused=True)

    def run(self) -> None:
        for _ in range(self.task.epochs):
            for x, y in self.batches:
                self.optimizer.zero_grad()
                with self.autocast():
                    loss = self.criterion(self.model(x), y)
                loss.backward()
                self.optimizer.step()

    def weights(self) -> list[Array]:
        arrays = [p.detach().numpy() for p in self.model.parameters()]
        return [array.T.copy() if array.ndim == 2 else array.copy() for array in arrays]


def as_array(tensor: Any) -> Array:
    array: Array = tensor.numpy()
    return array


def sequential(workload: Workload) -> Any:
    """The network up to its logits."""
    layers: list[nn.Module] = []
    inputs = workload.inputs
    for units, activation in workload.layers:
        layers.append(nn.Linear(inputs, units))
        if activation in ACTIVATIONS:
            layers.append(ACTIVATIONS[activation]())
        inputs = units
    return nn.Sequential(*layers)


@torch.no_grad()
def put_weights(model: Any, weights: list[Array]) -> None:
    for parameter, array in zip(model.parameters(), weights, strict=True):
        parameter.copy_(torch.from_numpy(array).T if array.ndim == 2 else torch.from_numpy(array))
