"""The line of an item whose function returned. Workers make it, and the parent where only it knows all
that the line says.
"""

from __future__ import annotations


def middle(said: bytes, result: bytes) -> bytes:
    """Return the part of the line that only the worker can make: input and result, as JSON."""
    return b'"input": %b, "ok": true, "result": %b' % (said, result)


def line(seq: int, middle: bytes, seconds: float, attempts: int, pid: int) -> bytes:
    """Return the whole line.

    Args:
        seq: The item's number in the input.
        middle: What `middle` returned.
        seconds: How long the last try took.
        attempts: How often it was tried.
        pid: The worker of the last try.
    """
    return b'{"seq": %d, %b, "seconds": %.6f, "attempts": %d, "pid": %d}\n' % (
        seq,
        middle,
        seconds,
        attempts,
        pid,
    )
