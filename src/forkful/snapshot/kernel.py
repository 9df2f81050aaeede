"""What `/proc` tells of a process: its threads, how it takes signals, where in the kernel it sleeps.

What has ended in the meantime, or is not to be read, has told nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from forkful import deadlock


class Thread(NamedTuple):
    """A thread: the kernel's letter for its state, and the processor time that it has used."""

    state: str
    ticks: int


def letter(pid: int) -> str:
    """Return the kernel's letter for the state of a process; X: there is none."""
    with suppress(OSError):
        return stat(f"/proc/{pid}/stat").state
    return "X"


def stat(path: str) -> Thread:
    """Read the `stat` file of a process or a thread."""
    with open(path, encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return Thread(fields[0], int(fields[11]) + int(fields[12]))


def threads(pid: int) -> dict[int, Thread]:
    """Return the threads of a process by their ids; none if it has ended."""
    found: dict[int, Thread] = {}
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                found[int(name)] = stat(f"/proc/{pid}/task/{name}/stat")
    return found


def handles_signals(pid: int) -> bool:
    """Return whether signals run code of the process, Ctrl-C and faulthandler's aside."""
    return bool(_caught(pid) & ~deadlock.HARMLESS)


def catches(pid: int, signal: int) -> bool:
    """Return whether a process has a handler of that signal."""
    return bool(_caught(pid) >> (signal - 1) & 1)


def _caught(pid: int) -> int:
    with suppress(OSError):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
            for line in f:
                if line.startswith("SigCgt:"):
                    return int(line.split()[1], 16)
    return 0


def sleeps_in(pid: int, tid: int) -> str:
    """Return the function of the kernel that a thread sleeps in; empty if it does not, or is not told."""
    with suppress(OSError):
        with open(f"/proc/{pid}/task/{tid}/wchan", encoding="ascii", errors="replace") as f:
            where = f.read()
        return "" if where == "0" else where
    return ""
