"""The lock of a model."""

import _thread
import os
import weakref


class ModelLock(_thread.RLock):  # type: ignore[misc]  # its type: threading.RLock makes it
    """A re-entrant lock that a forked child finds usable.

    The thread that held it may not exist in the child, and would never release it there. `with`
    enters and leaves it in compiled code: Ctrl-C comes before or after, and never leaves it locked.

    Attributes
    ----------
    fitting : bool
        Whether the thread that holds it is inside `fit`.
    """

    def __init__(self) -> None:
        self.fitting = False
        _all_locks.add(self)

    def after_fork_in_child(self) -> None:
        """Begin anew, unless the thread that forked, the only one left, holds the lock itself."""
        if self.acquire(blocking=False):
            self.release()
        else:
            self._at_fork_reinit()  # type: ignore[attr-defined]
            self.fitting = False


_all_locks: weakref.WeakSet[ModelLock] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for lock in _all_locks:
        lock.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
