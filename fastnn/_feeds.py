"""What an epoch is trained on: rows of arrays in an order, or the batches of a source."""

from collections.abc import Iterator
from functools import cached_property
from itertools import count, islice
from math import ceil
from time import perf_counter
from typing import Any

import numpy as np

from fastnn._arguments import Data, as_batch, in_rows
from fastnn._data import Shape
from fastnn._seen import Seen
from fastnn._sources import (
    END,
    PATIENCE,
    Passes,
    Prefetch,
    PyDataset,
    batches_in,
    numbered,
    side_by_side,
)
from fastnn.utils import draw_permutations, get_random_state, set_random_state

State = dict[str, Any]
RATES = 1024  # of a schedule, that are computed at a time where an epoch's steps are not known


class Orders:
    """For each epoch the samples in its order: all, or `rows` that go on where the last ended."""

    def __init__(self, samples: int, rows: int, shuffle: bool) -> None:
        self._samples, self._rows, self._shuffle = samples, rows, shuffle
        self._pass = np.arange(0)  # the order that epochs use up, and what it was drawn from
        self._used = 0
        self._pass_random: State | None = None
        self._epoch: State = {}  # the state that this epoch's order was drawn from
        self.remember = False  # whether that is to be kept: it takes longer than a small epoch
        self._random: State | None = None  # to be drawn from next, in a resumed epoch

    def next(self, epochs: int = 1) -> np.ndarray:
        """The next epoch's, or several's, one after the other; not to be written to."""
        if self._rows == self._samples and not self.remember:  # small epochs are to stay cheap
            if self._shuffle:
                return draw_permutations(self._samples, epochs)
            orders = [self._unshuffled] * epochs
        else:
            orders = [self._next() for _ in range(epochs)]
        return orders[0] if epochs == 1 else np.concatenate(orders)

    def _next(self) -> np.ndarray:
        if self._random is not None:
            set_random_state(self._random)
        if self.remember:
            self._epoch = {**self.get_state(False), "random": get_random_state()}
        self._random = None
        parts, wanted = [], self._rows
        while wanted:
            if self._used == len(self._pass):
                self._draw()
            part = self._pass[self._used : self._used + wanted]
            self._used += len(part)
            wanted -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @cached_property
    def _unshuffled(self) -> np.ndarray:
        return np.arange(self._samples)

    def _draw(self) -> None:
        if self.remember:
            self._pass_random = get_random_state()
        self._pass = draw_permutations(self._samples) if self._shuffle else self._unshuffled
        self._used = 0

    def get_state(self, under_way: bool) -> State:
        """What the next epoch's order is drawn from or, where one is under way, that one's."""
        if under_way:
            return self._epoch
        whole = self._used == len(self._pass)
        return {
            "pass": None if whole else self._pass_random,
            "used": 0 if whole else self._used,
            "random": None,
        }

    def set_state(self, state: State) -> None:
        """Have `next` give what it gave after `get_state`."""
        if state["used"]:
            now = get_random_state()
            set_random_state(state["pass"])
            self._draw()
            set_random_state(now)
            self._used, self._pass_random = state["used"], state["pass"]
        self._random = state["random"]


class ArrayFeed:
    """Arrays, of which each epoch trains on all rows or as many as `steps_per_epoch` says.

    Attributes
    ----------
    samples, batch : int
        What the epoch has done, or several that began together.
    rows : int
        Of one epoch.
    ended : bool
        Whether there is nothing more for any epoch.
    seen : Seen
        The epoch's targets and outputs.
    """

    ended = False
    seen: Seen

    def __init__(self, model: Any, data: Data, samples: int, rows: int, size: int, shuffle: bool):
        self._model, self._data, self._size, self.rows = model, data, size, rows
        self._is = {"samples": samples, "rows": rows, "batch_size": size, "shuffle": shuffle}
        self.orders = Orders(samples, rows, shuffle)
        self.steps = self._steps(rows)  # of an epoch
        self.samples = self.batch = 0
        self._threads: int | None = None
        self._penalty_scales: np.ndarray | None = None  # of each step

    def begin(self, samples: int, batch: int, iterations: int, epochs: int = 1) -> None:
        """Begin an epoch, whose first step was or is the optimizer's step `iterations`, or several
        that nobody looks at in between."""
        self.samples, self.batch, self._epochs = samples, batch, epochs
        self._index = self.orders.next(epochs)
        self._rates = self._model.optimizer.rates(epochs * self.steps, iterations)
        self._train = (self._model._search or self._model._engine()).train
        self.seen = Seen(self._model)
        self._outputs = self.seen.room(self._data[1][self._index]) if self.seen.wanted else None

    def _steps(self, rows: int) -> int:
        return ceil(rows / self._size)

    def more(self) -> bool:
        """Whether the epoch, or the last of several, has more batches."""
        return self.samples < len(self._index)

    def train(self, sums: np.ndarray, batches: int | None, seconds: float) -> None:
        """Steps for about so long, not on more than so many batches."""
        index, rates, outputs = self._index, self._rates, self._outputs
        scales = self._penalty_scales
        if batches is not None:
            stop = self.batch + batches
            index = index[: stop * self._size]
            rates = None if rates is None else rates[:stop]
            scales = None if scales is None else scales[:stop]
            outputs = None if outputs is None else outputs[: len(index)]
        arguments = (index, self._size, self.samples, seconds, self._threads, sums, rates, outputs)
        more: dict[str, Any] = {} if scales is None else {"penalty_scales": scales}
        if self._epochs > 1:
            more["epoch"] = self.rows
        self.samples, *_ = self._train(*self._data, *arguments, **more)
        epochs, rows = divmod(self.samples, self.rows)
        self.batch = epochs * self.steps + self._steps(rows)

    def end(self, failed: bool) -> None:
        """End the epoch."""

    def get_state(self, under_way: bool) -> State:
        """What an epoch that begins, or is under way, is to be begun from again."""
        return {"is": self._is, **self.orders.get_state(under_way)}

    def check_state(self, state: State) -> None:
        """Refuse that of other data."""
        if state.get("is") != self._is:
            raise ValueError(
                f"x: expected data as in the backup, {state.get('is')}; got {self._is}"
            )

    def set_state(self, state: State) -> None:
        """Have `begin` begin as it did."""
        self.orders.set_state(state)


class SourceFeed:
    """A source of batches, of which each epoch takes all of a pass or `steps`.

    With `anew` it begins again each time, and takes no more than a pass.

    Attributes
    ----------
    steps : int or None
        Batches of an epoch, where they are known.
    name : str
        Of the argument that it was given as.
    samples, batch, ended, seen
        As of `ArrayFeed`.
    """

    seen: Seen

    def __init__(
        self,
        model: Any,
        source: Any,
        *,
        steps: int | None = None,
        shuffle: bool = False,
        class_weight: Any = None,
        name: str = "x",
        targets: bool = True,
        anew: bool = False,
    ) -> None:
        self._model, self._source, self.name = model, source, name
        self._class_weight, self._targets, self._anew = class_weight, targets, anew
        self._wanted, self._shuffle = steps, shuffle
        self._passes = None if numbered(source) else Passes(source, name)
        size = batches_in(source, name)
        if isinstance(source, PyDataset) and size is None and steps is None:
            raise ValueError(f"steps: expected a number, for {name} without an end, got None")
        self.steps = steps if steps is not None else size
        if anew and size is not None:  # once through, as arrays
            self.steps = min(size, steps or size)
        self._size = size
        self._is = {"batches": size, "steps": steps, "shuffle": shuffle and self._size is not None}
        self.orders = self._new_orders()
        self.samples = self.batch = self._taken = self._epochs = 0
        self._begun = False
        self.ended = False
        self._prefetch: Prefetch | None = None
        self._next: Any = None
        self._index = np.arange(0)

    def _new_orders(self) -> Orders:
        size = self._size or 0
        return Orders(size, self.steps or size, self._shuffle)

    def peek(self) -> Shape:
        """The shape of a sample of the first batch, which stays the next one."""
        if self._passes is not None:
            raw = self._passes.peek()
            if raw is END:
                raise ValueError(f"{self.name}: expected at least one batch, got none")
        else:
            self._begin_hook()
            raw = self._source[0]
        shape: Shape = self._batch(0, raw)[0].shape[1:]
        return shape

    def _hook(self, name: str) -> None:
        hook = getattr(self._source, name, None)
        if callable(hook):
            hook()

    def _begin_hook(self) -> None:
        if not self._begun:
            self._hook("on_epoch_begin")
        self._begun = True

    def begin(self, samples: int = 0, batch: int = 0, iterations: int = 0) -> None:
        """Begin an epoch; `iterations` as of `ArrayFeed`."""
        self.samples, self.batch, self._iterations = samples, batch, iterations
        self._rates: np.ndarray | None = None
        self.seen = Seen(self._model)
        self._begin_hook()
        if self._anew:
            self.orders = self._new_orders()
            if self._passes is not None:
                self._passes.renew()
        self._prefetch, self._next = Prefetch(self._batches(batch)), None
        self._prefetch.start()

    def _batches(self, done: int) -> Iterator[tuple[int, Data]]:
        """The batches of an epoch from one on, checked, each with its number in its pass."""
        if self._passes is not None:
            return self._in_passes(self._passes, done)
        if self._size is None:
            numbers: Iterator[int] = islice(count(self._taken), (self.steps or 0) - done)
        else:
            numbers = iter(self.orders.next()[done:].tolist())
        workers = getattr(self._source, "workers", 1)
        if workers > 1:
            waiting = max(workers, self._source.max_queue_size)
            return side_by_side(self._numbered, numbers, workers, waiting)
        return (self._numbered(number) for number in numbers)

    def _numbered(self, number: int) -> tuple[int, Data]:
        return number, self._checked(number, self._source[number])

    def _in_passes(self, passes: Passes, done: int) -> Iterator[tuple[int, Data]]:
        while self._wanted is None or done < self._wanted:
            number, raw = passes.take(self._wanted is not None and not self._anew)
            if raw is END:
                self.ended = passes.once
                if not passes.once:
                    passes.renew()
                return
            yield number, self._checked(number, raw)
            done += 1

    def _checked(self, number: int, raw: Any) -> Data:
        return in_rows(self._batch(number, raw))

    def _batch(self, number: int, raw: Any) -> Data:
        name = f"{self.name}, batch {number}"
        batch: Data = as_batch(self._model, raw, name, self._targets, self._class_weight)
        return batch

    def more(self) -> bool:
        """Whether the epoch has more batches; waits for the next one."""
        if self._next is None:
            self._next = self._prefetch.take()  # type: ignore[union-attr]
        return self._next is not END

    def take(self) -> Data:
        """The next batch, after `more`."""
        (number, data), self._next = self._next, None
        self._taken = number + 1
        self.batch += 1
        self.samples += len(data[0])
        checked: Data = data
        return checked

    def train(self, sums: np.ndarray, batches: int | None, seconds: float) -> None:
        """Steps for about so long, not on more than so many batches."""
        train, deadline = self._model._engine().train, perf_counter() + seconds
        stop = None if batches is None else self.batch + batches
        while True:
            rate = self._rate()
            data = self.take()
            rows = len(data[0])
            outputs = self.seen.room(data[1])
            train(*data, self.index(rows), rows, 0, 0.0, None, sums, rate, outputs)
            if self.batch == stop or perf_counter() >= deadline or not self.more():
                return

    def _rate(self) -> np.ndarray | None:
        """The learning rate of the next step, where there is a schedule."""
        at = self.batch % RATES
        if at == 0 or self._rates is None:
            first = self._iterations + self.batch - at
            self._rates = self._model.optimizer.rates(RATES, first)
        return None if self._rates is None else self._rates[at : at + 1]

    def index(self, rows: int) -> np.ndarray:
        """0 .. rows - 1."""
        if len(self._index) != rows:
            self._index = np.arange(rows)
        return self._index

    def end(self, failed: bool) -> None:
        """End the epoch and its thread; where it failed, without waiting long for a batch."""
        if self._prefetch is not None:
            self._prefetch.close(PATIENCE if failed else None)
            self._prefetch = self._next = None
        if self._begun and not failed:
            self._end_hook()
        if self._wanted is None and self._passes is not None and not self._passes.once:
            self._taken = 0

    def _end_hook(self) -> None:
        self._hook("on_epoch_end")
        self._epochs += 1
        self._begun = False

    def get_state(self, under_way: bool) -> State:
        """As of `ArrayFeed`."""
        state = {"is": self._is, "epochs": self._epochs, "taken": self._taken}
        if self._passes is None and self._size is not None and not self._anew:
            return state | self.orders.get_state(under_way)
        goes_on = not self._anew or (self._passes is not None and self._passes.once)
        return state | {"taken": self._taken if goes_on else 0, "used": 0, "random": None}

    def check_state(self, state: State) -> None:
        """Refuse that of another source."""
        if state.get("is") != self._is:
            was = state.get("is")
            raise ValueError(
                f"{self.name}: expected a source as in the backup, {was}; got {self._is}"
            )

    def set_state(self, state: State) -> None:
        """Have `begin` begin as it did; what is iterated over gives its batches once more."""
        while self._epochs < state["epochs"]:
            self._begin_hook()
            self._end_hook()
        self._taken = state["taken"]
        if self._passes is not None:
            self._passes.skip(self._taken)
        self.orders.set_state(state)
