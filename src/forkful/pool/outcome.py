"""What a pool tells: how an input fared, and what its workers are doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Outcome", "PoolStatistics", "WorkerStatistics"]


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


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """One worker at one moment. `seconds`: how long it has been in that state.

    `task` is the number of the input (of `outcomes`) or task that it works at, or None.
    """

    pid: int | None
    name: str
    state: Literal["starting", "idle", "busy"]
    task: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment. `waiting`: tasks sent to the workers and not begun."""

    workers: tuple[WorkerStatistics, ...]
    waiting: int
    died: int
    retired: int
