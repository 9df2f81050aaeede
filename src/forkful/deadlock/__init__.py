"""Finds waits that nobody is left to end: of a whole family, and of a circle of locks in it.

Why that raises no false alarm: docs/design/deadlock.md.
"""

from __future__ import annotations

import os

from forkful.deadlock.circle import examine as examine_circle
from forkful.deadlock.evidence import ADVICE, HARMLESS, Waiter, pools_own, quiet
from forkful.deadlock.standstill import examine

__all__ = [
    "ADVICE",
    "ENABLED",
    "HARMLESS",
    "Waiter",
    "examine",
    "examine_circle",
    "pools_own",
    "quiet",
]

ENABLED = os.environ.get("FORKFUL_DEADLOCK", "on").lower() not in ("off", "0", "no", "false")
