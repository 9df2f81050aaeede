"""Queues: `multiprocessing.queues` without the feeder thread.

`put` has written when it returns, and has raised if the object cannot be pickled. Whatever process is
killed at whatever moment, a queue stays whole: what it had taken is gone with it, nothing else.
A process may end at once: what it put stays.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from forkful import _native
from forkful.family import Handle
from forkful.launch.defaults import defaults
from forkful.stdlib import names_of

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

_T = TypeVar("_T")

# ProcessPoolExecutor and the stdlib's pools (joblib's is one) wait for the pipe inside its SimpleQueue.
_NEED_A_PIPE = frozenset({"concurrent.futures.process", "multiprocessing.pool"})


class Queue(Handle, _native.Queue[_T]):
    """A queue of any number of producers and consumers.

    Args:
        maxsize: `put` waits while so many objects are inside; 0 or less: no bound.

    `put`, `get`, `qsize` and `shutdown` are the native base class's; see their docstrings.
    """

    _joinable: ClassVar[bool] = False

    def __init__(self, maxsize: int = 0, *, ctx: BaseContext | None = None) -> None:
        self._create(maxsize, self._joinable)

    def put_nowait(self, obj: _T) -> None:
        """Append an object; raise queue.Full instead of waiting for room."""
        self.put(obj, False)

    def get_nowait(self) -> _T:
        """Take the first object; raise queue.Empty instead of waiting for one."""
        return self.get(False)

    def empty(self) -> bool:
        """Return whether nothing is inside. Exact, at that moment.

        Raises:
            OSError: Something is, but not for this process, which has closed its handle.
        """
        if self.qsize() == 0:
            return True
        if self._is_closed():
            raise OSError(f"Queue {self!r} is closed")
        return False

    def full(self) -> bool:
        """Return whether `put` would wait. Exact, at that moment."""
        size, maxsize, _ = self._counts()
        return bool(maxsize) and size >= maxsize

    def close(self) -> None:
        """Say that this process will use this handle no more: `put` and `get` raise ValueError."""
        self._close()

    def join_thread(self) -> None:
        """Return at once: there is no feeder thread to wait for."""
        assert self._is_closed(), f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Return at once: there is no feeder thread, and nothing put is lost."""

    def __repr__(self) -> str:
        size, maxsize, _ = self._counts()
        bound = f"/{maxsize}" if maxsize else ""
        return f"<{type(self).__qualname__} at {id(self):#x} size={size}{bound}>"


class JoinableQueue(Queue[_T]):
    """A queue that knows which of its objects have been dealt with."""

    _joinable = True

    def task_done(self) -> None:
        """Say that one object taken has been dealt with.

        Raises:
            ValueError: More often than objects were put.
        """
        self._task_done()

    def join(self, *, timeout: float | None = None) -> bool:
        """Wait until all objects put have been dealt with, at most `timeout` seconds.

        Returns:
            Whether they have (always True without a timeout).

        Raises:
            WorkerDied: All that is left was in the hands of processes that died. It counts as
                dealt with from now on.
        """
        return self._join(timeout)


class SimpleQueue(Handle, _native.Queue[_T]):
    """A queue with put, get, empty and close only."""

    def __new__(cls, *, ctx: BaseContext | None = None) -> Any:
        """Give the standard library's own to who waits for the pipe inside: the module as `mp_context`."""
        if cls is SimpleQueue and sys._getframe(1).f_globals.get("__name__") in _NEED_A_PIPE:
            from forkful.pipequeue import PipeQueue

            return PipeQueue(ctx=ctx or defaults.context.get_context())
        return super().__new__(cls)

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create(0, False)

    def empty(self) -> bool:
        """Return whether nothing is inside.

        Raises:
            OSError: This process has closed its handle.
        """
        if self._is_closed():
            raise OSError(f"SimpleQueue {self!r} is closed")
        return self.qsize() == 0

    def close(self) -> None:
        """Say that this process will use this handle no more."""
        self._close()

    # The stdlib's have no block and timeout.

    def put(self, obj: _T) -> None:  # type: ignore[override]
        """Append an object."""
        super().put(obj)

    def get(self) -> _T:  # type: ignore[override]
        """Take the first object; wait for one."""
        return super().get()


if not TYPE_CHECKING:
    __getattr__ = names_of("queues")
