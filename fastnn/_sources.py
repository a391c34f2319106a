"""Batches that a user's object gives one by one, made on another thread while the engine works."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastnn._data import as_bool, as_int

if TYPE_CHECKING:
    from concurrent.futures import Future

AHEAD = 2  # batches that lie ready at most
PATIENCE = 1.0  # seconds that an interrupted call waits for a batch that is being made
END: Any = object()

_NO_SOURCES = (str, bytes, bytearray, memoryview, list, tuple, range, Mapping, Set)
_ARRAY_WORDS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__", "dtype")


class PyDataset:
    """Base class of data that come in batches, each by its number.

    `fit`, `evaluate` and `predict` take any object with `__len__` and `__getitem__`; from this
    class it has the hooks of epochs and Keras's settings.

    Parameters
    ----------
    workers : int >= 0
        Threads that make batches. With 0 or 1, it is one thread.
    use_multiprocessing : False
        Keras's processes are not supported: threads that work in NumPy run side by side.
    max_queue_size : int >= 1
        With several workers: how many batches are made or lie ready at a time.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.utils import PyDataset
    >>> class Squares(PyDataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         x = np.arange(8.0)[:, None] + 8 * index
    ...         return x / 32, (x / 32) ** 2
    >>> model = Sequential([Dense(1, input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> model.fit(Squares(), epochs=3, verbose=0).epoch
    [0, 1, 2]
    """

    workers = 1  # also of classes that do not call this constructor
    max_queue_size = 10
    use_multiprocessing = False

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = as_int(workers, "workers", 0)
        if as_bool(use_multiprocessing, "use_multiprocessing"):
            raise ValueError("use_multiprocessing: expected False, got True: workers are threads")
        self.max_queue_size = as_int(max_queue_size, "max_queue_size", 1)

    def __getitem__(self, index: int) -> Any:
        """Batch `index`: (x, y), (x, y, sample_weight) or, for `predict`, (x,)."""
        raise NotImplementedError(f"{type(self).__name__}: expected a __getitem__ of its own")

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch; None, where it has no `__len__`: there is no end of them."""
        return len(self) if hasattr(self, "__len__") else None

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


Sequence = PyDataset  # its name of before, which is Keras's, too


def is_source(x: Any) -> bool:
    """Whether `x` gives batches, and is no array or what becomes one."""
    if isinstance(x, PyDataset):
        return True
    if isinstance(x, _NO_SOURCES) or any(hasattr(x, word) for word in _ARRAY_WORDS):
        return False
    return hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def numbered(source: Any) -> bool:
    """Whether a source's batches are had by number, in any order."""
    if isinstance(source, PyDataset):
        return True
    return hasattr(source, "__getitem__") and hasattr(source, "__len__")


def batches_in(source: Any, name: str) -> int | None:
    """How many batches a source has; None where that is not known."""
    if isinstance(source, PyDataset):
        count = source.num_batches
    else:
        try:
            count = len(source)
        except TypeError:  # none, or one that says so, as a DataLoader of a stream does
            count = None
    if count is not None and as_int(count, f"{name}'s batches", 0) == 0:
        raise ValueError(f"{name}: expected at least one batch, got none")
    return count


class Passes:
    """The batches of something that is iterated over, pass after pass.

    Parameters
    ----------
    source : iterable
        An iterator has one pass; other objects begin again where a pass ends.

    Attributes
    ----------
    once : bool
        Whether it is an iterator.
    """

    def __init__(self, source: Iterable[Any], name: str) -> None:
        self._source, self._name = source, name
        self.once = iter(source) is source
        self._iterator: Iterator[Any] | None = iter(source) if self.once else None
        self._number = 0
        self._waiting: list[Any] = []  # of `peek`

    def renew(self) -> None:
        """Begin again, where that can be done."""
        if not self.once and not self._waiting:
            self._iterator, self._number = None, 0

    def take(self, again: bool) -> tuple[int, Any]:
        """The number of the next batch in its pass, and the batch; END where the pass ends.

        With `again` the next pass follows at once.
        """
        batch = self._waiting.pop() if self._waiting else self._next()
        if batch is END and again and not self.once:
            self.renew()
            batch = self._next()
        self._number += 1
        return self._number - 1, batch

    def _next(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._source)
        batch = next(self._iterator, END)
        if batch is END and self._number == 0 and not self.once:
            raise ValueError(f"{self._name}: expected at least one batch, got none")
        return batch

    def peek(self) -> Any:
        """The first batch, which stays the next one."""
        batch = self._next()
        self._waiting.append(batch)
        return batch

    def skip(self, count: int) -> None:
        """Leave out as many batches of the pass."""
        while self._number < count:
            if self.take(False)[1] is END:
                raise ValueError(
                    f"{self._name}: expected the {count} batches that the backup has seen, got "
                    f"{self._number - 1}"
                )


class Prefetch:
    """What an iterator gives, made on a thread of its own, a few ahead, in order.

    An error there is raised by `take`, with its traceback.
    """

    def __init__(self, items: Iterator[Any]) -> None:
        from queue import SimpleQueue  # these two load slowly, and arrays do without
        from threading import Thread

        self._ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()  # one for each that may be made
        for _ in range(AHEAD):
            self._free.put(None)
        self._closed = False
        self._thread = Thread(target=self._work, args=(items,), name="fastnn batches", daemon=True)

    def start(self) -> None:
        """Begin; apart from the constructor, for that who is interrupted here can `close`."""
        self._thread.start()

    def _work(self, items: Iterator[Any]) -> None:
        try:
            item = None
            while item is not END:
                self._free.get()
                if self._closed:
                    return
                item = next(items, END)
                self._ready.put((item, None))
        except BaseException as error:  # the other thread raises it
            self._ready.put((END, error))

    def take(self) -> Any:
        """The next item; END after the last one."""
        item, error = self._ready.get()
        if error is not None:
            try:
                raise error
            finally:
                del error  # it holds this frame, which would hold it
        self._free.put(None)
        return item

    def close(self, patience: float | None = None) -> None:
        """End the thread, after the item that it is at; wait `patience` seconds for it."""
        self._closed = True
        self._free.put(None)
        with suppress(RuntimeError):  # an interrupted start: it sees `_closed` if it begins at all
            self._thread.join(patience)


def side_by_side(
    make: Callable[[int], Any], numbers: Iterable[int], workers: int, waiting: int
) -> Iterator[Any]:
    """make(number) for each number, in order, on as many threads."""
    from concurrent.futures import ThreadPoolExecutor  # loads slowly; rarely needed

    futures: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, "fastnn batches") as pool:
        try:
            for number in numbers:
                futures.append(pool.submit(make, number))
                if len(futures) >= waiting:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()
