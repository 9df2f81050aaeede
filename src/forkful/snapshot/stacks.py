"""The Python stacks of a process, as it tells them itself (`forkful.stacks`)."""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from typing import NamedTuple

from forkful import _native
from forkful.snapshot import kernel
from forkful.stacks import NAME, SIGNAL

__all__ = ["Frame", "Stack", "ask"]

_LINK = f"/memfd:{NAME} (deleted)"
_PATIENCE = 1.0  # seconds
_PAUSE = 0.02  # it is written in pieces: the answer has ended when nothing more comes for so long
_ENDED_BY_SIGNALS = ("pause", "sigsuspend")  # parts of names of functions of the kernel
_FRAME = re.compile(
    r'^  File (?:"(?P<file>.*)"|\?\?\?), line (?P<line>\d+|\?\?\?) in (?P<function>.*)$'
)


class Frame(NamedTuple):
    """A place in the program. `line` is 0 where it is not known."""

    file: str
    line: int
    function: str


class Stack(NamedTuple):
    """A thread's frames, the innermost first. `asked`: it is the thread that has told."""

    asked: bool
    frames: tuple[Frame, ...]


def ask(pid: int, waiting: list[int]) -> tuple[tuple[Stack, ...], str]:
    """Let a process tell its stacks.

    A thread of it runs `faulthandler`'s signal handler for a moment: if one runs, that one; else one that waits for
    a forkful object, which such a signal does not end; else any whose sleep it does not end.

    Args:
        pid: The process.
        waiting: Its threads that wait for forkful objects.

    Returns:
        The stacks, and if there are none, why.
    """
    threads = kernel.threads(pid)
    if not threads:
        return (), "it has ended, or may not be looked at"
    if any(t.state in "Tt" for t in threads.values()):
        return (), "it is stopped, and cannot tell them"
    thread = _thread(pid, threads, waiting)
    if thread is None:
        return (), "it waits for a signal, which the question would end"
    path = _answers_at(pid)
    if path is None or not kernel.catches(pid, SIGNAL):
        return (
            (),
            f"it does not tell them: it has a use of its own for {SIGNAL.name}, or has closed its files",
        )
    with suppress(OSError):
        with open(path, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # who else asks comes after us
            os.ftruncate(file.fileno(), 0)
            _native.signal_thread(pid, thread, SIGNAL)
            text = _answer(file.fileno())
            os.ftruncate(file.fileno(), 0)
        return (_parsed(text), "") if text else ((), "it does not answer")
    return (), "it has ended, or may not be asked"


def _thread(pid: int, threads: dict[int, kernel.Thread], waiting: list[int]) -> int | None:
    running = [tid for tid, thread in threads.items() if thread.state == "R"]
    listed = [tid for tid in waiting if tid in threads]
    asleep = [tid for tid in threads if _may_be_woken(kernel.sleeps_in(pid, tid))]
    return next(iter([*running, *listed, *asleep]), None)


def _may_be_woken(where: str) -> bool:
    return bool(where) and not any(part in where for part in _ENDED_BY_SIGNALS)


def _answers_at(pid: int) -> str | None:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}") == _LINK:
                    return f"{folder}/{name}"
    return None


def _answer(fd: int) -> str:
    until = time.monotonic() + _PATIENCE
    size = 0
    while time.monotonic() < until:
        time.sleep(_PAUSE)
        now = os.fstat(fd).st_size
        if now and now == size:
            break
        size = now
    return os.pread(fd, size, 0).decode(errors="replace")


def _parsed(text: str) -> tuple[Stack, ...]:
    stacks: list[Stack] = []
    for line in text.splitlines():
        if match := _FRAME.match(line):
            number = match["line"]
            frame = Frame(
                match["file"] or "?", int(number) if number.isdigit() else 0, match["function"]
            )
            if stacks:
                stacks[-1] = stacks[-1]._replace(frames=(*stacks[-1].frames, frame))
        elif "hread" in line and line.endswith("(most recent call first):"):
            stacks.append(Stack(line.startswith("Current"), ()))
    stacks.sort(key=lambda stack: not stack.asked)
    return tuple(stack for stack in stacks if stack.frames)
