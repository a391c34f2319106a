"""What a model knows once it is compiled: optimizer, loss, metrics, and checks against them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn._arguments import Data
from fastnn._data import (
    as_any_targets,
    as_features,
    as_labels,
    as_sample_weight,
    as_targets,
    check_neutral,
)
from fastnn._lock import ModelLock
from fastnn._loops import Fit
from fastnn._own_loss import OwnLossEngine
from fastnn._registry import serialize
from fastnn.callbacks import History
from fastnn.metrics import Metric, engine_names
from fastnn.metrics import get_list as metric_list
from fastnn.metrics import results as metric_results

# Keras's arguments that fastnn does not support yet, at the values that ask for nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "loss_weights": (None,),
    "weighted_metrics": (None, []),
    "run_eagerly": (False, None),
    "steps_per_execution": (1, None),
    "jit_compile": ("auto", False, None, True),  # there is nothing left to compile
    "auto_scale_loss": (True,),
}


class Compiled:
    """The part of a model that says how to train; `Trainer` adds what does."""

    _network: Any
    _dtype: np.dtype[Any]
    count_params: Any
    _output_size_for: Any
    _build_for: Any
    input_size: int | None

    def __init__(self) -> None:
        self._lock = ModelLock()
        self._optimizer: optimizers.Optimizer | None = None
        self._loss: losses.Loss | None = None
        self._history: History | None = None
        self.stop_training = False
        self._run: Fit | None = None  # of the `fit` that the model is in
        self._metrics: list[Metric] = []
        self._hyper_sent: Mapping[str, Any] | None = None
        self._rows_forward: int | None = None  # of the activations that the network keeps
        self._has_gradients = False

    @property
    def optimizer(self) -> optimizers.Optimizer | None:
        """The optimizer that `compile` chose; None before."""
        return self._optimizer

    @property
    def loss(self) -> losses.Loss | None:
        """The loss that `compile` chose, or None."""
        return self._loss

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that `compile` chose."""
        return list(self._metrics)

    @property
    def history(self) -> History | None:
        """What the last `fit` recorded, also where it was interrupted; None before."""
        return self._history

    @property
    def iterations(self) -> int:
        """Optimizer steps taken since `compile`."""
        return 0 if self._network is None else int(self._network.iterations)

    def _refuse_inside_fit(self, call: str) -> None:
        """The lock is re-entrant: a callback of `fit` gets here."""
        if self._lock.fitting:
            raise ValueError(f"{call}: expected a model that is not in fit, got one that is")

    # ---- compile ------------------------------------------------------------------------------

    def compile(
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **keras: Any
    ) -> None:
        """Choose how to train. The optimizer begins anew.

        Parameters
        ----------
        optimizer : str or Optimizer
            Keras's default is "rmsprop"; here it is "adam".
        loss : str, Loss or callable, optional
            Of a function of your own, f(y_true, y_pred) -> (loss of each sample, its gradient to
            y_pred); see `fastnn.losses.FunctionLoss`. None is enough for `forward`, `backward`
            and `apply_gradients`.
        metrics : list of str or Metric, optional
            "accuracy" is the accuracy that fits the loss and the outputs, as in Keras. At most 8.
        **keras
            Keras's other arguments, at the values that ask for nothing.

        Raises
        ------
        ValueError
            If a name is unknown, a metric needs other targets than the loss, something is not
            supported yet, or a callback calls this during `fit`. Nothing has changed then.
        TypeError
            If an argument is of the wrong type.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> from fastnn.optimizers import Adam
        >>> model = Sequential([Dense(3, "softmax", input_shape=(2,))])
        >>> model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> model.metrics_names
        ['loss', 'accuracy']
        """
        check_neutral("compile", keras, _NEUTRAL)
        new_optimizer = optimizers.get(optimizer)
        new_loss = losses.get(loss)
        new_metrics = metric_list(metrics, new_loss)
        with self._lock:
            self._refuse_inside_fit("compile")
            if self._network is not None:
                compile_network(self._network, new_optimizer, new_loss, new_metrics)
            self._optimizer, self._loss, self._metrics = new_optimizer, new_loss, new_metrics
            self._forget()
            new_optimizer.join(self)

    def _forget(self) -> None:
        """A new network, or one compiled anew, has no activations, gradients or numbers."""
        self._forget_rows()
        self._hyper_sent = None

    def _forget_rows(self, gradients: bool = True) -> None:
        """The engine overwrites the activations that it kept, in training the gradients, too."""
        self._rows_forward = None
        if gradients:
            self._has_gradients = False

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was called with, as plain data but for a function as loss; None before.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> sorted(model.get_compile_config())
        ['loss', 'metrics', 'optimizer']
        """
        if self.optimizer is None:
            return None
        own = isinstance(self.loss, losses.FunctionLoss)
        return {
            "optimizer": serialize(self.optimizer),
            "loss": self.loss if self.loss is None or own else serialize(self.loss),
            "metrics": [serialize(metric) for metric in self._metrics],
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config` says.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model, other = (Sequential([Dense(1, input_shape=(2,))]) for _ in range(2))
        >>> model.compile("sgd", "mse")
        >>> other.compile_from_config(model.get_compile_config())
        >>> other.optimizer.learning_rate
        0.01
        """
        self.compile(**config)

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` returns."""
        return ["loss", *(metric.name for metric in self._metrics)]

    def _engine(self) -> Any:
        """What trains and evaluates: the network, around it what calls a loss of one's own."""
        if not isinstance(self.loss, losses.FunctionLoss):
            return self._network
        names = engine_names(self._metrics, self.loss, self._network.output_size)
        return OwnLossEngine(self._network, self.loss, self._optimizer, names)  # type: ignore[arg-type]

    def _send_hyper(self) -> None:
        """Pass a changed learning rate on."""
        hyper = self.optimizer.hyper  # type: ignore[union-attr]
        if hyper is not self._hyper_sent:
            self._network.set_hyper(hyper)
            self._hyper_sent = hyper

    # ---- checks -------------------------------------------------------------------------------

    def _check_compiled(self, call: str) -> None:
        if self.optimizer is None:
            raise ValueError(f"{call}: expected a compiled model; call model.compile(...) first")
        if self.loss is None:
            raise ValueError(f"{call}: expected a model compiled with a loss, got loss=None")

    def _check_data(
        self, x: Any, y: Any, sample_weight: Any, *, columns: int | None, prefix: str = ""
    ) -> Data:
        """Training or test data as the engine takes them."""
        x = as_features(x, self._dtype, columns, prefix + "x")
        rows, outputs = len(x), self._output_size_for(x.shape[1])
        if rows == 0:
            raise ValueError(f"{prefix}x: expected at least one row, got shape {x.shape}")
        if y is None:
            raise ValueError(f"{prefix}y: expected targets, got None")
        if self.loss.sparse:  # type: ignore[union-attr]
            y = as_labels(y, rows, outputs, prefix + "y")
        elif isinstance(self.loss, losses.FunctionLoss) and not self._metrics:
            y = as_any_targets(y, self._dtype, rows, outputs, prefix + "y")
        else:
            y = as_targets(y, self._dtype, rows, outputs, prefix + "y")
        return x, y, as_sample_weight(sample_weight, self._dtype, rows, prefix + "sample_weight")

    def _inputs(self, x: Any) -> np.ndarray:
        """`x` as the engine takes it; builds the model at its first data."""
        array = as_features(x, self._dtype, self.input_size)
        if self._network is None:
            with self._lock:
                self._build_for(array.shape[1])
        return array

    # ---- results ------------------------------------------------------------------------------

    def _sums(self) -> np.ndarray:
        """Zeros for the sums of the loss and of what the engine measures."""
        outputs = self._network.output_size
        return np.zeros(1 + len(engine_names(self._metrics, self.loss, outputs)))

    def _means(self, loss: float, values: list[float], samples: int) -> dict[str, float]:
        """Sums over the samples since the pass began, as means with their names."""
        means = [float(value) / samples for value in values]
        outputs = self._network.output_size
        found = metric_results(self._metrics, self.loss, outputs, means) if means else []
        return dict(zip(self.metrics_names, (float(loss) / samples, *found), strict=True))


def compile_network(
    network: Any,
    optimizer: optimizers.Optimizer,
    loss: losses.Loss | None,
    metrics: list[Metric],
) -> None:
    """Pass on what `compile` chose; of a loss of one's own, the engine knows nothing."""
    if isinstance(loss, losses.FunctionLoss):
        loss, metrics = None, []
    names = engine_names(metrics, loss, network.output_size)
    engine_loss, params = (loss.engine_name, loss.params) if loss else (None, ())
    network.compile(engine_loss, optimizer.engine_name, names, optimizer.hyper, params)
