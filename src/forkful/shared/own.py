"""When `apply` would begin anew for ever: its function itself sets what it is to compute."""

from __future__ import annotations

from typing import Any

__all__ = ["count_own"]

_MOST = 100


def count_own(before: int, done: bool | None, func: Any) -> int:
    """Return how often in a row the thread itself was what came in between.

    Args:
        before: The same, so far.
        done: What `_swap` returned: False if another thread or process came in between, None if this one.
        func: What was given to `apply`.

    Raises:
        RuntimeError: That was too often.
    """
    own = before + 1 if done is None else 0
    if own == _MOST:
        raise RuntimeError(
            f"{func!r}, given to apply, sets what it is to compute each time that it is called: "
            "let it return the new value, and set nothing itself"
        )
    return own
