"""The lock of a model."""

import os
import threading
import weakref
from types import TracebackType


class ModelLock:
    """A re-entrant lock that a forked child finds usable.

    The thread that held it may not exist in the child, and would never release it there.

    Attributes
    ----------
    fitting : bool
        Whether the thread that holds it is inside `fit`.
    """

    def __init__(self) -> None:
        self._renew()
        _all_locks.add(self)

    def _renew(self) -> None:
        self._lock, self.fitting = threading.RLock(), False

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin anew, unless the thread that forked, the only one left, holds the lock itself."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._renew()


_all_locks: weakref.WeakSet[ModelLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in _all_locks:
        lock.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
