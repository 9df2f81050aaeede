"""Whose turn it is to drive a pool, and what an exception in the middle of a change means."""

from __future__ import annotations

import threading
from typing import Protocol

__all__ = ["Books", "Role"]


class Driven(Protocol):
    """What these need of an engine."""

    lock: threading.RLock
    changed: threading.Condition
    shaken: bool  # an exception has left the books half written
    driver: int | None  # the thread that drives
    waiting: int  # how many threads wait for `changed`


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
                if engine.waiting:
                    engine.changed.notify_all()
