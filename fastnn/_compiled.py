"""What a model knows once it is compiled: optimizer, loss, metrics, and checks against them."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn._arguments import Data, in_rows
from fastnn._data import (
    Shape,
    as_any_targets,
    as_features,
    as_int,
    as_labels,
    as_rows,
    as_sample_weight,
    as_targets,
    check_neutral,
)
from fastnn._lock import ModelLock
from fastnn._loops import Fit
from fastnn._measures import split_measure
from fastnn._registry import serialize
from fastnn._sparse import CSR
from fastnn.callbacks import History
from fastnn.metrics import FunctionMetric, Measures, Metric
from fastnn.metrics import get_list as metric_list

# Keras's arguments that fastnn does not support yet, at the values that ask for nothing
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "loss_weights": (None, 1.0, 1, [1.0]),
    "weighted_metrics": (None, []),
    "run_eagerly": (False, None, True),  # no number is another then
    "jit_compile": ("auto", False, None, True),  # there is nothing left to compile
    "auto_scale_loss": (True,),
}

# What takes all outputs of a sample as one vector; Keras takes the last axis as one.
_OF_ONE_AXIS = (
    "xent",
    "focal_xent",
    "kld",
    "categorical_hinge",
    "cosine",
    "gaussian_nll",
    "argmax_match",
    "in_top_k",
)


class Compiled:
    """The part of a model that says how to train; `Trainer` adds what does."""

    _network: Any
    _dtype: np.dtype[Any]
    _row_work: Any
    _output_shape_for: Any
    _check_ids: Any
    _takes_ids: bool
    _build_for: Any
    _check_takes_sparse: Any
    _sample_shape: Shape | None  # None before it is known
    _optimizer_state: Any
    _set_optimizer_state: Any
    _shapes: tuple[Shape, Shape]  # of a built model's inputs and outputs
    _has_axes: bool  # whether one of them is of more than one axis

    def __init__(self) -> None:
        self._lock = ModelLock()
        self._optimizer: optimizers.Optimizer | None = None
        self._loss: losses.Loss | None = None
        self._history: History | None = None
        self.stop_training = False
        self._run: Fit | None = None  # of the `fit` that the model is in
        self._metrics: list[Metric] = []
        self._measures: Measures | None = None  # of these, once they are known for the network
        self._hyper_sent: Mapping[str, Any] | None = None
        self._search: Any = None  # of fit, with an optimizer of all samples
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
        """Choose how to train.

        An optimizer begins anew, unless it is the one that the model has and still keeps the same
        numbers of each weight.

        Parameters
        ----------
        optimizer : str or Optimizer
            Keras's default is "rmsprop"; here it is "adam".
        loss : str, Loss or callable, optional
            Of a function of your own, f(y_true, y_pred) -> (loss of each sample, its gradient to
            y_pred); see `fastnn.losses.FunctionLoss`. None is enough for `forward`, `backward`
            and `apply_gradients`.
        metrics : list of str, Metric or callable, optional
            "accuracy" is the accuracy that fits the loss and the outputs, as in Keras. Of a
            function of your own, f(y_true, y_pred) -> a number, or an array with one or more a
            sample, called once an epoch; see `fastnn.metrics.FunctionMetric`.
        **keras
            Keras's other arguments, at the values that ask for nothing.

        Raises
        ------
        ValueError
            If a name is unknown, a metric needs other targets than the loss, something is not
            supported yet, another model has trained with the optimizer, or a callback calls this
            during `fit`. Nothing has changed then.
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
        steps = keras.pop("steps_per_execution", None)
        if steps not in (None, "auto"):  # an epoch is one call of the engine, whatever it says
            as_int(steps, "steps_per_execution", 1)
        check_neutral("compile", keras, _NEUTRAL)
        new_optimizer = optimizers.get(optimizer)
        new_loss = losses.get(_only(loss))
        new_metrics = metric_list(metrics, new_loss)
        with self._lock:
            self._refuse_inside_fit("compile")
            new_optimizer.check_free(self)
            if self._network is not None:
                state = self._optimizer_state() if new_optimizer is self._optimizer else None
                slots = self._network.slot_names
                compile_network(self._network, new_optimizer, new_loss, new_metrics)
                if state is not None and slots == self._network.slot_names:
                    self._set_optimizer_state(state)
            self._optimizer, self._loss, self._metrics = new_optimizer, new_loss, new_metrics
            self._forget()
            new_optimizer.join(self)

    def reset_metrics(self) -> None:
        """Nothing: metrics keep nothing from one call to the next. Keras's loops call it.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> Sequential([Dense(1, input_shape=(2,))]).reset_metrics()
        """

    def _forget(self) -> None:
        """A new network, or one compiled anew, has no activations, gradients or numbers."""
        self._forget_rows()
        self._hyper_sent = self._measures = None

    def _forget_rows(self, gradients: bool = True) -> None:
        """The engine overwrites the activations that it kept, in training the gradients, too."""
        self._rows_forward = None
        if gradients:
            self._has_gradients = False

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was called with, as plain data but for functions; None before.

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
            "metrics": [
                metric if isinstance(metric, FunctionMetric) else serialize(metric)
                for metric in self._metrics
            ],
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

    def _full_batch(self) -> Any:
        """What an optimizer of all samples trains with; None where the optimizer is another."""
        if not isinstance(self.optimizer, optimizers.LBFGS):
            return None
        from fastnn._full_batch import FullBatchEngine

        return FullBatchEngine(self, self._engine(), self.optimizer)

    def _refuse_full_batch(self, call: str) -> None:
        if isinstance(self.optimizer, optimizers.LBFGS):
            raise ValueError(f"{call}: expected an optimizer of batches, got LBFGS; call fit")

    def _engine(self) -> Any:
        """What trains and evaluates: the network, around it what calls a loss of one's own."""
        if not isinstance(self.loss, losses.FunctionLoss):
            return self._network
        from fastnn._own_loss import OwnLossEngine  # loads the NumPy twins; rarely needed

        optimizer: Any = self._optimizer
        names, shape = self._measured().names, self._shapes[1]
        return OwnLossEngine(
            self._network, self.loss, optimizer, names, shape, self._targets_are_free()
        )

    def _trains_alone(self) -> bool:
        """Whether the network trains several epochs at once, with nothing to do in between."""
        return (
            self._search is None
            and getattr(type(self._engine()), "trains_epochs", False)
            and not self._measured().of_outputs
        )

    def _targets_are_free(self) -> bool:
        """Whether functions alone read the targets, which may have any shape then."""
        return isinstance(self.loss, losses.FunctionLoss) and all(
            isinstance(metric, FunctionMetric) for metric in self._metrics
        )

    def _measured(self) -> Measures:
        """What the engine measures for the metrics."""
        if self._measures is None:
            self._measures = Measures(self._metrics, self.loss, self._network.output_size)
        return self._measures

    def _send_hyper(self) -> None:
        """Pass a changed learning rate on."""
        hyper = self.optimizer.hyper  # type: ignore[union-attr]
        if hyper is not self._hyper_sent:
            self._network.set_hyper(hyper)
            self._hyper_sent = hyper

    def take_averages(self) -> None:
        """Let the weights that are trained become their moving averages.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> from fastnn.optimizers import SGD
        >>> model = Sequential([Dense(1, input_shape=(2,))])
        >>> model.compile(SGD(0.5, use_ema=True), "mse")
        >>> _ = model.train_on_batch([[1.0, 2.0]], [3.0])
        >>> model.take_averages()
        """
        with self._lock:
            self._network.take_averages()

    # ---- checks -------------------------------------------------------------------------------

    def _check_compiled(self, call: str, *, trains: bool = False) -> None:
        if self.optimizer is None:
            raise ValueError(f"{call}: expected a compiled model; call model.compile(...) first")
        if self.loss is None:
            raise ValueError(f"{call}: expected a model compiled with a loss, got loss=None")
        if trains:  # compiled for another model since then, it comes back if that has not trained
            self.optimizer.join(self)

    def _check_data(
        self, x: Any, y: Any, sample_weight: Any, *, shape: Shape | None, prefix: str = ""
    ) -> Data:
        """Training or test data as the engine takes them, but for the shape of x."""
        x = self._features(x, shape, prefix + "x")
        rows, outputs = len(x), self._output_shape_for(x.shape[1:])
        if rows == 0:
            raise ValueError(f"{prefix}x: expected at least one row, got shape {x.shape}")
        if y is None:
            raise ValueError(f"{prefix}y: expected targets, got None")
        self._check_axes(outputs)
        if self._takes_ids:
            self._check_ids(x, prefix + "x")
        loss: Any = self.loss
        if loss.sparse:
            y = as_labels(y, rows, outputs[-1], prefix + "y", loss.ignored)
        elif self._targets_are_free():
            y = as_any_targets(y, self._dtype, rows, outputs, prefix + "y")
        else:
            y = as_targets(y, self._dtype, rows, loss.target_shape(outputs), prefix + "y")
        for metric in self._metrics:
            metric.check_targets(y, prefix + "y")
        return x, y, as_sample_weight(sample_weight, self._dtype, rows, prefix + "sample_weight")

    def _check_axes(self, outputs: Shape) -> None:
        """Refuse outputs of several axes where the engine would take them all for one."""
        if len(outputs) == 1:
            return
        own = isinstance(self.loss, losses.FunctionLoss)
        measures = Measures(self._metrics, self.loss, prod(outputs)).names
        parts = [
            ("loss", "" if own else self.loss.engine_name),  # type: ignore[union-attr]
            *(("metrics", split_measure(measure)[0]) for measure in measures),
        ]
        refused = [each for each in parts if each[1].removesuffix("_logits") in _OF_ONE_AXIS]
        refused += [("metrics", metric.name) for metric in self._metrics if metric.of_classes]
        for part, name in refused:
            raise ValueError(
                f"{part}: expected outputs of one axis for {name}, got shape {outputs}; put a "
                f"Flatten() last"
            )

    def _enter_data(self, data: Data) -> Data:
        """Data as the engine takes them; builds the model at its first."""
        self._build_for(data[0].shape[1:])
        return in_rows(data)

    def _features(self, x: Any, shape: Shape | None, name: str) -> Any:
        """`x` as the engine takes it, an array or, where the first layer takes that, a `CSR`."""
        array = as_features(x, self._dtype, shape, name, sparse=True)
        if isinstance(array, CSR):
            self._check_takes_sparse(name)
        return array

    def _inputs(self, x: Any) -> Any:
        """`x` as the engine takes it; builds the model at its first data."""
        array = self._features(x, self._sample_shape, "x")
        if self._takes_ids:
            self._check_ids(array, "x")
        if self._network is None:
            with self._lock:
                self._build_for(array.shape[1:])
        return as_rows(array)

    def _outputs(self, rows: np.ndarray) -> np.ndarray:
        """The engine's outputs in the model's shape."""
        shape = self._shapes[1]
        return rows if len(shape) == 1 else rows.reshape(len(rows), *shape)

    # ---- results ------------------------------------------------------------------------------

    def _sums(self) -> np.ndarray:
        """Zeros for the sums of the loss and of what the engine measures."""
        return np.zeros(1 + len(self._measured().names))

    def _means(
        self,
        loss: float,
        values: list[float],
        samples: int,
        y: np.ndarray | None = None,
        outputs: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Sums over the samples since the pass began, as means with their names.

        Metrics of outputs are among them where `y` and the outputs are those of the samples.
        """
        means = [float(value) / samples for value in values]
        if y is not None and outputs is not None:
            outputs = self._outputs(outputs)
            y = y if self._targets_are_free() else self._outputs(y)
        return {
            "loss": float(loss) / samples,
            **self._measured().results(means, samples, y, outputs),
        }

    def _means_of_epochs(self, sums: np.ndarray, samples: int) -> list[dict[str, float]]:
        """What `_means` makes of the sums of each of several epochs."""
        means, measured = (sums / samples).tolist(), self._measured()
        if not self._metrics:
            return [{"loss": loss} for (loss,) in means]
        return [{"loss": loss, **measured.results(values, samples)} for loss, *values in means]


def _only(given: Any) -> Any:
    """What a list holds that has one of it for each output: models have one output."""
    return given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given


def compile_network(
    network: Any,
    optimizer: optimizers.Optimizer,
    loss: losses.Loss | None,
    metrics: list[Metric],
) -> None:
    """Pass on what `compile` chose; of a loss of one's own, the engine knows nothing."""
    if isinstance(loss, losses.FunctionLoss):
        loss, metrics = None, []
    measures = Measures(metrics, loss, network.output_size).names
    if loss is None:
        network.compile(None, optimizer.engine_name, measures, optimizer.hyper)
        return
    loss.target_shape((network.output_size,))
    chosen = (loss.engine_name, optimizer.engine_name, measures, optimizer.hyper)
    network.compile(*chosen, loss.params, loss.ignored)
