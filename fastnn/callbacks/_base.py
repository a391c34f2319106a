"""The hooks that `fit` calls."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from math import isfinite
from typing import Any, cast

from fastnn._data import as_bool

Logs = dict[str, Any]
_OTHER_NAMES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
BATCH_HOOKS = tuple(_OTHER_NAMES)
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


class Callback:
    """Base of all callbacks: override what you need.

    Attributes
    ----------
    model : Sequential
        The model in training.
    params : dict
        "epochs", "steps" (batches an epoch), "batch_size", "verbose". Of a source of batches
        "batch_size" is None, and "steps" too where they are not known.
    every_batches : int or None
        `on_progress` and `on_checkpoint` also come after every so many batches, counted on from
        epoch to epoch.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> class Show(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> _ = model.fit([[0.0], [1.0]], [0.0, 2.0], epochs=2, verbose=0, callbacks=[Show()])
    0 ['loss', 'mae']
    1 ['loss', 'mae']
    """

    model: Any = None
    params: Mapping[str, Any] = {}
    every_batches: int | None = None

    def set_model(self, model: Any) -> None:
        """Called before all other hooks."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called before all other hooks."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Called once, after the last epoch; not where training was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Called before each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Called after each epoch and its validation; `logs` are the epoch's results."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch. Overriding it makes training come up for every batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch, with the means since the epoch began. As above."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Another name for `on_train_batch_end`."""

    def on_progress(self, samples: int, logs: Logs) -> None:
        """Called about every 50 ms of an epoch, with the samples done and their means."""

    def on_checkpoint(self, batch: int) -> None:
        """Called before each epoch with 0, and after each `on_progress` with its batches so far.

        Nothing is under way then: what training can go on from may be saved.
        """

    def get_state(self) -> dict[str, Any]:
        """What `BackupAndRestore` is to keep of this callback; by default nothing.

        Plain data as JSON has them, and NumPy arrays. A callback that keeps anything keeps it
        always: in a resumed training there must be as many of its class.

        Examples
        --------
        >>> from fastnn.callbacks import Callback
        >>> class Count(Callback):
        ...     batches = 0
        ...     def on_train_batch_end(self, batch, logs=None):
        ...         self.batches += 1
        ...     def get_state(self):
        ...         return {"batches": self.batches}
        ...     def set_state(self, state):
        ...         self.batches = state["batches"]
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take what `get_state` returned; called after `on_train_begin`.

        Where an epoch is resumed inside, it is called again after its `on_epoch_begin`.
        """

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Called before the validation data, or `evaluate`'s, are gone through."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Called after that, with their results."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of these. Overriding it makes them come in batches."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch, with the means since the first. As above."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Called before `predict` works."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Called after that."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Called before each batch of `predict`. Overriding it makes it work in batches."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Called after each batch, with its "outputs". As above."""

    def close(self) -> None:
        """Called last, also where training was interrupted or failed."""


def check_rate(callback: Callback) -> None:
    """Refuse an optimizer without a learning rate."""
    optimizer = callback.model.optimizer
    if optimizer.learning_rate is None:
        raise ValueError(
            f"callbacks: expected an optimizer with a learning rate for "
            f"{type(callback).__name__}, got {type(optimizer).__name__}"
        )


class History(Callback):
    """Keeps the results of each epoch; `fit` returns it.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", each metric's name, and the same with "val_" before them.
    epoch : list of int
        The epochs that these are of, counted from 0.
    validated : list of int
        Those of them that had a validation.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([[1.0]], [3.0], verbose=0)
    >>> history.history
    {'loss': [4.0]}
    """

    def __init__(self) -> None:
        self._model: weakref.ref[Any] | None = None
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.validated: list[int] = []

    @property
    def model(self) -> Any:
        """The model, while somebody else has it: it keeps its History."""
        return None if self._model is None else self._model()

    def set_model(self, model: Any) -> None:
        self._model = weakref.ref(model)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_model": None}

    def get_state(self) -> dict[str, Any]:
        return {"history": self.history, "epoch": self.epoch, "validated": self.validated}

    def set_state(self, state: dict[str, Any]) -> None:
        self.history = {name: list(values) for name, values in state["history"].items()}
        self.epoch, self.validated = list(state["epoch"]), list(state["validated"])

    def plot(self, names: Sequence[str] | None = None, ax: Any = None) -> Any:
        """Draw the results by epoch, those of validation dashed and in the same colour.

        Parameters
        ----------
        names : sequence of str, optional
            Results without their "val_", such as ["loss"]; by default all.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure's.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is missing: ``pip install matplotlib``.
        ValueError
            If there is no result of such a name.

        Examples
        --------
        >>> from fastnn.callbacks import History
        >>> history = History()
        >>> history.on_epoch_end(0, {"loss": 2.0, "val_loss": 3.0})
        >>> history.plot(["loss"])  # doctest: +SKIP
        """
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError(
                "plot: expected matplotlib, got none: pip install matplotlib"
            ) from error
        known = [name for name in self.history if not name.startswith("val_")]
        names = known if names is None else list(names)
        if strangers := [name for name in names if name not in known]:
            raise ValueError(f"names: expected some of {', '.join(known)}; got {strangers}")
        ax = pyplot.subplots()[1] if ax is None else ax
        for name in names:
            (line,) = ax.plot(*self._curve(name), label=name)
            if f"val_{name}" in self.history:
                ax.plot(
                    *self._curve(f"val_{name}"), "--", color=line.get_color(), label=f"val_{name}"
                )
        ax.set_xlabel("epoch")
        if names:
            ax.legend()
        return ax

    def _curve(self, name: str) -> tuple[list[int], list[float]]:
        """Epochs, counted from 1, and a result of each that has it."""
        values = self.history[name]
        epochs = self.validated if name.startswith("val_") else self.epoch[-len(values) :]
        return [epoch + 1 for epoch in epochs], values

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        if "val_loss" in (logs or {}):
            self.validated.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def on_epochs_end(self, first: int, results: Sequence[Logs]) -> None:
        """What `on_epoch_end` does, for epochs from `first` on that were trained at once."""
        self.epoch.extend(range(first, first + len(results)))
        for name in results[0] if results else ():
            values = [logs[name] for logs in results]
            self.history.setdefault(name, []).extend(values)


class LambdaCallback(Callback):
    """Calls functions of one's own.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end : callable, optional
        Called with what the hook of that name is called with.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Likewise; with one of them training comes up for every batch.
    **hooks
        Functions for other hooks.

    Raises
    ------
    TypeError
        If a hook does not exist or is given something that cannot be called.

    Examples
    --------
    >>> from fastnn.callbacks import LambdaCallback
    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **hooks: Callable[..., Any] | None,
    ) -> None:
        hooks |= {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        for name, function in hooks.items():
            if not name.startswith("on_") or not hasattr(Callback, name):
                raise TypeError(f"LambdaCallback: expected hooks of Callback, got {name!r}")
            if function is not None:
                if not callable(function):
                    raise TypeError(f"{name}: expected a function, got {function!r}")
                setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite; seen within about 50 ms.

    Parameters
    ----------
    raise_error : bool
        Whether to raise a RuntimeError instead of ending `fit` in order.

    Examples
    --------
    >>> from fastnn.callbacks import TerminateOnNaN
    >>> guard = TerminateOnNaN()
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = as_bool(raise_error, "raise_error")

    def on_progress(self, samples: int, logs: Logs) -> None:
        loss = logs["loss"]
        if isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"TerminateOnNaN: the loss is {loss} after {samples} samples")
        self.model.stop_training = True


def _overrides(kind: type[Callback], hook: str) -> bool:
    """Whether a class of callbacks has that hook, under either of its names, from elsewhere."""
    names = (hook, _OTHER_NAMES.get(hook, hook))
    return any(getattr(kind, name) is not getattr(Callback, name) for name in names)


class CallbackList(Callback):
    """Several callbacks as one.

    Examples
    --------
    >>> from fastnn.callbacks import CallbackList, LambdaCallback
    >>> both = [LambdaCallback(on_train_begin=lambda logs: print("begins"))] * 2
    >>> CallbackList(both, None, {}).on_train_begin()
    begins
    begins
    """

    def __init__(self, callbacks: list[Callback], model: Any, params: Mapping[str, Any]) -> None:
        self.callbacks = callbacks
        self._found: dict[str, list[Callable[..., Any]]] = {}
        for callback in callbacks:
            callback.set_model(model)
            callback.set_params(params)
        self.only_keeps_history = all(
            type(c) is History and not any(name.startswith("on_") for name in vars(c))
            for c in callbacks
        )
        self.wants_batches = not self.only_keeps_history and self._overridden(*BATCH_HOOKS)
        self.wants_checkpoints = not self.only_keeps_history and self._overridden("on_checkpoint")
        self._every = [c.every_batches for c in callbacks if c.every_batches is not None]

    @cached_property
    def wants_test_batches(self) -> bool:
        """Whether a callback has hooks of the batches of `evaluate`."""
        return self._overridden(*TEST_BATCH_HOOKS)

    @cached_property
    def wants_predict_batches(self) -> bool:
        """Whether a callback has hooks of the batches of `predict`."""
        return self._overridden(*PREDICT_BATCH_HOOKS)

    def _overridden(self, *hooks: str) -> bool:
        """Whether a callback has one of these hooks of its own."""
        return any(self._own(hook) for hook in hooks)

    def _own(self, hook: str) -> list[Callable[..., Any]]:
        """That hook of those callbacks which have one of their own."""
        if hook not in self._found:
            self._found[hook] = [
                getattr(callback, hook)
                for callback in self.callbacks
                if _overrides(type(callback), hook)
                or not vars(callback).keys().isdisjoint((hook, _OTHER_NAMES.get(hook, hook)))
            ]
        return self._found[hook]

    def batches_to_go(self, done: int) -> int | None:
        """From so many batches to the next that a callback has asked for; None: there is none."""
        return min(every - done % every for every in self._every) if self._every else None

    def _tell(self, hook: str, logs: Logs | None, *place: int) -> None:
        """Call a hook of all, with one dict that they may read and write."""
        logs = {} if logs is None else logs
        for call in self._own(hook):
            call(*place, logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_train_begin", logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._tell("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._tell("on_epoch_begin", logs, epoch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._tell("on_epoch_end", logs, epoch)

    def on_epochs_end(self, first: int, results: Sequence[Logs]) -> None:
        """Tell Histories, which are all that there is (`only_keeps_history`)."""
        for callback in self.callbacks:
            cast(History, callback).on_epochs_end(first, results)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_train_batch_begin", logs, batch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_train_batch_end", logs, batch)

    def on_progress(self, samples: int, logs: Logs) -> None:
        for call in self._own("on_progress"):
            call(samples, logs)

    def on_checkpoint(self, batch: int) -> None:
        for call in self._own("on_checkpoint"):
            call(batch)

    def _kept(self) -> list[tuple[Callback, dict[str, Any]]]:
        """Callbacks that keep anything, and what."""
        states = [(callback, callback.get_state()) for callback in self.callbacks]
        return [(callback, state) for callback, state in states if state]

    def get_state(self) -> dict[str, Any]:
        kept = self._kept()
        return {
            "names": [type(callback).__name__ for callback, _ in kept],
            "states": [state for _, state in kept],
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Refuse that of other callbacks."""
        names = [type(callback).__name__ for callback, _ in self._kept()]
        if state["names"] != names:
            raise ValueError(
                f"callbacks: expected those of the backup that keep something, in their order, "
                f"{', '.join(state['names'])}; got {', '.join(names)}"
            )

    def set_state(self, state: dict[str, Any]) -> None:
        for (callback, _), kept in zip(self._kept(), state["states"], strict=True):
            callback.set_state(kept)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_test_begin", logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._tell("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_test_batch_begin", logs, batch)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_test_batch_end", logs, batch)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._tell("on_predict_begin", logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._tell("on_predict_end", logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_predict_batch_begin", logs, batch)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._tell("on_predict_batch_end", logs, batch)

    def close(self) -> None:
        with ExitStack() as stack:  # where one fails, the others are closed, too
            for callback in reversed(self.callbacks):
                stack.callback(callback.close)
