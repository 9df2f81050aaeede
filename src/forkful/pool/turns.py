"""Whose turn it is to drive a pool, who waits meanwhile, and what an exception in a change means."""

from __future__ import annotations

import threading
from typing import Protocol

from forkful import _native

__all__ = ["Books", "Role", "hang_bell", "make_bell", "ring", "take_down"]


class Driven(Protocol):
    """What these need of an engine."""

    lock: threading.RLock
    bells: list[_native.Event]  # of the threads that wait for another one, which drives
    shaken: bool  # an exception has left the books half written
    driver: int | None  # the thread that drives


def make_bell() -> _native.Event:
    """Return what a thread can wait for, so that its wait is on the board."""
    bell = _native.Event()
    bell._create()
    return bell


def hang_bell(bells: list[_native.Event]) -> _native.Event:
    """Return a bell that the next `ring` rings; to be taken down. Under the lock."""
    bell = make_bell()
    bells.append(bell)
    return bell


def take_down(bells: list[_native.Event], bell: _native.Event) -> None:
    """Take down a bell that nobody waits for any more, unless it has rung. Under the lock."""
    if bell in bells:
        bells.remove(bell)


def ring(bells: list[_native.Event]) -> None:
    """Wake all who wait for another thread: something has changed. Under the lock."""
    while bells:
        bells.pop().set()


class Books:
    """Says that an exception came while something under the lock was being changed.

    For `with engine.lock, engine.books:`. Not the lock itself: entering that must be one step, or
    Ctrl-C could come between taking it and knowing that it is taken.
    """

    def __init__(self, engine: Driven) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        """Nothing has been changed yet."""

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._engine.shaken = True


class Role:
    """A thread's being the driver. It may be so already: a callback may wait for a result."""

    def __init__(self, engine: Driven) -> None:
        self._engine = engine
        self._me = threading.get_ident()
        self._mine = engine.driver == self._me  # before this

    def take(self) -> bool:
        """Become the driver unless another thread is."""
        engine = self._engine
        with engine.lock:
            if engine.driver is None:
                engine.driver = self._me
            return engine.driver == self._me

    def give(self) -> None:
        """Be no more than before, whatever came in between (an interrupt, say)."""
        engine = self._engine
        if not self._mine and engine.driver == self._me:
            with engine.lock:
                engine.driver = None
                if engine.bells:
                    ring(engine.bells)
