"""A timer of the kernel's that kills its own process: between any two instructions, without help."""

from __future__ import annotations

import ctypes
import signal
import time

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


def _check(status: int) -> None:
    if status:
        errno = ctypes.get_errno()
        raise OSError(errno, "the timer that kills cannot be set")
