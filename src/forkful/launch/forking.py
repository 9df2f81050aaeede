"""`os.fork`, with less for a child to do where its parent has one thread.

In each child `threading` makes the locks of all thread objects work anew: of those that it knows as running, and of
those that somebody still holds. The latter are in a set of weak references, and to go through that a child runs some
ten functions for the first time, and so copies some twenty pages. Where the set has the forking thread alone, an
empty one does.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["fork"]

_of_threading: dict[str, Any] = vars(threading)

# In its place. What a hook of a fork starts meanwhile comes in here.
_others: set[threading.Thread] = set()


def fork() -> int:
    """Do what `os.fork` does."""
    threads = _of_threading.get("_dangling")
    if type(threads) is not WeakSet or len(threads.data) != 1:
        return os.fork()
    _of_threading["_dangling"] = _others
    try:
        return os.fork()
    finally:
        _of_threading["_dangling"] = threads
        if _others:
            threads.update(_others)
            _others.clear()
