"""Queues: `multiprocessing.queues` without the feeder thread.

`put` has written when it returns, and has raised if the object cannot be pickled. Whatever process is
killed at whatever moment, a queue stays whole: what it had taken is gone with it, nothing else.
A process may end at once: what it put stays.
"""

from __future__ import annotations

import operator
import sys

from forkful import _native
from forkful.errors import ShutDown
from forkful.family import Handle
from forkful.launch.defaults import defaults
from forkful.stdlib import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from multiprocessing.context import BaseContext
    from types import FrameType
    from typing import Any, TypeVar

    from forkful.statistics import QueueStatistics

    _T = TypeVar("_T")

__all__ = ["JoinableQueue", "Queue", "QueueStatistics", "SimpleQueue"]

_TIMES = 3  # what redeliver=True means
_MOST_TIMES = 2**32 - 2

# ProcessPoolExecutor and the stdlib's pools (joblib's is one) wait for the pipe inside its SimpleQueue.
_NEED_A_PIPE = frozenset({"concurrent.futures.process", "multiprocessing.pool"})


_SHUT = (None, "shutdown", "immediate")


class _Queue(Handle, _native.Queue["_T"]):
    """What all queues have in common.

    `put`, `get`, `qsize` and `shutdown` are the native base class's; see their docstrings.
    """

    def empty(self) -> bool:
        """Return whether nothing is inside. Exact, at that moment.

        Raises:
            OSError: This process has closed its handle.
        """
        if self._is_closed():
            raise OSError(f"{type(self).__name__} {self!r} is closed")
        return self.qsize() == 0

    def close(self) -> None:
        """Say that this process will use this handle no more: `put` and `get` raise ValueError."""
        self._close()

    def _closed_error(self) -> Exception:
        """Return what `put` and `get` raise once this handle is closed."""
        return ValueError(f"Queue {self!r} is closed")

    def statistics(self) -> QueueStatistics:
        """Return the numbers of this moment. Exact while nobody uses the queue."""
        from forkful.statistics import QueueStatistics  # on first use: few ask

        look = self._look()
        return QueueStatistics(*look[:-1], _SHUT[look[-1]])

    def __iter__(self) -> Iterator[_T]:
        """Take objects, and wait for them, until the queue was shut down and nothing is left."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    __contains__ = None  # `x in queue` would take what it looks at

    def __repr__(self) -> str:
        size, maxsize, _ = self._counts()
        bound = f"/{maxsize}" if maxsize else ""
        return f"<{type(self).__qualname__} at {id(self):#x} size={size}{bound}>"


class Queue(_Queue["_T"]):
    """A queue of any number of producers and consumers.

    Args:
        maxsize: `put` waits while so many objects are inside; 0 or less: no bound.
    """

    def __init__(self, maxsize: int = 0, *, ctx: BaseContext | None = None) -> None:
        self._create(maxsize, False)

    def put_nowait(self, obj: _T) -> None:
        """Append an object; raise queue.Full instead of waiting for room."""
        self.put(obj, False)

    def get_nowait(self) -> _T:
        """Take the first object; raise queue.Empty instead of waiting for one."""
        return self.get(False)

    def put_many(
        self, objs: Iterable[_T], block: bool = True, timeout: float | None = None
    ) -> None:
        """Append objects, one after another; those of others may come between.

        All are pickled before the first is put: if one cannot be, none is.

        Args:
            objs: They are all taken from it first, so it must have an end.
            block: Whether to wait where there is no room for the next.
            timeout: Seconds to wait at most, for all together; None: for ever.

        Raises:
            queue.Full: No room (in that time).
            ShutDown: The queue was shut down.
            ValueError: This handle was closed.

        Whatever is raised, its `count` is the number of objects that have been put.
        """
        left = list(objs)
        number = len(left)
        try:
            self._put_each(left, timeout if block else 0)
        except BaseException as e:
            e.count = number - len(left)  # type: ignore[attr-defined]
            if number != len(left):
                e.add_note(f"{number - len(left)} of {number} objects had been put before")
            raise

    def get_many(
        self, max_items: int | None = None, block: bool = True, timeout: float | None = None
    ) -> list[_T]:
        """Take the first objects, at least one.

        All that is returned is in this process's hands: of a `JoinableQueue` each needs a `task_done`, and if
        the process ends before, all of them are lost, or with `redeliver` come back.

        Args:
            max_items: How many at most; None: as many as are inside.
            block: Whether to wait for the first, as `get` does. The others are not waited for.
            timeout: Seconds to wait for it at most; None: for ever.

        Raises:
            queue.Empty: Nothing there (in that time).
            ShutDown: The queue was shut down and is empty.
            ValueError: This handle was closed, or `max_items` is less than 1.
            Exception: One cannot be unpickled here. Its `items` are the other objects that were taken.
        """
        if max_items is not None and max_items < 1:
            raise ValueError(f"max_items must be at least 1: {max_items}")
        items: list[_T] = []
        try:
            self._get_each(items, max_items or 0, timeout if block else 0)
        except BaseException as e:
            if items:
                e.items = items  # type: ignore[attr-defined]
                e.add_note(f"{len(items)} other objects were taken: this exception's `items`")
            raise
        return items

    def empty(self) -> bool:
        """Return whether nothing is inside. Exact, at that moment.

        Raises:
            OSError: Something is, but not for this process, which has closed its handle.
        """
        return self.qsize() == 0 or super().empty()

    def full(self) -> bool:
        """Return whether `put` would wait. Exact, at that moment."""
        size, maxsize, _ = self._counts()
        return bool(maxsize) and size >= maxsize

    def join_thread(self) -> None:
        """Return at once: there is no feeder thread to wait for."""
        assert self._is_closed(), f"Queue {self!r} not closed"

    def cancel_join_thread(self) -> None:
        """Return at once: there is no feeder thread, and nothing put is lost."""


class JoinableQueue(Queue["_T"]):
    """A queue that knows which of its objects have been dealt with.

    Args:
        maxsize: As of `Queue`. What has been taken does not count, also when it comes back.
        redeliver: What becomes of an object whose consumer ends between `get` and `task_done`.

            False: it is lost, and `join` says so.

            A number: another `get` returns it, before all that is still inside, the oldest first.
            At least once: a consumer may have dealt with it, and ended before it could say so. An object that
            outlives so many further consumers is given up, and `join` says so: what kills whoever
            takes it must not kill them all. True: 3.

            `task_done` then ends the oldest object that the calling thread has taken, and is for that thread
            to call. After `shutdown()` a `get` of a process that has nothing in hand waits
            until all objects that others have are done, as they may come back.
    """

    def __init__(
        self, maxsize: int = 0, *, ctx: BaseContext | None = None, redeliver: bool | int = False
    ) -> None:
        times = _TIMES if redeliver is True else operator.index(redeliver)
        if times < 0:
            raise ValueError(f"redeliver must not be negative: {times}")
        self._create(maxsize, True, min(times, _MOST_TIMES))

    def task_done(self) -> None:
        """Say that one object taken has been dealt with.

        Raises:
            ValueError: More often than objects were put; with `redeliver`, than this thread has taken.
        """
        self._task_done()

    def join(self, *, timeout: float | None = None) -> bool:
        """Wait until all objects put have been dealt with, at most `timeout` seconds.

        After `shutdown(immediate=True)` those that it has dropped count as dealt with.

        Returns:
            Whether they have (always True without a timeout).

        Raises:
            WorkerDied: All that is left was in the hands of processes that died. It counts as
                dealt with from now on.
        """
        return self._join(timeout)


def _pipe_queue_for(asker: FrameType, ctx: BaseContext | None) -> Any:
    """Return the standard library's SimpleQueue if who asks for one needs its pipe, else None."""
    if asker.f_globals.get("__name__") not in _NEED_A_PIPE:
        return None
    from forkful.pipequeue import PipeQueue

    return PipeQueue(ctx=ctx or defaults.context.get_context())


class SimpleQueue(_Queue["_T"]):
    """A queue with put, get, empty and close only. Once it is closed these raise OSError."""

    def __new__(cls, *, ctx: BaseContext | None = None) -> Any:
        """Give the standard library's own to who waits for the pipe inside: the module as `mp_context`."""
        queue = _pipe_queue_for(sys._getframe(1), ctx) if cls is SimpleQueue else None
        return super().__new__(cls) if queue is None else queue

    def __init__(self, *, ctx: BaseContext | None = None) -> None:
        self._create(0, False)

    def _closed_error(self) -> Exception:
        return OSError(f"{type(self).__name__} {self!r} is closed")  # the stdlib's handle is

    # The stdlib's have no block and timeout.

    def put(self, obj: _T) -> None:  # type: ignore[override]
        """Append an object."""
        super().put(obj)

    def get(self) -> _T:  # type: ignore[override]
        """Take the first object; wait for one."""
        return super().get()


if not TYPE_CHECKING:
    __getattr__ = names_of("queues", QueueStatistics="forkful.statistics")
