"""Training, evaluation and prediction of a model: everything that takes data."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np

from fastnn import _loops, losses, optimizers
from fastnn._arguments import Data, as_callbacks, as_frequency, as_verbose, first, split
from fastnn._data import (
    as_any_targets,
    as_bool,
    as_features,
    as_int,
    as_labels,
    as_number,
    as_sample_weight,
    as_targets,
    check_neutral,
    class_weights,
)
from fastnn._lock import ModelLock
from fastnn._own_loss import OwnLossEngine
from fastnn._registry import serialize
from fastnn.callbacks import CallbackList, EpochLines, History, ProgressBar, results_line
from fastnn.metrics import Metric, engine_names
from fastnn.metrics import get_list as metric_list
from fastnn.metrics import results as metric_results

# predict does about so many multiply-adds at a time, for the same reason, but not fewer rows.
SLICE_WORK = 10**9
SLICE_ROWS = 256

# Keras's arguments that fastnn does not support yet, at the values that ask for nothing
_NEUTRAL: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "compile": {
        "loss_weights": (None,),
        "weighted_metrics": (None, []),
        "run_eagerly": (False, None),
        "steps_per_execution": (1, None),
        "jit_compile": ("auto", False, None, True),  # there is nothing left to compile
        "auto_scale_loss": (True,),
    },
    "evaluate": {"steps": (None,)},
    "predict": {"steps": (None,), "callbacks": (None, [])},
}


class Trainer:
    """The half of a model that takes data; `Sequential` is the other, which holds the layers.

    Attributes
    ----------
    stop_training : bool
        A callback sets it to end the epoch and `fit`.
    resume_epoch : int
        A callback sets it as training begins, to leave out the epochs before it.
    """

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
        self.resume_epoch = 0
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
        """
        check_neutral("compile", keras, _NEUTRAL["compile"])
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
        """What `compile` was called with, as plain data but for a function as loss; None before."""
        if self.optimizer is None:
            return None
        own = isinstance(self.loss, losses.FunctionLoss)
        return {
            "optimizer": serialize(self.optimizer),
            "loss": self.loss if self.loss is None or own else serialize(self.loss),
            "metrics": [serialize(metric) for metric in self._metrics],
        }

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
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

    # ---- fit ----------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train.

        Parameters
        ----------
        x : array_like (samples, features)
        y : array_like
            Class ids (samples,) for a sparse loss, else (samples, outputs); (samples,) where
            there is one output.
        batch_size : int, default 32
            Samples a step; the last step of an epoch may have fewer.
        epochs : int >= 1
            The epoch to end with.
        verbose : {"auto", 0, 1, 2} or bool
            0 silent, 1 (and "auto") a progress bar, 2 a line an epoch.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            The last fraction of the samples, before shuffling, is kept out for validation.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Used instead of `validation_split`.
        shuffle : bool
            Whether each epoch has an order of its own.
        class_weight : dict of class id to float or "balanced", optional
            Multiplies the losses of a class's samples in training; classes left out weigh 1.
            "balanced", as in scikit-learn: samples / (classes * samples of the class).
        sample_weight : array_like (samples,), optional
            Multiplies each sample's loss, beside `class_weight`.
        initial_epoch : int >= 0
            The epoch to begin with.
        steps_per_epoch : int >= 1, optional
            Batches an epoch; the next one goes on where it ended. By default all samples.
        validation_steps : int >= 1, optional
            How many batches of the validation data are looked at. By default all.
        validation_batch_size : int, optional
            The size of those, by default `batch_size`.
        validation_freq : int >= 1 or collection of int
            Epochs from one validation to the next, or the epochs, counted from 1, that have one.

        Returns
        -------
        History
            `history.history["loss"]` and so on, one number an epoch.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong or not supported yet, or a callback calls this during `fit`.
            Nothing has changed then.
        """
        with self._lock:
            self._refuse_inside_fit("fit")
            self._check_compiled("fit")
            batch_size = 32 if batch_size is None else as_int(batch_size, "batch_size", 1)
            epochs = as_int(epochs, "epochs", 1)
            initial_epoch = as_int(initial_epoch, "initial_epoch", 0)
            validation_split = as_number(validation_split, "validation_split", 0, 1)
            shuffle = as_bool(shuffle, "shuffle")
            frequency = as_frequency(validation_freq)
            shown = as_verbose(verbose)
            chosen = as_callbacks(callbacks)
            data = self._check_data(x, y, sample_weight, columns=self.input_size)
            samples, validation = len(data[0]), None
            if validation_data is not None:
                validation = self._check_validation(validation_data, data[0].shape[1])
            elif validation_split:
                samples, validation = split(data, validation_split)
            if validation_batch_size is not None:
                validation_batch_size = as_int(validation_batch_size, "validation_batch_size", 1)
            if validation and validation_steps is not None:
                steps = as_int(validation_steps, "validation_steps", 1)
                validation = first(validation, steps * (validation_batch_size or batch_size))
            if class_weight is not None:
                data = self._weighted(data, class_weight, samples)
            rows = samples
            if steps_per_epoch is not None:
                rows = as_int(steps_per_epoch, "steps_per_epoch", 1) * batch_size
            self._build_for(data[0].shape[1])
            params = {
                "epochs": epochs,
                "steps": ceil(rows / batch_size),
                "batch_size": batch_size,
                "verbose": verbose,
            }
            self._history = history = History()
            if shown:
                chosen.append(ProgressBar() if shown == 1 else EpochLines())
            hooks = CallbackList([*chosen, history], self, params)
            span = range(initial_epoch, epochs)
            orders = _loops.orders(samples, rows, shuffle)
            self._lock.fitting = True
            try:
                _loops.fit(self, data, orders, batch_size, span, hooks, validation, frequency)
            finally:
                self._lock.fitting = False
                hooks.close()
            return history

    def _weighted(self, data: Data, class_weight: Any, samples: int) -> Data:
        """The first `samples` of the data, weighted by class."""
        x, y, weight = first(data, samples)
        outputs = self._output_size_for(x.shape[1])
        if y.ndim == 1:  # a loss of one's own has targets of any shape
            classes = as_labels(y, samples, outputs)
        else:
            classes = as_targets(y, self._dtype, samples, outputs)
        by_class = class_weights(class_weight, classes, outputs, self._dtype)
        return x, y, by_class if weight is None else by_class * weight

    def _check_validation(self, validation_data: Any, columns: int) -> Data:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data: expected a tuple (x, y) or (x, y, sample_weight), got "
                f"{type(validation_data).__name__}"
            )
        x, y, *weight = validation_data
        return self._check_data(
            x, y, weight[0] if weight else None, columns=columns, prefix="validation_"
        )

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

    # ---- evaluate and predict -----------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        *,
        callbacks: Any = None,
        return_dict: bool = False,
        **keras: Any,
    ) -> Any:
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`.
        batch_size : int, optional
            Taken for Keras's sake; the result does not depend on it.
        verbose : {"auto", 0, 1, 2} or bool
            0 silent, else the results are printed.
        callbacks : list of Callback, optional
        return_dict : bool
            Whether to return a dict of names and numbers.
        **keras
            Keras's other arguments, at the values that ask for nothing.

        Returns
        -------
        float, list of float or dict
            The loss, or with metrics the list [loss, metrics...].
        """
        check_neutral("evaluate", keras, _NEUTRAL["evaluate"])
        with self._lock:
            self._check_compiled("evaluate")
            if batch_size is not None:
                as_int(batch_size, "batch_size", 1)
            shown = as_verbose(verbose)
            chosen = as_callbacks(callbacks)
            data = self._check_data(x, y, sample_weight, columns=self.input_size)
            self._build_for(data[0].shape[1])
            hooks = CallbackList(chosen, self, {"verbose": verbose})
            hooks.on_test_begin()
            logs = _loops.evaluate(self, data)
            hooks.on_test_end(logs)
        if shown:
            print(results_line(logs))
        return _results(logs, return_dict)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: str | int = "auto", **keras: Any
    ) -> np.ndarray:
        """Outputs for `x`. Several threads may call it at once, also during `fit`.

        Parameters
        ----------
        x : array_like (samples, features)
        batch_size, verbose
            Taken for Keras's sake: memory does not depend on the first, and nothing is shown.
        **keras
            Keras's other arguments, at the values that ask for nothing.

        Returns
        -------
        ndarray (samples, outputs); no rows give no rows

        Raises
        ------
        ValueError, TypeError
            If `x` is no such array.
        """
        check_neutral("predict", keras, _NEUTRAL["predict"])
        if batch_size is not None:
            as_int(batch_size, "batch_size", 1)
        as_verbose(verbose)
        few = self._predict_few(x)
        if few is not None:
            return few
        x = self._inputs(x)
        network = self._network
        out = np.empty((len(x), network.output_size), self._dtype)
        step = SLICE_ROWS
        if len(x) > step:
            step = max(step, SLICE_WORK // max(1, self.count_params()))
        for start in range(0, len(x), step):
            network.predict(x[start : start + step], out[start : start + step], None)
        return out

    def _predict_few(self, x: Any) -> np.ndarray | None:
        """Outputs for a few rows that the engine can read where they lie, else None."""
        return None if self._network is None else self._network.predict_few(x)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Outputs for `x`, in one call of the engine; the fastest way for a few rows."""
        few = self._predict_few(x)
        if few is not None:
            return few
        x = self._inputs(x)
        network = self._network
        out = np.empty((len(x), network.output_size), self._dtype)
        if len(x):
            network.predict(x, out, None)
        return out

    def __call__(self, x: Any, training: bool = False) -> np.ndarray:
        """Outputs for `x`; with `training` as the next step of training would have them."""
        if as_bool(training, "training"):
            with self._lock:
                y = self.forward(x, training=True)
                self._rows_forward = None
            return y
        return self.predict_on_batch(x)

    # ---- one batch at a time ------------------------------------------------------------------

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, return_dict: bool = False
    ) -> Any:
        """One optimizer step on these samples; returns this batch's results as `evaluate` does."""
        with self._lock:
            self._check_compiled("train_on_batch")
            data = self._check_data(x, y, sample_weight, columns=self.input_size)
            rows, columns = data[0].shape
            self._build_for(columns)
            self._send_hyper()
            self._forget_rows()
            _, loss, values = self._engine().train(*data, np.arange(rows), rows, 0, 0.0, None)
        return _results(self._means(loss, values, rows), return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, return_dict: bool = False
    ) -> Any:
        """Loss and metrics on these samples, as `evaluate` returns them."""
        return self.evaluate(x, y, None, 0, sample_weight, return_dict=return_dict)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Outputs for `x`, keeping what `backward` needs.

        Parameters
        ----------
        x : array_like (samples, features), at least one row
        training : bool
            Whether layers such as `Dropout` do what they do in training.

        Returns
        -------
        ndarray (samples, outputs)
        """
        training = as_bool(training, "training")
        with self._lock:
            x = self._inputs(x)
            if len(x) == 0:
                raise ValueError(f"x: expected at least one row, got shape {x.shape}")
            y: np.ndarray = self._network.forward(x, None, training)
            self._rows_forward = len(x)
        return y

    def backward(self, dy: Any) -> np.ndarray:
        """Gradients of the weights, for the gradient `dy` of the total loss to the outputs.

        Overwrites the gradients of before.

        Parameters
        ----------
        dy : array_like (samples, outputs)
            For the samples of the last `forward`; nothing is averaged.

        Returns
        -------
        ndarray (samples, features)
            The gradient to `x`.
        """
        with self._lock:
            if self._rows_forward is None:
                raise ValueError("backward: expected a forward before it, got none")
            outputs = self._network.output_size
            dy = as_targets(dy, self._dtype, self._rows_forward, outputs, "dy")
            dx: np.ndarray = self._network.backward(dy, None)
            self._has_gradients = True
        return dx

    def apply_gradients(self) -> None:
        """One optimizer step with the gradients of the last `backward`."""
        with self._lock:
            if self.optimizer is None:
                raise ValueError("apply_gradients: expected a compiled model; call model.compile")
            if not self._has_gradients:
                raise ValueError("apply_gradients: expected a backward before it, got none")
            self._send_hyper()
            self._network.apply_gradients(None)


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


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
