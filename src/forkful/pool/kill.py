"""How a pool ends processes: soon, whatever they do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from forkful.launch import descent
from forkful.launch.stop import stop

__all__ = ["GRACE", "end_processes", "kill_tree"]

GRACE = 1.0  # seconds to end by itself: a worker at SIGTERM, before SIGKILL; the collector


def end_processes(processes: list[Any]) -> None:
    """End processes: SIGTERM, and SIGKILL for whoever is still there after GRACE seconds.

    A stopped process does not react to SIGTERM, one in native code may not. Returns when all
    have ended. What a program gives as processes of its own kind may lack `sentinel` and `kill`:
    the stdlib's pool asks for neither.
    """
    stop(processes, lambda p: p.terminate(), _kill, time.monotonic() + GRACE)


def _kill(process: Any) -> None:
    if hasattr(process, "kill"):
        process.kill()


def kill_tree(process: Any) -> None:
    """Kill a process and all that descend from it. Does not wait for their end.

    They are stopped before they are killed, so that none of them starts others meanwhile, or lets go
    the number of one that has ended.
    """
    if process.exitcode is not None or not hasattr(process, "kill"):
        return
    tree = [process.pid]
    try:
        found = 0
        while found < len(tree):  # until a look at them all finds no others
            found = len(tree)
            for pid in tree:  # which grows meanwhile
                _send(pid, signal.SIGSTOP)
                tree += [one for one in descent.children_of_stopped(pid) if one not in tree]
            tree += [child.pid for child in descent.forked_for(tree)]
    finally:
        process.kill()
        for pid in tree[1:]:
            _send(pid, signal.SIGKILL)


def _send(pid: int, signum: signal.Signals) -> None:
    try:
        os.kill(pid, signum)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or is another user's
