"""Inputs on their way in, results on their way out, both lazily: what `imap` and `outcomes` have in common.

Inputs are read a bounded way ahead of the consumer. Reading an input may block or run the user's
code, so it has a thread of its own unless the inputs are there already (a list, a range).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import TimeoutError
from typing import TYPE_CHECKING, Any

from forkful import _native
from forkful.pool.messages import Message
from forkful.pool.state import Retry, Task
from forkful.pool.turns import make_bell, ring

if TYPE_CHECKING:
    from forkful.pool.engine import Engine

__all__ = ["Stream"]

AHEAD = 16  # inputs read ahead of the consumer, for each worker
_CONSTANT = (tuple, range, str, bytes, frozenset)
_AT_ONCE = (*_CONSTANT, list, set, dict, deque)

_Dump = Callable[[Any, bytes], tuple[Message, list[Any]]]


class Stream:
    """Inputs on their way in, results on their way out; the engine's job.

    Args:
        engine: The pool's engine.
        pool: Kept alive until all is done.
        func: For error messages.
        inputs: Where the inputs come from. Of a list and the like those count that are in it now.
        ordered: Whether results come out in the order of the inputs.
        function: The function's part of a message, and the handles in it.
        dump: Makes a message of inputs and the function's part, and says which handles it holds.
    """

    callbacks = False
    called_off = False  # a stream is stopped, and not cancelled

    def __init__(
        self,
        engine: Engine,
        pool: object,
        func: Callable[..., Any],
        inputs: Iterable[Any],
        ordered: bool,
        function: tuple[bytes, list[Any]],
        dump: _Dump,
        timeout: float | None,
        retry: Retry,
    ) -> None:
        self._engine = engine
        self._pool: object | None = pool
        self._func = func
        self._inline = isinstance(inputs, _AT_ONCE)
        if self._inline and not isinstance(inputs, _CONSTANT):
            inputs = tuple(inputs)  # who consumes may change it meanwhile
        self._inputs: Iterator[Any] = iter(inputs)
        self._ordered = ordered
        self._function, self._held = function
        self._dump = dump
        self._timeout, self._retry = timeout, retry
        self._read = 0  # units (chunks, or inputs) read
        self._given = 0  # units given to the consumer
        self._landed = 0  # units answered
        self._ended = False  # no more inputs
        self._closed = False  # nobody wants the results
        self._left = False  # nor what the calls do besides
        self._done = False
        self._out: deque[tuple[bool, Any]] = deque()  # in the order of giving
        self._early: dict[int, tuple[bool, Any]] = {}  # ordered: ahead of their turn
        self._next = 0
        self._feeding = False
        self._room = make_bell()  # rung when the feeder may go on
        self._feeder: threading.Thread | None = None

    # -- feeding: the engine calls `feed` under its lock ------------------------------------------------

    def _ahead(self) -> int:
        """How many units may be read ahead of the consumer."""
        return AHEAD * self._engine.size

    def _wants(self) -> bool:
        """Whether to read more now. What nobody consumes is bounded by what is under way."""
        if self._ended or self._done or self._engine.inherited:
            return False
        passed = self._landed if self._closed or self._engine.state != "RUN" else self._given
        return self._read - passed < self._ahead()

    def feed(self) -> None:
        """Read inputs and send them, as far as there is room; or let the feeder do so."""
        if self._feeding or not self._wants():
            return
        if self._inline:
            self._feeding = True
            try:
                while self._wants():
                    self._send_next()
            finally:
                self._feeding = False
        elif self._feeder is None:
            self._feeder = threading.Thread(
                target=self._feed_lazily, name="forkful-feeder", daemon=True
            )
            self._feeder.start()
        else:
            self._room.set()

    def _feed_lazily(self) -> None:
        """The feeder's program. Reads without the lock: reading may take for ever."""
        lock, standing = self._engine.lock, 0  # standing: see Engine._step
        while True:
            with lock:
                # Woken when half of the room is free, so as not to switch threads for each input.
                if self._done or self._ended:
                    return
                wanted = self._wants()
                if not wanted:
                    self._room.clear()
            if wanted:
                standing = 0
                self._send_next()
            else:
                standing = min(standing + 1, 2)
                self._room._stand(1.0, _native.OP_POOL, standing)

    def _send_next(self) -> None:
        """Read the next unit and send it."""
        raise NotImplementedError

    def _is_landed(self, error: BaseException) -> bool:
        """Whether what reading an input raised is for the consumer.

        Not what came in the consumer's own thread and is no Exception, as Ctrl-C.
        """
        return isinstance(error, Exception) or threading.current_thread() is self._feeder

    def _end_of_inputs(self, error: BaseException | None = None) -> None:
        """Under the lock: there are no more; `error` is what reading them raised."""
        self._ended = True
        if error is not None:
            self._read += 1
            self._land(self._read - 1, False, error)
        self._close_if_done()

    # -- results ------------------------------------------------------------------------------------------

    def _land(self, index: int, ok: bool, value: Any) -> None:
        """Unit `index` has its result. Under the lock."""
        if self._done:  # given up
            return
        if not self._closed:
            waited_for = not self._out
            if not self._ordered:
                self._out.append((ok, value))
            else:
                self._early[index] = ok, value
                while self._next in self._early:
                    self._out.append(self._early.pop(self._next))
                    self._next += 1
            if waited_for and self._out and self._engine.bells:
                ring(self._engine.bells)  # the consumer may wait for whoever drives
        self._landed += 1  # last: should Ctrl-C come in between, the recount finds it missing
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._ended and self._landed == self._read and not self._done:
            self._finish()

    def _finish(self) -> None:
        self._done = True
        self._pool = None
        self._held = []
        self._room.set()
        self._engine.closed_job(self)

    def _take(self, timeout: float | None = None) -> tuple[bool, Any]:
        """Return the next result.

        Raises:
            StopIteration: All have been given.
            multiprocessing.TimeoutError: None after `timeout` seconds.
            ValueError: There may be more, and this is not the pool's process, but was forked from it.
        """
        if not self._out:
            self._engine.wait_for(lambda: self._out or self._done, timeout)
        try:
            taken = self._out.popleft()
        except IndexError:
            if self._done:
                raise StopIteration from None
            raise TimeoutError from None
        self._given += 1
        if not self._ended and self._read - self._given <= self._ahead() // 2:
            with self._engine.lock, self._engine.books:
                self.feed()
        return taken

    def forget(self) -> None:
        """Nobody wants the results any more; the inputs are worked through all the same."""
        with self._engine.lock, self._engine.books:
            if self._done:
                return
            self._closed = True
            self._out.clear()
            self._early.clear()
            self._room.set()

    def stop(self) -> None:
        """Read no more inputs; drop the results of those that are under way."""
        with self._engine.lock, self._engine.books:
            if not self._done:
                self._ended = self._left = True
                self.forget()
                self._close_if_done()

    # -- for the engine -----------------------------------------------------------------------------------

    def call_off(self) -> bool:
        """Not of this kind of job."""
        return False

    def wanted(self) -> str | None:
        """Name the calls, unless they are done, or whoever asked for them has had enough."""
        return None if self._done or self._left else f"{self._name()} over its inputs"

    def cancelled(self) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def cut_off(self, error: BaseException) -> None:
        """The pool was terminated."""
        self.abandon(error)

    def abandon(self, error: BaseException) -> None:
        """Nothing more will come: that is the last result."""
        if not self._done:
            self._out.append((False, error))
            self._finish()

    @property
    def done(self) -> bool:
        """Whether all is answered, or given up."""
        return self._done

    def has_lost(self, tasks: list[Task]) -> bool:
        """Whether an answer is missing."""
        self._close_if_done()
        units = sum(1 if task.items is None else len(task.items) - task.next for task in tasks)
        return not self._done and self._read - self._landed != units

    def result(self, task: Task, data: Message) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def timed_result(self, task: Task, data: Message) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def item(
        self, task: Task, index: int, seconds: float, making: float, pid: int, data: Message
    ) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def failed(
        self, task: Task, item: int | None, error: BaseException, seconds: float, pid: int | None
    ) -> None:
        """A unit failed for good."""
        raise NotImplementedError

    def send_again(self, task: Task, items: list[Any], delay: float, attempts: int) -> None:
        """Not of this kind of job."""
        raise NotImplementedError

    def describe(self, task: Task, item: int | None) -> str:
        """Name the unit for an error message."""
        return f"task {task.index} of {self._name()}"

    def _name(self) -> str:
        return str(getattr(self._func, "__qualname__", self._func))
