"""Ctrl-C at the birth of a process: it reaches the whole group, and is the parent's affair.

A child begins with the signals held back that the thread which starts it holds back: fork and exec
keep them so, and a fork server, which holds back SIGINT all its life, lets the child know. So whoever starts a
process that shall not hear of Ctrl-C starts it `with interrupts_held()`; the child says `release()` as soon as it
ignores it.
"""

from __future__ import annotations

import signal
from _signal import (  # type: ignore[import-not-found]
    SIG_UNBLOCK,
    SIGINT,
    pthread_sigmask,
)
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["are_held", "interrupts_held", "release"]


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C wait, for this thread and what it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def are_held() -> bool:
    """Return whether Ctrl-C waits for this thread."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def release() -> None:
    """Let what has waited come, and what comes from now on."""
    # Not `signal`, which converts to enumerations: a newborn would have to copy them.
    pthread_sigmask(SIG_UNBLOCK, (SIGINT,))
