"""Training on all samples at once: SciPy's L-BFGS-B on the loss and gradient of the engine.

SciPy's minimizer is a call that ends when it is done, and `fit` wants it an iteration at a time. So
it runs in a thread of its own, which asks for every evaluation and says when an iteration is
complete; all work on the model is done by the thread that asked for the iteration.
"""

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from fastnn.layers._weighted import WeightedLayer
from fastnn.losses import FunctionLoss
from fastnn.optimizers import LBFGS

# ops that are functions of their input and weights alone
CALM_OPS = (
    "dense", "activation", "scale_shift", "layer_norm", "prelu", "embed", "take", "fork", "join",
)  # fmt: skip
BLOCK_ROWS = 4096  # of one pass through the network
SLICE_SECONDS = 0.05

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


class _Stopped(BaseException):
    """Ends the minimizer's thread."""


class Search:
    """A minimization that goes on by one iteration at each call of `iterate`.

    Parameters
    ----------
    start : ndarray (n,)
        Where it begins.
    options : dict
        SciPy's, of L-BFGS-B.

    Raises
    ------
    ImportError
        If SciPy is missing.
    """

    def __init__(self, start: np.ndarray, options: dict[str, Any]) -> None:
        try:
            from scipy.optimize import minimize
        except ImportError as error:
            raise ImportError("LBFGS: expected SciPy, got none: pip install scipy") from error
        self._minimize, self._start, self._options = minimize, start, options
        self._questions: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._thread = Thread(target=self._run, name="fastnn-lbfgs", daemon=True)
        self._waits = False  # for an answer, after an iteration

    def iterate(self, evaluate: Evaluate) -> bool:
        """One more iteration; False where there is none because the search has ended."""
        if self._waits:
            self._answers.put(True)
        elif self._thread.ident is None:
            self._thread.start()
        while True:
            kind, value = self._questions.get()
            if kind == "evaluate":
                self._answers.put(evaluate(value))
                continue
            self._waits = kind == "iteration"
            if kind == "error":
                raise value
            return self._waits

    def close(self) -> None:
        """End the thread, whatever it waits for."""
        self._answers.put(None)

    def _run(self) -> None:
        try:
            self._minimize(
                lambda x: self._ask("evaluate", x.copy()),
                self._start,
                method="L-BFGS-B",
                jac=True,
                callback=lambda x: self._ask("iteration", None),
                options=self._options,
            )
            self._questions.put(("end", None))
        except _Stopped:
            pass
        except BaseException as error:
            self._questions.put(("error", error))

    def _ask(self, kind: str, value: Any) -> Any:
        self._questions.put((kind, value))
        answer = self._answers.get()
        if answer is None:
            raise _Stopped
        return None if kind == "iteration" else answer


class Objective:
    """The sums over all samples of a model's losses and metrics, and the gradients of its weights.

    Parameters
    ----------
    model : Sequential
        Compiled with an `LBFGS`, whose steps only add gradients up.
    engine
        What evaluates: the network or an `OwnLossEngine`.
    num_threads : int, optional
    """

    def __init__(self, model: Any, engine: Any, num_threads: int | None = None) -> None:
        self._model, self._engine, self._threads = model, engine, num_threads
        self.layers = trained_layers(model)
        self._whole = isinstance(model.loss, FunctionLoss)  # its gradients are means over batches

    def sums(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        index: np.ndarray,
        outputs: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """What `train` of an engine returns for all rows `index`; the optimizer's step stays."""
        for layer in self.layers:
            layer.set_slot("sums", [np.zeros_like(w) for w in layer.trainable_weights])
        rows = len(index) if self._whole else BLOCK_ROWS
        stop, sums = 0, self._model._sums()
        iterations = self._model._network.iterations
        try:
            while stop < len(index):
                stop, loss, values = self._engine.train(
                    x, y, sample_weight, index, rows, stop, SLICE_SECONDS, self._threads, sums,
                    outputs=outputs,
                )  # fmt: skip
        finally:
            self._model._network.iterations = iterations
        return stop, loss, values

    def gradients(self) -> list[tuple[WeightedLayer, str, np.ndarray, np.ndarray]]:
        """Layer, name, weight and gradient of the mean loss at the last `sums`, no penalties."""
        return [
            (layer, name, w, g)
            for layer in self.layers
            for name, w, g in zip(
                layer.stepped_names, layer.trainable_weights, layer.get_slot("sums"), strict=True
            )
        ]


class FullBatchEngine:
    """`train` of an engine, as docs/architecture.md has it, of which a call is an iteration.

    Parameters
    ----------
    model, engine
        As of `Objective`.
    optimizer : LBFGS
    """

    def __init__(self, model: Any, engine: Any, optimizer: LBFGS) -> None:
        self._model, self._objective = model, Objective(model, engine)
        self._search = Search(self._vector(), optimizer.options)
        self._accepted = self._vector()
        self._under_way = False  # whether the weights may be others than the accepted ones
        self._result: tuple[int, float, list[float]] | None = None

    def _vector(self) -> np.ndarray:
        """The weights that are trained, one after the other."""
        layers = self._objective.layers
        parts = [np.ravel(w) for layer in layers for w in layer.trainable_weights]
        return np.concatenate([np.empty(0), *parts])

    def _put(self, vector: np.ndarray) -> None:
        """Write them back."""
        start = 0
        for layer in self._objective.layers:
            weights = layer.get_weights()
            for i, weight in enumerate(layer.trainable_weights):
                part = vector[start : start + weight.size]
                weights[i] = part.reshape(weight.shape).astype(weight.dtype)
                start += weight.size
            layer.set_weights(weights)

    def train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        index: np.ndarray,
        batch_size: int,
        start: int,
        max_seconds: float,
        num_threads: int | None = None,
        sums: np.ndarray | None = None,
        learning_rates: np.ndarray | None = None,
        outputs: np.ndarray | None = None,
    ) -> tuple[int, float, list[float]]:
        """An iteration on the rows `index`; the results are those of the weights it ends with."""
        if trained_layers(self._model) != self._objective.layers:
            raise ValueError("trainable: expected no change while LBFGS is in fit, got one")
        order = np.argsort(index)  # any order of them gives the same bits
        seen = None if outputs is None else np.empty_like(outputs)
        data = (x, y, sample_weight, index[order], seen)

        def evaluate(vector: np.ndarray) -> tuple[float, np.ndarray]:
            self._put(vector)
            self._result = self._objective.sums(*data)
            return self._result[1] / len(index), self._gradient()

        self._under_way = True
        if self._search.iterate(evaluate):
            self._accepted = self._vector()
            self._model._network.iterations += 1
        else:
            self._put(self._accepted)
            self._result = self._objective.sums(*data)
            self._model.stop_training = True
        self._under_way = False
        assert self._result is not None
        stop, loss, values = self._result
        if sums is not None:
            sums[:] = [loss, *values]
        if outputs is not None:
            outputs[order] = seen
        return stop, loss, values

    def _gradient(self) -> np.ndarray:
        """That of the loss with the penalties on weights."""
        parts = []
        for layer, name, w, g in self._objective.gradients():
            part = g.astype(np.float64)
            if penalty := layer._setting_of(name, "regularizer"):
                part += penalty.l1 * np.sign(w) + 2 * penalty.l2 * w.astype(np.float64)
            parts.append(np.ravel(part))
        return np.concatenate([np.empty(0), *parts])

    def close(self) -> None:
        """End the search; where one was cut off, its last complete iteration counts."""
        self._search.close()
        if self._under_way:  # else a callback may have put others in their place
            self._put(self._accepted)


def weighted_layers(model: Any) -> list[WeightedLayer]:
    """The layers that have weights to step, also those inside of others."""
    every = [each for layer in model.layers for each in layer.leaves()]
    return [each for each in every if isinstance(each, WeightedLayer) and each.stepped_names]


def trained_layers(model: Any) -> list[WeightedLayer]:
    """Those of them that are trained."""
    return [layer for layer in weighted_layers(model) if layer.trainable]


def check_model(model: Any) -> None:
    """Refuse a built model whose loss depends on more than its weights, or that restricts these."""
    strangers = sorted({op[0] for op in model._network.ops} - set(CALM_OPS))
    if strangers:
        raise ValueError(
            f"LBFGS: expected layers that do the same in training and outside of it, got "
            f"{', '.join(strangers)}"
        )
    for layer in weighted_layers(model):
        if any(layer._setting_of(name, "constraint") for name in layer.stepped_names):
            raise ValueError(f"LBFGS: layer {layer.name!r}: expected no constraints, got {layer!r}")
        if layer.learning_rate_multiplier != 1:
            raise ValueError(
                f"LBFGS: layer {layer.name!r}: expected learning_rate_multiplier=1, got "
                f"{layer.learning_rate_multiplier}"
            )
