"""A worker: takes a task, does it, answers; until it is told to stop.

The worker says which task it has (its claim) in the same step in which it takes it. It answers before it takes
the next. So when it dies, the pool knows from the claim and the answers what it held.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]
from multiprocessing.process import current_process
from types import BuiltinFunctionType, FunctionType
from typing import Any, NoReturn

from forkful import _native, ledger, remote, wire
from forkful._native import dumps_plain, rebuild
from forkful.family import Words
from forkful.launch import interrupts, sigterm
from forkful.launch.defaults import defaults
from forkful.pool import messages as m
from forkful.queues import SimpleQueue

__all__ = ["WorkerConfig", "work"]

defaults.machinery.append(__file__)

_CACHED_FUNCTIONS = 64
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class WorkerConfig:
    """All that a worker needs; it travels to it at its start."""

    number: int  # of the worker; names it in READY and the like
    place: int  # its words in `claims` begin here
    tasks: SimpleQueue[Any]
    answers: SimpleQueue[Any]
    claims: Words
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks: int | None
    max_memory: int | None  # bytes of resident memory


_NO_PREFIX = b"\0" * 5  # no message begins like this
_clock = time.perf_counter
_pack_seconds = m.SECONDS.pack


def _nothing() -> None:
    """Stands for no function."""


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


class _Worker:
    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._where = f"{current_process().name} (pid {os.getpid()})"
        self._functions: dict[bytes, Callable[..., Any]] = {}
        self._last: Callable[..., Any] = _nothing  # the function of the task before, if it is kept,
        self._prefix = _NO_PREFIX  # and the message's part for it
        self._behind = 0  # its length
        self._making = 0.0  # seconds that it took to make this task's function
        self._remaking = 0.0  # and that it will take for each further one: 0 if it is kept
        self._answer: Callable[..., object] = config.answers._put_bytes
        self._left = False  # this process was forked by a task
        self._set = config.claims.store
        self._since = config.place + m.CLAIM_SINCE
        self._item = config.place + m.CLAIM_ITEM

    def leave(self) -> None:
        """In a process that a task has forked: it ends where it comes out of the task. The worker answers."""
        self._left, self._answer = True, _end

    def start(self) -> bool:
        """Run the initializer; False: it raised, and the pool has been told."""
        c = self._config
        if c.initializer is not None:
            try:
                c.initializer(*c.initargs)
            except SystemExit:
                raise
            except BaseException as e:
                self._answer(self._failure(e), c.number << 4 | m.FAILED_START)
                return False
        self._answer(b"", c.number << 4 | m.READY)
        return True

    def loop(self) -> None:
        c = self._config
        take = c.tasks._take_bytes
        do = {
            m.APPLY: self._apply,
            m.MAP: self._map,
            m.STARMAP: self._starmap,
            m.TIMED_MAP: self._timed_map,
            m.TIMED_STARMAP: self._timed_starmap,
            m.BATCH: self._batch,
        }
        set_word, stamp, since, claim_seq = (
            self._set,
            c.claims.stamp,
            self._since,
            c.place + m.CLAIM_SEQ,
        )
        op = _native.OP_TASK
        claims, limited = c.claims, bool(c.max_tasks or c.max_memory)
        taken: list[tuple[int, int, m.Message]] = []
        done = 0
        while True:
            take(taken, 1, None, claims, claim_seq, op)
            seq, kind, data = taken.pop()
            if kind == m.STOP:
                return
            if kind != m.BATCH:  # which sets it for each item
                stamp(since)
            try:
                do[kind](seq, data)
            except SystemExit:
                raise  # ends the worker, as the task asked; the pool sees with what status
            except BaseException as e:
                self._answer(self._failure(e), seq << 4 | m.ERROR)
                del e
            del data  # or what is large in it would be kept until the next task comes
            set_word(since, 0)
            if not limited:
                continue
            done += 1
            if done == c.max_tasks or (c.max_memory and _resident() > c.max_memory):
                self._answer(b"", c.number << 4 | m.RETIRED)
                return

    def _failure(self, error: BaseException) -> bytes:
        if self._left:
            raise error
        ledger.failed(error)
        return remote.pack(error, self._where)

    # -- the kinds of tasks ------------------------------------------------------------------------

    def _open(self, message: m.Message) -> tuple[Callable[..., Any], Any]:
        """Return function and arguments."""
        buffers: list[Any] | None = None
        if isinstance(message, bytes):
            data = message
        else:
            data, buffers = message
        if data.startswith(self._prefix):
            func, at = self._last, self._behind
        else:
            func, at = self._find(data)
        try:
            if buffers is None:
                return func, rebuild(data, at)
            return func, wire.loads(m.behind(data, at), buffers)
        except (AttributeError, ImportError) as error:
            wire.advise(error)
            raise

    def _find(self, data: bytes) -> tuple[Callable[..., Any], int]:
        """Return the function, and where its part of the message ends."""
        (size,) = m.FUNCTION_SIZE.unpack_from(data)
        begin = m.FUNCTION_SIZE.size
        at = begin + (size & ~m.KEPT)
        key = data[begin:at]
        self._last, self._prefix = _nothing, _NO_PREFIX  # it may have much memory
        func = self._functions.get(key)
        if func is None:
            begun = _clock()
            func = wire.loads(key)
            if size & m.KEPT:
                func = func._load(False)
            took = self._making = _clock() - begun
            # Functions and classes are the same each time. The rest (a partial, a bound method) is made anew
            # for each message, so that none sees what another one did to it.
            if not isinstance(func, (FunctionType, BuiltinFunctionType, type)):
                self._remaking = took
                return func, at
            if not size & m.KEPT:
                if len(self._functions) >= _CACHED_FUNCTIONS:
                    self._functions.clear()
                self._functions[key] = func
        self._last, self._prefix, self._behind = func, data[:at], at
        return func, at

    def _apply(self, seq: int, data: m.Message) -> None:
        func, (args, kwargs) = self._open(data)
        value = func(*args, **kwargs)
        self._answer(_dumps(value), seq << 4 | m.RESULT)

    def _map(self, seq: int, data: m.Message) -> None:
        func, items = self._open(data)
        # list(map(...)) would take a StopIteration of func for the end.
        values = [func(x) for x in items] if len(items) > 1 else [func(items[0])]
        self._answer(_dumps(values, many=True), seq << 4 | m.RESULT)

    def _starmap(self, seq: int, data: m.Message) -> None:
        func, items = self._open(data)
        self._answer(_dumps([func(*x) for x in items], many=True), seq << 4 | m.RESULT)

    def _timed_map(self, seq: int, data: m.Message) -> None:
        begun, self._making, self._remaking = _clock(), 0.0, 0.0
        func, items = self._open(data)
        self._answer_timed(seq, begun, [func(x) for x in items])

    def _timed_starmap(self, seq: int, data: m.Message) -> None:
        begun, self._making, self._remaking = _clock(), 0.0, 0.0
        func, items = self._open(data)
        self._answer_timed(seq, begun, [func(*x) for x in items])

    def _answer_timed(self, seq: int, begun: float, values: list[Any]) -> None:
        seconds = _pack_seconds(_clock() - begun - self._making, self._remaking)
        self._answer(_dumps(values, seconds, many=True), seq << 4 | m.TIMED_RESULT)

    def _batch(self, seq: int, data: m.Message) -> None:
        self._remaking = 0.0
        func, items = self._open(data)
        remaking = self._remaking
        done, error = seq << 4 | m.ITEM_DONE, seq << 4 | m.ITEM_ERROR
        set_word, since, item = self._set, self._since, self._item
        now, pack, pid = time.monotonic_ns, m.ITEM.pack, os.getpid()
        for i, x in enumerate(items):
            set_word(item, i)
            begun = now()
            set_word(since, begun)
            try:
                answer, kind = _dumps(func(x)), done
            except SystemExit:
                raise
            except BaseException as e:
                answer, kind = self._failure(e), error
            # Told before the next is begun: whatever the next one does to this process, this
            # one's result is safe.
            self._answer(m.joined(pack(i, (now() - begun) / 1e9, remaking, pid), answer), kind)
            set_word(since, 0)


def _dumps(value: Any, head: bytes = b"", *, many: bool = False) -> m.Message:
    """Return an answer: a value, or a list of `many`, behind `head`."""
    answer = dumps_plain(value, head)
    if answer is not None:
        return answer
    try:
        data, buffers = wire.dumps_oob(wire.aside(value) if many else value)
    except Exception as e:
        raise MaybeEncodingError(e, value) from e
    return (head + data, buffers) if buffers else head + data


def _resident() -> int:
    with open("/proc/self/statm", "rb") as f:
        return int(f.read().split()[1]) * _PAGE


def _ignore_interrupt(signum: int, frame: object) -> None:
    """On SIGINT: Ctrl-C at a terminal reaches all processes; the pool's owner decides.

    A function and not SIG_IGN, which the programs that a task runs would inherit.
    """


_ignore_interrupt.does_nothing = True  # type: ignore[attr-defined]  # see quiet.quiet


def work(config: WorkerConfig) -> None:
    """Be a worker, in a process of its own, until stopped."""
    sigterm.forget_parents()
    signal.signal(signal.SIGINT, _ignore_interrupt)
    interrupts.release()
    worker = _Worker(config)
    os.register_at_fork(after_in_child=worker.leave)
    if not worker.start():
        sys.exit(1)
    gc.freeze()  # what was there at the start stays: let no collection walk (and copy) it
    worker.loop()
