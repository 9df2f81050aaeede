"""Finds waits that nobody is left to end: of a whole family, and of a circle of locks in it.

Why that raises no false alarm: docs/design/deadlock.md.
"""

from __future__ import annotations

from forkful.deadlock.circle import examine as examine_circle
from forkful.deadlock.evidence import ADVICE, HARMLESS, Waiter, pools_own
from forkful.deadlock.standstill import examine

__all__ = [
    "ADVICE",
    "HARMLESS",
    "Waiter",
    "examine",
    "examine_circle",
    "pools_own",
]
