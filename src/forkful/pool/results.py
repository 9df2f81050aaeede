"""What the pool's asynchronous calls return: `AsyncResult`, `MapResult`."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from multiprocessing import TimeoutError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from forkful._native import dumps_plain, rebuild
from forkful.pool import messages as m
from forkful.pool.messages import SECONDS, Message
from forkful.pool.state import ChunkSizer, Retry, Task, describe_call

if TYPE_CHECKING:
    from forkful.pool.engine import Engine

__all__ = ["AsyncResult", "MapResult", "load", "report_callback_error"]

_T = TypeVar("_T")
_Callback = Callable[[Any], object] | None


def load(message: Message, at: int = 0) -> tuple[bool, Any]:
    """Rebuild a result that is behind `at` bytes: (True, value), or (False, why not).

    Raises KeyboardInterrupt only.
    """
    try:
        if isinstance(message, bytes):
            return True, rebuild(message, at)
        return True, pickle.loads(m.behind(message[0], at), buffers=message[1])
    except KeyboardInterrupt:
        raise  # rather Ctrl-C here than the result's doing
    except BaseException as e:
        e.add_note("the task's result arrived, but could not be unpickled in the pool's process")
        return False, e


def report_callback_error() -> None:
    """A callback raised: say so as any uncaught exception; the result is delivered all the same."""
    sys.excepthook(*sys.exc_info())


class AsyncResult(Generic[_T]):
    """The result of a call that is under way.

    Args:
        engine: The pool's engine.
        pool: Kept alive until the result is there.
        func: For error messages.
        args: For error messages.
        callback: Called with the value, before anybody gets it.
        error_callback: Called with the exception instead, if it fails.
    """

    # There may be a million: what is not set is the class's.
    _callback: _Callback = None
    _error_callback: _Callback = None
    callbacks = False
    called_off = False
    _done = False
    _missed = False  # whoever wanted it knows that it is not done
    _success = True
    _value: Any = None
    _cut: BaseException | None = None  # not done, and never will be: why

    def __init__(
        self,
        engine: Engine,
        pool: object | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        callback: _Callback = None,
        error_callback: _Callback = None,
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._func, self._args = func, args
        if callback is not None or error_callback is not None:
            self._callback, self._error_callback = callback, error_callback
            self.callbacks = True

    # -- for the user ------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Return whether the call has ended.

        Raises:
            ValueError: It has not, and this is not the pool's process, but was forked from it.
        """
        if not self._done:
            # No callback: that of another call may want what the caller holds at this moment.
            self._engine.poll(calls=False)
        return self._done

    def successful(self) -> bool:
        """Return whether it ended without an exception.

        Raises:
            ValueError: It has not ended.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or its pool was terminated; at most `timeout` seconds.

        Raises:
            ValueError: This is not the pool's process, but was forked from it.
        """
        if not self._done:
            self._engine.wait_for(lambda: self._done, timeout, self._call_back)

    def get(self, timeout: float | None = None) -> _T:
        """Wait for the value and return it.

        Raises:
            multiprocessing.TimeoutError: Not there after `timeout` seconds.
            WorkerDied: The process that ran it has ended, and no other call is affected; or the
                pool was terminated before it was done.
            ValueError: It is not there, and this is not the pool's process, but was forked from it.
            concurrent.futures.CancelledError: It was cancelled.
            Exception: What the call raised, with the traceback that it had there.
        """
        if not self._done:
            self.wait(timeout)
        if not self._done:
            with self._engine.lock:  # whoever terminates the pool may be at it
                cut = self._cut
            if not self._done:
                self._missed = True
                raise cut or TimeoutError()
        if self._success:
            value: _T = self._value
            return value
        raise self._value

    def cancel(self) -> bool:
        """Give up the call, also when it runs.

        What of it no worker has begun will not run. A worker that is at it is killed, with all
        processes that descend from it, and replaced; no other call is affected. As soon as they are
        gone the call has ended: `get` raises `concurrent.futures.CancelledError`, and the error
        callback is called with that. Returns before that.

        Returns:
            Whether it will be cancelled: False if it has ended, or its pool was terminated.
        """
        return self._engine.cancel(self)

    # -- for the engine, under its lock ------------------------------------------------------------

    def feed(self) -> None:
        """Everything has been sent."""

    def result(self, task: Task, data: Message) -> None:
        """The call returned."""
        ok, value = load(data)
        if not ok or self.callbacks or self._done:
            self._finish(ok, value)
        else:
            self._success, self._value = True, value
            self._set_done()

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """The call failed for good."""
        self._finish(False, error)

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come."""
        if not self._is_being_told():
            self._finish(False, error)

    def cut_off(self, error: BaseException) -> None:
        """The pool was terminated: as with the stdlib this is not ready, but nobody waits for it."""
        if self.called_off:
            self.cancelled()
        elif not self._is_being_told():
            self._cut = error
            self._pool = None

    def call_off(self) -> bool:
        """It is to be cancelled; False if it has ended."""
        if self._done or self._is_being_told():
            return False
        self.called_off = True
        self._success = False  # nothing more is sent
        return True

    def cancelled(self) -> None:
        """Nobody works at it any more."""
        from concurrent.futures import CancelledError  # on first use: it brings `logging`

        self._finish(False, CancelledError(f"{self._name()} was cancelled"))

    def wanted(self) -> str | None:
        """Name the call, unless it is done or called off, or `get` has told that it is not done."""
        over = self._done or self.called_off or self._missed or self._is_being_told()
        return None if over else self._name()

    def _name(self) -> str:
        return describe_call(self._func, self._args)

    def has_lost(self, tasks: list[Task]) -> bool:
        """Whether the answer is missing."""
        return not (tasks or self._is_being_told())

    @property
    def done(self) -> bool:
        """Whether the call has ended."""
        return self._done

    def _is_being_told(self) -> bool:
        return self._engine.is_calling(self._call_back)

    def timed_result(self, task: Task, data: Message) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def item(
        self, task: Task, index: int, seconds: float, making: float, pid: int, data: Message
    ) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def send_again(self, task: Task, items: list[Any], delay: float, attempts: int) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def describe(self, task: Task, item: int | None) -> str:
        """Name the call for an error message."""
        return self._name()

    def _finish(self, success: bool, value: Any) -> None:
        if self._done:
            return
        self._success, self._value = success, value
        if (self._callback if success else self._error_callback) is None:
            self._set_done()
        else:
            self._engine.call_soon(self._call_back)

    def _call_back(self) -> None:
        """Not under the lock: the callback, then the result is there."""
        callback = self._callback if self._success else self._error_callback
        assert callback is not None
        try:
            callback(self._value)
        except BaseException as e:
            if (
                isinstance(e, KeyboardInterrupt)
                and threading.current_thread() is threading.main_thread()
            ):
                raise  # in the collector's it would end the thread, and with it all callbacks
            report_callback_error()
        finally:
            with self._engine.lock, self._engine.books:
                self._set_done()

    def _set_done(self) -> None:
        self._done = True
        self._pool = None
        self._engine.closed_job(self)


class MapResult(AsyncResult[list[_T]]):
    """The result of `map_async` and `starmap_async`: a list.

    Args:
        inputs: All inputs.
        chunksize: How many to send in a message; None: as suits how long they take.
        kind: The kind of the messages.
        function: The function's part of a message, and the handles in it.
        dump: Makes a message of inputs and the function's part, and says which handles it holds.
    """

    # Enough under way that no worker waits while the driver deals with a heap of answers; not so
    # much that the messages take real memory.
    MOST_TASKS = 1024
    MOST_BYTES = 8 << 20
    TOGETHER = 32  # messages sent at once: to wake a worker costs more than to make a message

    def __init__(
        self,
        engine: Engine,
        pool: object,
        func: Callable[..., Any],
        inputs: Any,
        chunksize: int | None,
        kind: int,
        function: tuple[bytes, list[Any]],
        dump: Callable[[Any, bytes], tuple[Message, list[Any]]],
        timeout: float | None,
        retry: Retry,
        callback: _Callback = None,
        error_callback: _Callback = None,
    ) -> None:
        super().__init__(engine, pool, func, (), callback, error_callback)
        self._inputs = inputs
        self._length = len(inputs)
        self._value = [None] * self._length
        self._error: BaseException | None = None
        self._left = self._length
        self._fed = 0
        self._under_way = 0
        self._bytes = 0
        self._chunksize = chunksize
        self._sizer = ChunkSizer(engine.size, target=0.005, most=1 << 16)
        self._kind, self._dump = kind, dump
        self._function, self._held = function
        self._timeout, self._retry = timeout, retry

    def feed(self) -> None:
        """Send chunks while there is room."""
        while self._success and self._fed < self._length and self._bytes < self.MOST_BYTES:
            if self._chunksize is None:
                # First learn how long an input takes.
                room = 4 * self._engine.size - self._under_way
            else:
                room = min(self.MOST_TASKS - self._under_way, self.TOGETHER)
            if room <= 0:
                return
            self._send(self._chunks(room))

    def _chunks(self, most: int) -> list[list[Any]]:
        """Return the inputs that come next, in up to so many chunks."""
        inputs, at, size = self._inputs, self._fed, self._chunksize
        if size == 1:
            return [[x] for x in inputs[at : at + most]]
        chunks: list[list[Any]] = []
        while at < self._length and len(chunks) < most:
            to = at + (size or self._sizer.chunk(self._length - at))
            chunk = inputs[at:to]
            chunks.append(chunk if type(chunk) is list else list(chunk))
            at = to
        return chunks

    def _send(self, chunks: list[list[Any]]) -> None:
        """Send chunks, as many as may be under way at once."""
        function, kind, dump, most = self._function, self._kind, self._dump, self.MOST_BYTES
        plain = self._timeout is None and not self._retry.retries
        at, under_way = self._fed, self._bytes
        tasks: list[Task] = []
        messages: list[Message] = []
        refused: list[tuple[int, Exception]] = []
        for chunk in chunks:
            if under_way >= most:
                break
            size = len(chunk)
            try:
                message: Message | None = dumps_plain(chunk, function)
                held: list[Any] = []
                if message is None:
                    message, held = dump(chunk, function)
            except Exception as e:
                refused.append((size, e))
                at += size
                continue
            task = Task(self, kind, b"" if plain else message, at)
            task.cost = cost = len(message) if isinstance(message, bytes) else m.size(message)
            if size > 1:
                task.size = size
            if held:
                task.held = held
            if not plain:
                task.timeout, task.retry = self._timeout, self._retry
            at += size
            under_way += cost
            tasks.append(task)
            messages.append(message)
        # Should Ctrl-C come in between, the recount finds these missing.
        self._engine.send_all(tasks, messages)
        self._fed, self._bytes = at, under_way
        self._under_way += len(tasks)
        for size, error in refused:
            self._take_error(size, error)

    def timed_result(self, task: Task, data: Message) -> None:
        """A chunk's values, and how long they took."""
        if self._success:
            self._sizer.took(task.size, *SECONDS.unpack_from(m.head(data)))
            self.result(task, data, SECONDS.size)

    def result(self, task: Task, data: Message, at: int = 0) -> None:
        """A chunk's values."""
        if self._done or not self._success:  # given up
            return
        ok, values = load(data, at)
        self._landed(task)
        size = task.size
        if not ok:
            self._take_error(size, values)
            return
        if size == 1:
            self._value[task.index] = values[0]
        else:
            self._value[task.index : task.index + size] = values
        self._left -= size
        if not self._left:
            self.finish_if_empty()

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """A chunk failed: the first such error is the call's, once the others have ended."""
        self._landed(task)
        self._take_error(task.size, error)

    def has_lost(self, tasks: list[Task]) -> bool:
        """Whether an answer is missing."""
        if self._is_being_told():
            return False
        sent = sum(task.size for task in tasks)
        return not self._success or self._left == 0 or self._left != self._length - self._fed + sent

    def _name(self) -> str:
        name = getattr(self._func, "__qualname__", repr(self._func))
        return f"{name} over {self._length} inputs"

    def describe(self, task: Task, item: int | None) -> str:
        """Name the chunk for an error message."""
        name = getattr(self._func, "__qualname__", repr(self._func))
        if task.size == 1:
            return f"task {task.index}: " + describe_call(self._func, (self._inputs[task.index],))
        return f"{name} over inputs {task.index} to {task.index + task.size - 1}"

    def cut_off(self, error: BaseException) -> None:
        """The pool was terminated."""
        self._held = []
        super().cut_off(error)

    def _set_done(self) -> None:
        self._held = []
        super()._set_done()

    def _landed(self, task: Task) -> None:
        self._under_way -= 1
        self._bytes -= task.cost

    def _take_error(self, size: int, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._take(size)

    def _take(self, size: int) -> None:
        self._left -= size
        self.finish_if_empty()

    def finish_if_empty(self) -> None:
        """All inputs are dealt with (perhaps there was none)."""
        if self._left == 0:
            if self._error is None:
                self._finish(True, self._value)
            else:
                self._finish(False, self._error)
