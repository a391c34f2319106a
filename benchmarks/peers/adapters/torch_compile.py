"""PyTorch with torch.compile: a whole training step, gradient and update, is one compiled call.

Its matrix products and functions are eager PyTorch's.
"""

from __future__ import annotations

from typing import Any

import torch
from tasks import Elementwise, Matmul, Training

from adapters import Function, Trainer, UnsupportedError
from adapters import torch as eager
from fastnn.cli.workloads import HYPER


class Peer(eager.Peer):
    def training(self, task: Training) -> Trainer:
        return CompiledStep(task)

    def matmul(self, task: Matmul) -> Function:
        raise UnsupportedError("calls PyTorch's")

    def elementwise(self, task: Elementwise) -> Function:
        raise UnsupportedError("calls PyTorch's")

    def prepared(self, model: Any) -> Any:
        torch.compiler.reset()
        return torch.compile(model, dynamic=False)


class CompiledStep(eager.Loop):
    """Faster than compiling the model alone, whose optimizer and wrappers then remain."""

    def __init__(self, task: Training) -> None:
        super().__init__(task)
        self.names = [name for name, _ in self.model.named_parameters()]
        self.update = UPDATES[task.workload.optimizer]
        torch.compiler.reset()  # else what an earlier task compiled counts against a limit
        self.step = torch.compile(self.eager_step, dynamic=False)

    def reset(self) -> None:
        eager.put_weights(self.model, self.first)
        self.parameters = [p.detach() for p in self.model.parameters()]
        self.slots = [[torch.zeros_like(p) for p in self.parameters] for _ in range(2)]
        self.t = torch.zeros(())

    def loss(self, parameters: list[Any], x: Any, y: Any) -> Any:
        named = dict(zip(self.names, parameters, strict=True))
        with self.autocast():
            return self.criterion(torch.func.functional_call(self.model, named, (x,)), y)

    def eager_step(self, parameters: list[Any], slots: list[Any], t: Any, x: Any, y: Any) -> None:
        gradients = torch.func.grad(self.loss)(parameters, x, y)
        self.update(parameters, gradients, slots, t)

    @torch.no_grad()
    def run(self) -> None:
        for _ in range(self.task.epochs):
            for x, y in self.batches:
                self.step(self.parameters, self.slots, self.t, x, y)


def adam(parameters: list[Any], gradients: list[Any], slots: list[Any], t: Any) -> None:
    hyper = HYPER["adam"]
    b1, b2 = hyper["beta_1"], hyper["beta_2"]
    t.add_(1)
    rate = hyper["learning_rate"] * torch.sqrt(1 - b2**t) / (1 - b1**t)
    for w, g, m, v in zip(parameters, gradients, *slots, strict=True):
        m.lerp_(g, 1 - b1)
        v.lerp_(g * g, 1 - b2)
        w.sub_(rate * m / (v.sqrt() + hyper["epsilon"]))


def sgd(parameters: list[Any], gradients: list[Any], slots: list[Any], t: Any) -> None:
    for w, g in zip(parameters, gradients, strict=True):
        w.sub_(HYPER["sgd"]["learning_rate"] * g)


UPDATES = {"adam": adam, "sgd": sgd}
