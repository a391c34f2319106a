"""Training, evaluation and prediction of a model: everything that takes data."""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from fastnn._arguments import (
    Data,
    as_callbacks,
    as_frequency,
    as_steps,
    as_verbose,
    first,
    in_rows,
    refuse_batches,
    refuse_beside_source,
    split,
    weighted,
)
from fastnn._compiled import Compiled
from fastnn._data import (
    Shape,
    as_bool,
    as_int,
    as_number,
    as_rows,
    as_targets,
)
from fastnn._feeds import ArrayFeed, SourceFeed
from fastnn._loops import Fit, evaluate
from fastnn._native.core import Training
from fastnn._seen import Seen
from fastnn._sources import is_source
from fastnn.callbacks import CallbackList, EpochLines, History, ProgressBar, results_line
from fastnn.optimizers import LBFGS

# predict does about so many multiply-adds at a time, so that Ctrl-C is heard, but not fewer rows.
SLICE_WORK = 10**9
SLICE_ROWS = 256
# The engine predicts no more rows than these at once, without its threads.
FEW_ROWS = 16


class Trainer(Compiled):
    """The half of a model that takes data; `Sequential` is the other, which holds the layers.

    Attributes
    ----------
    stop_training : bool
        A callback sets it to end the epoch and `fit`.
    """

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
        x : array_like (samples, features), or of the Input's shape, SciPy sparse matrix, or source
            Numbers of any type; they are converted row by row as they are read, so that neither an
            array of uint8 nor a `numpy.memmap` larger than memory is copied. Copied is one whose
            rows are not contiguous (Fortran order) or whose bytes are swapped. A sparse matrix
            stays sparse; CSR is the format that is not copied. The first layer must be Dense then.
            A source is a generator or another iterator, an object with `__len__` and
            `__getitem__` such as a `fastnn.utils.PyDataset`, or what can be iterated over again
            and again, such as a DataLoader. Its batches are tuples (x, y) or (x, y,
            sample_weight), made on another thread while the engine works.
        y : array_like
            Class ids (samples,) for a sparse loss, else (samples, outputs); (samples,) where
            there is one output. None for a source.
        batch_size : int, default 32
            Samples a step; the last step of an epoch may have fewer. None for a source.
        epochs : int >= 0
            The epoch to end with.
        verbose : {"auto", 0, 1, 2} or bool
            0 silent, 1 (and "auto") a progress bar, 2 a line an epoch.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            The last fraction of the samples, before shuffling, is kept out for validation.
        validation_data : tuple (x, y) or (x, y, sample_weight), or a source, optional
            Used instead of `validation_split`, which a source for `x` cannot have. An iterator
            goes on where the last validation ended, others begin anew.
        shuffle : bool
            Whether each epoch has an order of its own. Of a source with `__getitem__` it is the
            order of the batches; others give theirs.
        class_weight : dict of class id to float or "balanced", optional
            Multiplies the losses of a class's samples in training; classes left out weigh 1.
            "balanced", as in scikit-learn: samples / (classes * samples of the class).
        sample_weight : array_like (samples,), optional
            Multiplies each sample's loss, beside `class_weight`.
        initial_epoch : int >= 0
            The epoch to begin with.
        steps_per_epoch : int >= 1, optional
            Batches an epoch; the next one goes on where it ended. By default all samples; a
            generator without an end needs it. An iterator that ends before its time ends the
            training, with a warning.
        validation_steps : int >= 1, optional
            How many batches of the validation data are looked at, at most. By default all.
        validation_batch_size : int, optional
            The size of those, by default `batch_size`.
        validation_freq : int >= 1 or collection of int
            Epochs from one validation to the next, or the epochs, counted from 1, that have one.

        Returns
        -------
        History
            `history.history["loss"]` and so on, one number an epoch. It is the one among the
            callbacks where there is one.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong or not supported yet, or a callback calls this during `fit`.
            Nothing has changed then. What is wrong with a later batch of a source is found when
            it is made; the training until then stays.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> x = np.linspace(-1, 1, 64).reshape(64, 1)
        >>> model = Sequential([Dense(1, input_shape=(1,))])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit(x, 3 * x, epochs=2, verbose=0, validation_split=0.25)
        >>> sorted(history.history)
        ['loss', 'val_loss']
        >>> batches = ((x[i : i + 16], 3 * x[i : i + 16]) for i in range(0, 64, 16))
        >>> model.fit(batches, steps_per_epoch=2, epochs=2, verbose=0).epoch
        [0, 1]
        """
        with self._lock:
            self._refuse_inside_fit("fit")
            self._check_compiled("fit", trains=True)
            epochs = as_int(epochs, "epochs", 0)
            initial_epoch = as_int(initial_epoch, "initial_epoch", 0)
            validation_split = as_number(validation_split, "validation_split", 0, 1)
            shuffle = as_bool(shuffle, "shuffle")
            frequency = as_frequency(validation_freq)
            shown = as_verbose(verbose)
            chosen = as_callbacks(callbacks)
            steps = as_steps(steps_per_epoch, "steps_per_epoch")
            kept_out: Data | None = None
            feed: ArrayFeed | SourceFeed
            whole = isinstance(self.optimizer, LBFGS)
            if whole:
                refuse_batches(x, batch_size, steps_per_epoch)
            if is_source(x):
                refuse_beside_source(y, batch_size, sample_weight, validation_split, class_weight)
                feed = SourceFeed(self, x, steps=steps, shuffle=shuffle, class_weight=class_weight)
                steps, shape = feed.steps, self._sample_shape or feed.peek()
            else:
                batch_size = 32 if batch_size is None else as_int(batch_size, "batch_size", 1)
                data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
                samples, shape = len(data[0]), data[0].shape[1:]
                if validation_data is None and validation_split:
                    samples, kept_out = split(data, validation_split)
                if class_weight is not None:
                    data = weighted(self, first(data, samples), class_weight)
                batch_size = samples if whole else batch_size
                rows = samples if steps is None else steps * batch_size
                steps = ceil(rows / batch_size)
                feed = ArrayFeed(self, in_rows(data), samples, rows, batch_size, shuffle)
            validation_batch_size = as_steps(validation_batch_size, "validation_batch_size")
            test_size = validation_batch_size or batch_size or 32
            validation = self._validation(
                validation_data, kept_out, validation_steps, test_size, shape
            )
            self._build_for(shape)
            if whole:
                from fastnn._full_batch import check_model  # of a package that few need

                check_model(self)
            params = {
                "epochs": epochs,
                "steps": steps,
                "batch_size": batch_size,
                "verbose": verbose,
            }
            given = [callback for callback in chosen if isinstance(callback, History)]
            self._history = history = given[-1] if given else History()
            if shown:
                chosen.append(ProgressBar() if shown == 1 else EpochLines())
            hooks = CallbackList(chosen if given else [*chosen, history], self, params)
            span = range(initial_epoch, epochs)
            self._run_epochs(feed, span, hooks, validation, test_size, frequency)
            return history

    def _run_epochs(
        self,
        feed: ArrayFeed | SourceFeed,
        epochs: range,
        hooks: CallbackList,
        validation: Data | SourceFeed | None = None,
        test_size: int = 32,
        validated: Callable[[int], bool] = bool,
    ) -> None:
        """What `fit` does with data that are checked; the lock is held."""
        try:
            self._lock.fitting = True
            self._run = Fit(self, feed, epochs, hooks, validation, test_size, validated)
            with Training():
                self._run.run()
        finally:
            self._lock.fitting, self._run = False, None
            search, self._search = self._search, None
            if search is not None:
                search.close()
            hooks.close()

    def _validation(
        self, data: Any, kept_out: Data | None, steps: int | None, batch_size: int, shape: Shape
    ) -> Data | SourceFeed | None:
        """Checked validation data, or those kept out, as many batches of them as asked for."""
        if data is None and kept_out is None:
            return None
        steps = as_steps(steps, "validation_steps")
        if is_source(data):
            return SourceFeed(self, data, steps=steps, name="validation_data", anew=True)
        checked = self._check_validation(data, shape) if kept_out is None else kept_out
        return in_rows(first(checked, None if steps is None else steps * batch_size))

    def _check_validation(self, data: Any, shape: Shape) -> Data:
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError(
                "validation_data: expected a tuple (x, y) or (x, y, sample_weight), or a source of "
                f"batches, got {type(data).__name__}"
            )
        x, y, *weight = data
        return self._check_data(
            x, y, weight[0] if weight else None, shape=shape, prefix="validation_"
        )

    # ---- evaluate and predict -----------------------------------------------------------------

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data, without training.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`; `x` may be a source of batches.
        batch_size : int, default 32
            Only for what `steps` counts and callbacks see.
        verbose : {"auto", 0, 1, 2} or bool
            0 silent, else the results are printed.
        steps : int >= 1, optional
            Batches that are looked at, at most; by default all.
        callbacks : list of Callback, optional
        return_dict : bool
            Whether to return a dict of names and numbers.
        Returns
        -------
        float, list of float or dict
            The loss, or with metrics the list [loss, metrics...].

        Raises
        ------
        ValueError, TypeError
            If the data are wrong or the model is not compiled.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> model.evaluate([[1.0, 2.0], [3.0, 4.0]], [3.0, 5.0], verbose=0)
        [2.0, 1.0]
        """
        with self._lock:
            self._check_compiled("evaluate")
            shown = as_verbose(verbose)
            chosen = as_callbacks(callbacks)
            steps = as_steps(steps, "steps")
            size = as_steps(batch_size, "batch_size") or 32
            data: Data | SourceFeed
            if is_source(x):
                refuse_beside_source(y, batch_size, sample_weight)
                data = SourceFeed(self, x, steps=steps, anew=True)
                steps = data.steps
                self._build_for(self._sample_shape or data.peek())
            else:
                data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
                data = self._enter_data(first(data, steps and steps * size))
                steps = ceil(len(data[0]) / size)
            params = {"verbose": verbose, "epochs": 1, "steps": steps}
            logs = evaluate(self, data, CallbackList(chosen, self, params), size)
        if shown:
            print(results_line(logs))
        return _results(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """Outputs for `x`. Several threads may call it at once, also during `fit`.

        Parameters
        ----------
        x : array_like (samples, features), or of the Input's shape, SciPy sparse matrix, or source
            As for `fit`. A source's batches are x alone, or tuples that begin with it.
        batch_size : int, default 32
            Only for what `steps` counts and callbacks see.
        verbose
            Taken for Keras's sake: nothing is shown.
        steps : int >= 1, optional
            Batches that outputs are wanted for, at most; by default all.
        callbacks : list of Callback, optional

        Returns
        -------
        ndarray (samples, outputs); no rows give no rows

        Raises
        ------
        ValueError, TypeError
            If `x` is no such array, or another argument is wrong.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.predict([[1.0, 2.0], [3.0, 4.0]])
        array([[3.],
               [7.]], dtype=float32)
        """
        size = as_steps(batch_size, "batch_size") or 32
        as_verbose(verbose)
        steps = as_steps(steps, "steps")
        chosen = as_callbacks(callbacks)
        few = self._predict_few(x) if steps is None and not chosen else None
        if few is not None:
            return few
        feed = None
        if is_source(x):
            refuse_beside_source(None, batch_size, None)
            feed = SourceFeed(self, x, steps=steps, targets=False, anew=True)
            steps = feed.steps
        else:
            x = self._inputs(x)
            x = x if steps is None else x[: steps * size]
            steps = ceil(len(x) / size)
        params = {"verbose": verbose, "epochs": 1, "steps": steps}
        hooks = CallbackList(chosen, self, params)
        hooks.on_predict_begin()
        if feed is not None:
            y = self._predict_batches(feed, hooks)
        elif hooks.wants_predict_batches and len(x):
            parts = (x[start : start + size] for start in range(0, len(x), size))
            told = [self._predict_told(part, batch, hooks) for batch, part in enumerate(parts)]
            y = np.concatenate(told)
        else:
            y = self._predict_rows(x)
        hooks.on_predict_end()
        return y

    def _predict_told(self, x: Any, batch: int, hooks: CallbackList) -> np.ndarray:
        """Outputs for a batch, which hooks hear of."""
        if not hooks.wants_predict_batches:
            return self._predict_rows(x)
        hooks.on_predict_batch_begin(batch)
        y = self._predict_rows(x)
        hooks.on_predict_batch_end(batch, {"outputs": y})
        return y

    def _predict_batches(self, feed: SourceFeed, hooks: CallbackList) -> np.ndarray:
        """Outputs for all batches."""
        if self._network is None:
            with self._lock:
                self._build_for(feed.peek())
        parts: list[np.ndarray] = []
        failed = True
        try:
            feed.begin()
            while feed.more():
                parts.append(self._predict_told(feed.take()[0], len(parts), hooks))
            failed = False
        finally:
            feed.end(failed)
        if not parts:
            raise ValueError("x: expected at least one batch, got none")
        return np.concatenate(parts)

    def _predict_rows(self, x: Any, num_threads: int | None = None) -> np.ndarray:
        """Outputs for checked rows, in slices of time."""
        network = self._network
        out = np.empty((len(x), network.output_size), self._dtype)
        step = SLICE_ROWS
        if len(x) > step:
            step = max(step, SLICE_WORK // max(1, self._row_work()))
        for start in range(0, len(x), step):
            network.predict(x[start : start + step], out[start : start + step], num_threads)
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
        """Outputs for `x`, in one call of the engine; the fastest way for a few rows.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.predict_on_batch([[1.0, 2.0]])
        array([[3.]], dtype=float32)
        """
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
        """Outputs for `x`; with `training` as training has them, random anew each time."""
        if as_bool(training, "training"):
            with self._lock:
                y = self.forward(x, training=True)
                self._rows_forward = None
            return y
        return self.predict_on_batch(x)

    # ---- one batch at a time ------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """One optimizer step on these samples; returns this batch's results as `evaluate` does.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> model.train_on_batch([[1.0, 2.0]], [5.0])
        4.0
        >>> model.iterations
        1
        """
        with self._lock:
            self._check_compiled("train_on_batch", trains=True)
            self._refuse_full_batch("train_on_batch")
            data = self._check_data(x, y, sample_weight, shape=self._sample_shape)
            if class_weight is not None:
                data = weighted(self, data, class_weight)
            data, rows = self._enter_data(data), len(data[0])
            self._send_hyper()
            self._forget_rows()
            seen = Seen(self)
            _, loss, values = self._engine().train(
                *data, np.arange(rows), rows, 0, 0.0, None, None, None, seen.room(data[1])
            )
            logs = self._means(loss, values, rows, *seen.first(rows))
        return _results(logs, return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics on these samples, as `evaluate` returns them.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile("sgd", "mse")
        >>> model.test_on_batch([[1.0, 2.0]], [5.0], return_dict=True)
        {'loss': 4.0}
        """
        return self.evaluate(x, y, None, 0, sample_weight, return_dict=return_dict)

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Outputs for `x`, keeping what `backward` needs.

        Parameters
        ----------
        x : array_like (samples, features), or of the Input's shape, or SciPy sparse matrix
            At least one row.
        training : bool
            Whether layers such as `Dropout` do what they do in training: first what the next step
            of `fit` would do, and until a step is taken something else each time.

        Returns
        -------
        ndarray (samples, outputs)

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.forward([[1.0, 2.0]])
        array([[3.]], dtype=float32)
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

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> y = model.forward([[1.0, 2.0]])
        >>> model.backward(2 * (y - 5.0))
        array([[-4., -4.]], dtype=float32)
        """
        with self._lock:
            if self._rows_forward is None:
                raise ValueError("backward: expected a forward before it, got none")
            dy = as_targets(dy, self._dtype, self._rows_forward, self._shapes[1], "dy")
            dx: np.ndarray | None = self._network.backward(dy, None)
            self._has_gradients = True
        return None if dx is None else dx.reshape(len(dx), *self._shapes[0])

    def apply_gradients(self) -> None:
        """One optimizer step with the gradients of the last `backward`.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> from fastnn.optimizers import SGD
        >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
        >>> model.compile(SGD(0.5))
        >>> _ = model.backward(model.forward([[1.0, 2.0]]) - 5.0)
        >>> model.apply_gradients()
        >>> model.get_weights()
        [array([[2.],
               [3.]], dtype=float32), array([1.], dtype=float32)]
        """
        with self._lock:
            if self.optimizer is None:
                raise ValueError("apply_gradients: expected a compiled model; call model.compile")
            self.optimizer.join(self)
            self._refuse_full_batch("apply_gradients")
            if not self._has_gradients:
                raise ValueError("apply_gradients: expected a backward before it, got none")
            self._send_hyper()
            self._network.apply_gradients(None)


def _results(logs: dict[str, float], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else values[0]
