"""How a pool ends processes: soon, whatever they do."""

from __future__ import annotations

import time
from multiprocessing import connection
from typing import Any

__all__ = ["end_processes"]

GRACE = 1.0  # seconds that workers have to end at SIGTERM, before SIGKILL


def end_processes(processes: list[Any]) -> None:
    """End processes: SIGTERM, and SIGKILL for whoever is still there after GRACE seconds.

    A stopped process does not react to SIGTERM, one in native code may not. Returns when all
    have ended. What a program gives as processes of its own kind may lack `sentinel` and `kill`:
    the stdlib's pool asks for neither.
    """
    left = [p for p in processes if p.exitcode is None]
    for p in left:
        p.terminate()
    deadline = time.monotonic() + GRACE
    while left and (time_left := deadline - time.monotonic()) > 0:
        if not connection.wait([p.sentinel for p in left if hasattr(p, "sentinel")], time_left):
            break
        left = [p for p in left if p.exitcode is None]
    for p in left:
        if hasattr(p, "kill"):
            p.kill()
    for p in processes:
        p.join()
