"""A timer of the kernel's that kills its own process, between any two instructions, and storms of such deaths."""

from __future__ import annotations

import ctypes
import itertools
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.contract.children import LONG, several

_librt = ctypes.CDLL("librt.so.1", use_errno=True)


class _Event(ctypes.Structure):
    """`struct sigevent` of Linux."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),  # SIGEV_SIGNAL is 0
        ("rest", ctypes.c_char * 48),
    ]


class _Spec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = [(name, ctypes.c_long) for name in ("again_s", "again_ns", "first_s", "first_ns")]


def kill_after(seconds: float) -> None:
    """Have the kernel send this process SIGKILL so much later (real time)."""
    timer = ctypes.c_void_p()
    event = _Event(signo=signal.SIGKILL)
    _check(_librt.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)))
    spec = _Spec(first_s=int(seconds), first_ns=max(1, int(seconds % 1 * 1e9)))
    _check(_librt.timer_settime(timer, 0, ctypes.byref(spec), None))


def die_in_batches(
    ctx: Any, at_once: int, target: Callable[..., object], calls: Iterable[tuple[object, ...]]
) -> None:
    """Have a process for each call of the target, so many at once; each must be ended by its timer.

    A batch's calls are asked for when those of the batch before have died.
    """
    left = iter(calls)
    while batch := list(itertools.islice(left, at_once)):
        with several(ctx, *[(target, *args) for args in batch]) as doomed:
            for child in doomed:
                child.join(LONG)
                assert child.exitcode == -signal.SIGKILL


def _check(status: int) -> None:
    if status:
        errno = ctypes.get_errno()
        raise OSError(errno, "the timer that kills cannot be set")
