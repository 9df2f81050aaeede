"""What a pool tells of an input: how it fared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Outcome"]


@dataclass(slots=True)
class Outcome:
    """How one input of `Pool.outcomes` fared, after its last attempt.

    Attributes:
        seq: Its place among the inputs, from 0.
        input: The input itself.
        ok: Whether the function returned.
        value: What it returned; None if it failed.
        error: Why it failed: what it raised, with its traceback; or `WorkerDied`, `TaskTimeout`.
        seconds: How long the last attempt took, in the worker.
        attempts: How often it was tried, 1 or more.
        pid: The process of the last attempt; None if none got so far.
    """

    seq: int
    input: Any
    ok: bool
    value: Any
    error: BaseException | None
    seconds: float
    attempts: int
    pid: int | None
