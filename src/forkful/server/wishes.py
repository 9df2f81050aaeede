"""What a serving parent is asked for, by signals and by other threads.

A wish is only noted, and an eventfd tells the parent's loop, which acts. So nothing ever comes in between two
steps of the loop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

__all__ = ["GRACEFUL", "QUICK", "Wishes"]

GRACEFUL, QUICK = 1, 2


class Wishes:
    """The wishes of one server.

    Attributes:
        ending: 0, GRACEFUL or QUICK; it only grows.
        interrupted: Whether SIGINT came.
        means: What each signal means, a function that a signal handler may call.
    """

    def __init__(self) -> None:
        self.ending = 0
        self.interrupted = False
        self.means: dict[int, Callable[[], None]] = {
            signal.SIGTERM: lambda: self.ask(GRACEFUL),
            signal.SIGQUIT: lambda: self.ask(QUICK),
            signal.SIGINT: self._interrupt,
        }
        self._fd = -1  # while somebody listens
        self._lock = threading.RLock()  # re-entrant: signal handlers run in the midst of anything

    def ask(self, how: int = 0) -> None:
        """Ask for an end, or with 0 for a look at what is due."""
        # No max(): a signal's wish may come at its call, and would be overwritten.
        if how > self.ending:
            self.ending = how
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    def _interrupt(self) -> None:
        self.interrupted = True
        self.ask(QUICK)

    @contextlib.contextmanager
    def heard(self) -> Iterator[int]:
        """Give an eventfd that is readable after each wish. In the main thread signals are minded meanwhile."""
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            with self._minding_signals():
                yield self._fd
        finally:
            with self._lock:
                os.close(self._fd)
                self._fd = -1

    @contextlib.contextmanager
    def _minding_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        here = os.getpid()

        def mind(signum: int, frame: object) -> None:
            if os.getpid() == here:
                self.means[signum]()
            else:  # somebody's fork, which has inherited this function
                signal.signal(signum, signal.SIG_DFL)
                signal.raise_signal(signum)

        before = {signum: signal.signal(signum, mind) for signum in self.means}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
