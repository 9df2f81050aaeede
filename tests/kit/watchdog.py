"""The process that ends a test run which has lost itself: ``python -m tests.kit.watchdog ...``.

It is a process, and no thread, so that the test run stays single-threaded and can be ended in any
state. It is no child of the test run either, so that tests see only children of their own. It reads
``arm DEADLINE GRACE NAME`` and ``disarm`` lines from standard input (seconds, monotonic clock). At
the deadline it signals the run, which then fails the test by itself; if the phase is not over when
the grace is, it prints what there is to see and kills the run with all that descends from it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

from tests.kit import autopsy, procs

EXPIRED_SIGNAL = signal.SIGRTMAX - 1


def start(stacks: int, stderr: int) -> BinaryIO:
    """Start a watchdog of this process. Returns the pipe that takes its commands."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.kit.watchdog", str(os.getpid()), str(stacks)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stderr=stderr,
        pass_fds=[stacks],
        bufsize=0,
    ) as proc:
        assert proc.stdin
        pipe = os.fdopen(os.dup(proc.stdin.fileno()), "wb", buffering=0)
    assert proc.returncode == 0  # it has left the watchdog behind, as nobody's child
    return pipe


def _main(run: int, stacks: int) -> None:
    if os.fork():
        os._exit(0)
    os.setsid()  # Ctrl-C is for the run
    run_ends = os.pidfd_open(run)
    armed: tuple[float, float, str] | None = None
    signalled = False
    pending = b""
    while True:
        timeout = None
        if armed:
            deadline, grace, name = armed
            timeout = max(0.0, deadline + (grace if signalled else 0) - time.monotonic())
        ready, _, _ = select.select([0, run_ends], [], [], timeout)
        if run_ends in ready:
            return
        if ready:
            *lines, pending = (pending + os.read(0, 65536)).split(b"\n")
            if lines:
                armed, signalled = _parse(lines[-1].decode()), False
        elif armed and not signalled:
            signalled = True
            os.kill(run, EXPIRED_SIGNAL)
        elif armed:
            print(f"\n{name}: the test run did not come back to its senses.", file=sys.stderr)
            print(autopsy.report(run, stacks), file=sys.stderr, flush=True)
            top = procs.look(run)
            autopsy.end(procs.descendants(run))
            procs.kill([top] if top else [])
            return


def _parse(line: str) -> tuple[float, float, str] | None:
    if line == "disarm":
        return None
    _, deadline, grace, name = line.split(" ", 3)
    return float(deadline), float(grace), name


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
