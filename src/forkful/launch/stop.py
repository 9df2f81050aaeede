"""How processes are brought to their end: asked, waited for, and killed if they are still there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["stop"]


def stop(
    processes: Iterable[Any],
    ask: Callable[[Any], object],
    kill: Callable[[Any], object],
    deadline: float,
) -> None:
    """Let processes end: `ask` each; `kill` whoever is still there at the deadline. Returns when all have ended.

    What a program gives as processes of its own kind may lack `sentinel`: the stdlib's pool does not
    ask for it.
    """
    everyone = list(processes)
    left = [p for p in everyone if p.exitcode is None]
    for p in left:
        ask(p)
    for p in _left_at(deadline, left):
        kill(p)
    for p in everyone:
        p.join()


def _left_at(deadline: float, left: list[Any]) -> list[Any]:
    """Wait until all have ended, or until then; return who has not."""
    from multiprocessing import connection  # here: it brings much that a start of a child needs not

    signs = {p.sentinel: p for p in left if hasattr(p, "sentinel")}
    with ExitStack() as pidfds:
        while left and (seconds := deadline - time.monotonic()) > 0:
            for sign in connection.wait(list(signs), seconds):
                p = signs.pop(sign)  # once: it may go on all the same, having closed its sentinel
                if p.exitcode is None and sign == p.sentinel:
                    try:
                        pidfd = os.pidfd_open(p.pid)
                    except OSError:
                        continue  # it has ended, or no descriptor is left
                    pidfds.callback(os.close, pidfd)
                    signs[pidfd] = p
            left = [p for p in left if p.exitcode is None]
            signs = {sign: p for sign, p in signs.items() if p.exitcode is None}
    return left
