"""What `statistics()` of a queue returns. What it returns of locks and the like: `synchronize.figures`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["QueueStatistics"]


class QueueStatistics(NamedTuple):
    """A queue at one moment.

    Attributes:
        items: How many are inside.
        maxsize: How many there is room for; 0: any number.
        put: How many were ever put.
        taken: How many have left it: by `get`, or dropped by `shutdown(immediate=True)`.
        unfinished: Of a `JoinableQueue`: how many `join` waits for.
        lost: Of these, how many nobody will ever finish; the next `join` reports them.
        getting: How many threads wait in `get`, in all processes.
        putting: The same for `put`,
        joining: and for `join`.
        shut_down: None; "shutdown"; "immediate".
    """

    items: int
    maxsize: int
    put: int
    taken: int
    unfinished: int
    lost: int
    getting: int
    putting: int
    joining: int
    shut_down: str | None
