"""Training, evaluation and prediction of a model: everything that takes data."""

from collections.abc import Callable, Iterator, Mapping
from math import ceil, floor, prod
from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn._data import (
    Shape,
    as_any_targets,
    as_bool,
    as_features,
    as_int,
    as_labels,
    as_number,
    as_rows,
    as_sample_weight,
    as_targets,
    check_neutral,
    class_weights,
)
from fastnn._lock import ModelLock
from fastnn._measures import split_measure
from fastnn._own_loss import OwnLossEngine
from fastnn._registry import serialize
from fastnn._sparse import CSR
from fastnn.callbacks import Callback, CallbackList, EpochLines, History, ProgressBar, results_line
from fastnn.metrics import FunctionMetric, Measures, Metric
from fastnn.metrics import get_list as metric_list
from fastnn.utils import draw_permutation

# The engine is called for so long at a time; in between come Ctrl-C, progress and callbacks.
SLICE_SECONDS = 0.05
# predict does about so many multiply-adds at a time, for the same reason, but not fewer rows.
SLICE_WORK = 10**9
SLICE_ROWS = 256
# The engine predicts no more rows than these at once, without its threads.
FEW_ROWS = 16

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

# x (samples, ...), an array or a CSR, y (samples,) class ids or (samples, outputs), sample_weight
# or None
Data = tuple[Any, np.ndarray, np.ndarray | None]


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
    _output_shape_for: Any
    _build_for: Any
    _check_takes_sparse: Any
    _sample_shape: Shape | None  # None before it is known
    _shapes: tuple[Shape, Shape]  # of a built model's inputs and outputs
    _has_axes: bool  # whether one of them is of more than one axis

    def __init__(self) -> None:
        self._lock = ModelLock()
        self._optimizer: optimizers.Optimizer | None = None
        self._loss: losses.Loss | None = None
        self._history: History | None = None
        self.stop_training = False
        self.resume_epoch = 0
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
        """Choose how to train. The optimizer begins anew.

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
            function of your own, f(y_true, y_pred) -> a number, or one a sample, called once an
            epoch; see `fastnn.metrics.FunctionMetric`.
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
        self._rows_forward, self._has_gradients, self._hyper_sent = None, False, None
        self._measures = None

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was called with, as plain data but for functions; None before."""
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
        """Compile as `get_compile_config` says."""
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
        optimizer: Any = self._optimizer
        names, shape = self._measured().names, self._shapes[1]
        return OwnLossEngine(
            self._network, self.loss, optimizer, names, shape, self._targets_are_free()
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
        """Let the weights that are trained become their moving averages."""
        with self._lock:
            self._network.take_averages()

    # ---- checks -------------------------------------------------------------------------------

    def _check_compiled(self, call: str) -> None:
        if self.optimizer is None:
            raise ValueError(f"{call}: expected a compiled model; call model.compile(...) first")
        if self.loss is None:
            raise ValueError(f"{call}: expected a model compiled with a loss, got loss=None")

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
        for part, name in [
            ("loss", "" if own else self.loss.engine_name),  # type: ignore[union-attr]
            *(("metrics", split_measure(measure)[0]) for measure in measures),
        ]:
            if name.removesuffix("_logits") in _OF_ONE_AXIS:
                raise ValueError(
                    f"{part}: expected outputs of one axis for {name}, got shape {outputs}; put a "
                    f"Flatten() last"
                )

    def _enter_data(self, data: Data) -> Data:
        """Data as the engine takes them; builds the model at its first."""
        self._build_for(data[0].shape[1:])
        return _as_rows(data)

    def _features(self, x: Any, shape: Shape | None, name: str) -> Any:
        """`x` as the engine takes it, an array or, where the first layer takes that, a `CSR`."""
        array = as_features(x, self._dtype, shape, name, sparse=True)
        if isinstance(array, CSR):
            self._check_takes_sparse(name)
        return array

    def _inputs(self, x: Any) -> Any:
        """`x` as the engine takes it; builds the model at its first data."""
        array = self._features(x, self._sample_shape, "x")
        if self._network is None:
            with self._lock:
                self._build_for(array.shape[1:])
        return as_rows(array)

    def _outputs(self, rows: np.ndarray) -> np.ndarray:
        """The engine's outputs in the model's shape."""
        shape = self._shapes[1]
        return rows if len(shape) == 1 else rows.reshape(len(rows), *shape)

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
        x : array_like (samples, features), or of the Input's shape, or SciPy sparse matrix
            Numbers of any type; they are converted row by row as they are read, so that neither an
            array of uint8 nor a `numpy.memmap` larger than memory is copied. Copied is one whose
            rows are not contiguous (Fortran order) or whose bytes are swapped. A sparse matrix
            stays sparse; CSR is the format that is not copied. The first layer must be Dense then.
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
            whole = isinstance(self.optimizer, optimizers.LBFGS)
            if whole:
                _refuse_batches(batch_size, steps_per_epoch)
            batch_size = 32 if batch_size is None else as_int(batch_size, "batch_size", 1)
            epochs = as_int(epochs, "epochs", 1)
            initial_epoch = as_int(initial_epoch, "initial_epoch", 0)
            validation_split = as_number(validation_split, "validation_split", 0, 1)
            shuffle = as_bool(shuffle, "shuffle")
            frequency = _check_frequency(validation_freq)
            shown = _check_verbose(verbose)
            chosen = _callback_list(callbacks)
            data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
            samples, validation = len(data[0]), None
            if validation_data is not None:
                validation = self._check_validation(validation_data, data[0].shape[1:])
            elif validation_split:
                samples, validation = _split(data, validation_split)
            if validation_batch_size is not None:
                validation_batch_size = as_int(validation_batch_size, "validation_batch_size", 1)
            if validation and validation_steps is not None:
                steps = as_int(validation_steps, "validation_steps", 1)
                validation = _first(validation, steps * (validation_batch_size or batch_size))
            if class_weight is not None:
                data = self._weighted(data, class_weight, samples)
            rows = samples
            if whole:
                batch_size = samples
            if steps_per_epoch is not None:
                rows = as_int(steps_per_epoch, "steps_per_epoch", 1) * batch_size
            data, validation = self._enter_data(data), validation and _as_rows(validation)
            if whole:
                from fastnn._full_batch import check_model  # of a package that few need

                check_model(self)
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
            orders = _orders(samples, rows, shuffle)
            self._lock.fitting = True
            try:
                self._fit(data, orders, batch_size, span, hooks, validation, frequency)
            finally:
                self._lock.fitting = False
                search, self._search = self._search, None
                if search is not None:
                    search.close()
                hooks.close()
            return history

    def _weighted(self, data: Data, class_weight: Any, samples: int) -> Data:
        """The first `samples` of the data, weighted by class."""
        x, y, weight = _first(data, samples)
        outputs, loss = self._output_shape_for(x.shape[1:]), self.loss
        if len(outputs) > 1:
            raise ValueError(
                f"class_weight: expected a model with outputs of one axis, got shape {outputs}"
            )
        if y.ndim == 1:  # a loss of one's own has targets of any shape
            ignored: int | None = loss.ignored  # type: ignore[union-attr]
            classes = as_labels(y, samples, outputs[0], "y", ignored)
            counted = classes != ignored
            by_class = np.zeros(samples, self._dtype)
            by_class[counted] = class_weights(
                class_weight, classes[counted], outputs[0], self._dtype
            )
        else:
            columns = loss.target_shape(outputs)  # type: ignore[union-attr]
            classes = as_targets(y, self._dtype, samples, columns)
            by_class = class_weights(class_weight, classes, columns[0], self._dtype)
        return x, y, by_class if weight is None else by_class * weight

    def _check_validation(self, validation_data: Any, shape: Shape) -> Data:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(
                "validation_data: expected a tuple (x, y) or (x, y, sample_weight), got "
                f"{type(validation_data).__name__}"
            )
        x, y, *weight = validation_data
        return self._check_data(
            x, y, weight[0] if weight else None, shape=shape, prefix="validation_"
        )

    def _fit(
        self,
        data: Data,
        orders: Iterator[np.ndarray],
        batch_size: int,
        epochs: range,
        hooks: CallbackList,
        validation: Data | None,
        validated: Callable[[int], bool],
    ) -> None:
        """Train on checked data, each epoch in the next of the orders."""
        self.stop_training, self.resume_epoch = False, 0
        hooks.on_train_begin()
        logs: dict[str, float] = {}
        self._search = self._full_batch()
        for epoch in epochs[max(0, self.resume_epoch - epochs.start) :]:
            hooks.on_epoch_begin(epoch)
            logs = self._train_epoch(data, next(orders), batch_size, hooks)
            if validation and validated(epoch):
                hooks.on_test_begin()
                results = self._evaluate(validation)
                hooks.on_test_end(results)
                logs |= {f"val_{name}": value for name, value in results.items()}
            hooks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        self.optimizer.finalize_variable_values()  # type: ignore[union-attr]
        hooks.on_train_end(logs)

    def _train_epoch(
        self, data: Data, index: np.ndarray, batch_size: int, hooks: CallbackList
    ) -> dict[str, float]:
        """One pass over `index`, in slices of time, or of one batch where a callback wants that."""
        engine = self._search or self._engine()
        train, each_batch = engine.train, hooks.wants_batches
        seconds = 0.0 if each_batch else SLICE_SECONDS
        stop, sums, outputs = 0, self._sums(), self._room(len(index))
        rates = self.optimizer.rates(ceil(len(index) / batch_size))  # type: ignore[union-attr]
        logs: dict[str, float] = {}
        while stop < len(index) and not self.stop_training:
            if each_batch:
                hooks.on_train_batch_begin(stop // batch_size, logs)
            self._send_hyper()
            self._rows_forward, self._has_gradients = None, False  # the engine overwrites them
            stop, loss, values = train(
                *data, index, batch_size, stop, seconds, None, sums, rates, outputs
            )
            logs = self._means(loss, values, stop)
            if each_batch:
                hooks.on_train_batch_end((stop - 1) // batch_size, logs)
            hooks.on_progress(stop, logs)
        if outputs is not None and stop:
            logs = self._means(loss, values, stop, data[1][index[:stop]], outputs)
        return logs

    def _sums(self) -> np.ndarray:
        """Zeros for the sums of the loss and of what the engine measures."""
        return np.zeros(1 + len(self._measured().names))

    def _room(self, samples: int) -> np.ndarray | None:
        """Memory for the outputs for so many samples, where a metric wants them."""
        if not self._measured().of_outputs:
            return None
        return np.empty((samples, self._network.output_size), self._dtype)

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
            outputs = self._outputs(outputs[:samples])
            y = y if self._targets_are_free() else self._outputs(y)
        return {"loss": float(loss) / samples, **self._measured().results(means, y, outputs)}

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
            shown = _check_verbose(verbose)
            chosen = _callback_list(callbacks)
            data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
            data = self._enter_data(data)
            hooks = CallbackList(chosen, self, {"verbose": verbose})
            hooks.on_test_begin()
            logs = self._evaluate(data)
            hooks.on_test_end(logs)
        if shown:
            print(results_line(logs))
        return _results(logs, return_dict)

    def _evaluate(self, data: Data) -> dict[str, float]:
        self._rows_forward = None  # the engine overwrites the activations
        evaluate, index = self._engine().evaluate, np.arange(len(data[0]))
        stop, sums, outputs = 0, self._sums(), self._room(len(index))
        while stop < len(index):
            stop, loss, values = evaluate(*data, index, stop, SLICE_SECONDS, None, sums, outputs)
        return self._means(loss, values, stop, data[1], outputs)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: str | int = "auto", **keras: Any
    ) -> np.ndarray:
        """Outputs for `x`. Several threads may call it at once, also during `fit`.

        Parameters
        ----------
        x : array_like (samples, features), or of the Input's shape, or SciPy sparse matrix
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
        _check_verbose(verbose)
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
        return self._outputs(out)

    def _predict_few(self, x: Any) -> np.ndarray | None:
        """Outputs for a few rows that the engine can read where they lie, else None."""
        if self._network is None:
            return None
        if not self._has_axes:
            few: np.ndarray | None = self._network.predict_few(x)
            return few
        if not isinstance(x, np.ndarray) or x.shape[1:] != self._shapes[0] or len(x) > FEW_ROWS:
            return None
        few = self._network.predict_few(as_rows(x))
        return None if few is None else self._outputs(few)

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
        return self._outputs(out)

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
            self._refuse_full_batch("train_on_batch")
            data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
            data, rows = self._enter_data(data), len(data[0])
            self._send_hyper()
            self._rows_forward, self._has_gradients = None, False  # the engine overwrites them
            outputs = self._room(rows)
            _, loss, values = self._engine().train(
                *data, np.arange(rows), rows, 0, 0.0, None, None, None, outputs
            )
            logs = self._means(loss, values, rows, data[1], outputs)
        return _results(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, return_dict: bool = False
    ) -> Any:
        """Loss and metrics on these samples, as `evaluate` returns them."""
        return self.evaluate(x, y, None, 0, sample_weight, return_dict=return_dict)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Outputs for `x`, keeping what `backward` needs.

        Parameters
        ----------
        x : array_like (samples, features), or of the Input's shape, or SciPy sparse matrix
            At least one row.
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
        return self._outputs(y)

    def backward(self, dy: Any) -> np.ndarray | None:
        """Gradients of the weights, for the gradient `dy` of the total loss to the outputs.

        Overwrites the gradients of before.

        Parameters
        ----------
        dy : array_like (samples, outputs)
            For the samples of the last `forward`; nothing is averaged.

        Returns
        -------
        ndarray (samples, features) or None
            The gradient to `x`; None where `x` was sparse, for that would be dense.
        """
        with self._lock:
            if self._rows_forward is None:
                raise ValueError("backward: expected a forward before it, got none")
            dy = as_targets(dy, self._dtype, self._rows_forward, self._shapes[1], "dy")
            dx: np.ndarray | None = self._network.backward(dy, None)
            self._has_gradients = True
        return None if dx is None else dx.reshape(len(dx), *self._shapes[0])

    def apply_gradients(self) -> None:
        """One optimizer step with the gradients of the last `backward`."""
        with self._lock:
            if self.optimizer is None:
                raise ValueError("apply_gradients: expected a compiled model; call model.compile")
            self._refuse_full_batch("apply_gradients")
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
    measures = Measures(metrics, loss, network.output_size).names
    if loss is None:
        network.compile(None, optimizer.engine_name, measures, optimizer.hyper)
        return
    loss.target_shape((network.output_size,))
    chosen = (loss.engine_name, optimizer.engine_name, measures, optimizer.hyper)
    network.compile(*chosen, loss.params, loss.ignored)


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]


def _orders(samples: int, rows: int, shuffle: bool) -> Iterator[np.ndarray]:
    """For each epoch the samples in its order: all, or `rows` that go on where the last ended."""
    whole = np.arange(samples)
    left = whole[:0]
    while rows == samples:
        yield draw_permutation(samples) if shuffle else whole
    while True:
        parts = [left]
        while sum(map(len, parts)) < rows:
            parts.append(draw_permutation(samples) if shuffle else whole)
        order = np.concatenate(parts)
        left = order[rows:]
        yield order[:rows]


def _refuse_batches(batch_size: int | None, steps_per_epoch: int | None) -> None:
    for name, value in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
        if value is not None:
            raise ValueError(f"{name}: expected None for LBFGS, of all samples, got {value!r}")


def _as_rows(data: Data) -> Data:
    return as_rows(data[0]), data[1], data[2]


def _first(data: Data, rows: int) -> Data:
    x, y, weight = data
    return x[:rows], y[:rows], None if weight is None else weight[:rows]


def _check_frequency(validation_freq: Any) -> Callable[[int], bool]:
    """Which epochs, counted from 0, have a validation."""
    if isinstance(validation_freq, (list, tuple, set, frozenset, range)):
        chosen = {as_int(epoch, "validation_freq", 1) for epoch in validation_freq}
        return lambda epoch: epoch + 1 in chosen
    every = as_int(validation_freq, "validation_freq", 1)
    return lambda epoch: (epoch + 1) % every == 0


def _split(data: Data, fraction: float) -> tuple[int, Data]:
    """How many samples remain for training, and the last `fraction` of them for validation."""
    x, y, weight = data
    samples = floor(len(x) * (1 - fraction))
    if not 0 < samples < len(x):
        raise ValueError(
            f"validation_split: expected a fraction that leaves rows on both sides, got "
            f"{fraction} of {len(x)} rows"
        )
    return samples, (x[samples:], y[samples:], None if weight is None else weight[samples:])


def _check_verbose(verbose: Any) -> int:
    """0, 1 or 2; "auto" and True are 1, False is 0."""
    known = isinstance(verbose, (str, int, np.integer, np.bool_))
    if not known or verbose not in ("auto", 0, 1, 2):
        raise ValueError(f"verbose: expected 'auto', 0, 1 or 2; got {verbose!r}")
    return 1 if verbose == "auto" else int(verbose)


def _callback_list(callbacks: Any) -> list[Callback]:
    if callbacks is None:
        return []
    chosen: list[Callback] = (
        list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    )
    for callback in chosen:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks: expected objects of fastnn.callbacks, got {callback!r}")
    return chosen
