"""Child processes of the contract tests: started, awaited by state, never left behind."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from forkful import _native
from tests.kit import procs

LONG = 50  # seconds: nothing that works takes so long


class Page:
    """Offers bytes out of band, and keeps a view of them, which is one of the message's memory where it is received."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Page, (pickle.PickleBuffer(self.body),)


@contextmanager
def running(ctx: Any, target: Callable[..., object], *args: object) -> Iterator[Any]:
    """A started child; at the end it is joined, or killed if the test has failed."""
    with several(ctx, (target, *args)) as (child,):
        yield child


@contextmanager
def several(ctx: Any, *calls: tuple[Any, ...]) -> Iterator[list[Any]]:
    """A started child for each (target, *args)."""
    children = []
    try:
        for target, *args in calls:
            child = ctx.Process(target=target, args=tuple(args))
            child.start()
            children.append(child)
        yield children
        for child in children:
            child.join(LONG)
            assert child.exitcode is not None, f"{child} has not ended"
    finally:
        for child in children:
            if child.exitcode is None:
                child.kill()
                child.join()
            child.close()


@contextmanager
def two_workers(ctx: Any) -> Iterator[Any]:
    """A pool, which has ended when the test has."""
    with ctx.Pool(2) as pool:
        yield pool
        pool.terminate()
        pool.join()


def until(happens: Callable[[], object]) -> None:
    """Wait for a state that nothing announces."""
    deadline = time.monotonic() + LONG
    while not happens():
        assert time.monotonic() < deadline, f"{happens} has not happened"
        time.sleep(0.002)  # sleep: the state of another process is asked for, it does not report


def is_gone(pid: int) -> bool:
    """Whether a process has ended, perhaps unnoticed by its parent."""
    found = procs.look(pid)
    return found is None or found.state in "ZX"


def blocked(pid: int) -> list[str]:
    """Which operations the threads of a process are blocked in, as the board tells."""
    return [row[4] for row in _native.board_snapshot() if row[1] == pid]


def until_blocked(pid: int, threads: int = 1) -> None:
    """Wait until so many threads of a process are blocked on forkful objects."""
    until(lambda: len(blocked(pid)) >= threads)


def unread(conn: Any) -> int:
    """Bytes that wait to be read."""
    (n,) = struct.unpack("i", fcntl.ioctl(conn.fileno(), termios.FIONREAD, bytes(4)))
    return int(n)


class Hang:
    """A callback of a pool that hangs, from when it is `entered` until `release` is set."""

    def __init__(self) -> None:
        self.entered, self.release = threading.Event(), threading.Event()

    def __call__(self, value: object) -> None:
        self.entered.set()
        self.release.wait()


def kill(child: Any) -> None:
    """Kill -9, and wait until the process is no more."""
    os.kill(child.pid, signal.SIGKILL)
    child.join(LONG)
    assert child.exitcode == -signal.SIGKILL


def used() -> int:
    """Bytes of the family's memory in use, with garbage and the dead's holdings given back."""
    gc.collect()
    for _ in range(2):
        _native.reap_all()
        time.sleep(0.06)  # sleep: the reaper looks only so often
    _native.reap_all()
    return _native.statistics()["used"]
