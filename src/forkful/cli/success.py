"""The line of an item whose function returned. Workers make it, or the parent where only it knows all
that the line says.
"""

from __future__ import annotations


def line(seq: int, said: bytes, result: bytes, seconds: float, attempts: int, pid: int) -> bytes:
    """Return the line.

    Args:
        seq: The item's number in the input.
        said: The item, as JSON.
        result: What the function returned, as JSON.
        seconds: How long the last try took.
        attempts: How often it was tried.
        pid: The worker of the last try.
    """
    return (
        b'{"seq": %d, "input": %b, "ok": true, "result": %b, '
        b'"seconds": %.6f, "attempts": %d, "pid": %d}\n'
    ) % (seq, said, result, seconds, attempts, pid)
