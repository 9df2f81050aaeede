"""Say what a tree of processes is stuck in, then end it.

Every process that was forked from the test run catches ``STACKS_SIGNAL`` and answers it by writing
the stacks of all its threads to one shared file, from C, whatever its Python code is doing.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import tempfile
import time
from pathlib import Path

from tests.kit import procs

STACKS_SIGNAL = signal.SIGRTMAX
_RUNNER = re.compile(r'File ".*/(_pytest|pluggy|pytest)/|File "<frozen runpy>')  # tells nothing
_ANSWER_S = 0.5  # a process that is stopped, or waits in the kernel for good, does not answer


def open_stacks() -> int:
    """Make this process, and those forked from it, answer ``STACKS_SIGNAL``. Returns the file."""
    with tempfile.TemporaryFile() as file:
        fd = os.dup(file.fileno())
    faulthandler.register(STACKS_SIGNAL, file=fd, all_threads=True)
    return fd


def stacks_of(proc: procs.Proc, fd: int) -> str:
    """The Python stacks of one process; says so if it does not tell them."""
    if not _catches(proc.pid, STACKS_SIGNAL):
        return "  it tells no stacks: not forked from the test run, or dead\n"
    start = size = os.fstat(fd).st_size
    procs.kill([proc], STACKS_SIGNAL)
    until = time.monotonic() + _ANSWER_S
    while time.monotonic() < until:
        time.sleep(0.02)  # sleep: it is written in pieces, so its end is where it pauses
        now = os.fstat(fd).st_size
        if now == size > start:
            break
        size = now
    text = os.pread(fd, size - start, start).decode(errors="replace") or "  it does not answer\n"
    return "".join(line for line in text.splitlines(keepends=True) if not _RUNNER.search(line))


def report(root: int, fd: int) -> str:
    """All there is to know from outside about ``root`` and its descendants."""
    top = procs.look(root)
    tree = ([top] if top else []) + procs.descendants(root)
    parts = ["== processes and their threads", procs.describe(root)]
    for proc in tree:
        parts += [f"== stacks of {proc}", stacks_of(proc, fd).rstrip()]
    return "\n".join(parts)


def end(victims: list[procs.Proc]) -> None:
    """Kill processes and see them dead. Those that told no stacks get SIGABRT first.

    A faulthandler of their own makes that the stack on their standard error.
    """
    procs.kill([proc for proc in victims if not _catches(proc.pid, STACKS_SIGNAL)], signal.SIGABRT)
    _wait_dead(victims, 0.5)
    procs.kill(victims)
    _wait_dead(victims, 5)


def _wait_dead(victims: list[procs.Proc], patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while any(map(procs.lives, victims)) and time.monotonic() < until:
        time.sleep(0.005)  # sleep: not all are children of this process, to be waited for


def _catches(pid: int, signum: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return False
    mask = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(mask, 16) >> (signum - 1) & 1)
