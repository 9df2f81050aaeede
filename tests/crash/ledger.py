"""What each life has done, in a mapped file: it is there whenever and however the life ends.

No part of it is forkful's, so a fault of forkful's memory cannot hide itself here. Each number has one
writer; whoever reads it does so after that writer's death.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PUTS = 2048  # items that one life can put into one queue
WORDS = 16  # eight bytes each, two for each kind of deed: how many begun, how many done


class Ledger:
    """Pages for so many lives.

    Args:
        path: The file; made by the first who names it.
        lives: How many there will be.
        queues: Into how many queues they put.
    """

    def __init__(self, path: Path, lives: int, queues: int) -> None:
        self._args = path, lives, queues
        self.lives, self.queues = lives, queues
        words = (1 + lives * WORDS) * 8
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.truncate(self._file, words + lives * queues * PUTS)
        self._map = mmap.mmap(self._file, 0)
        self._view = memoryview(self._map)
        self._words = self._view[:words].cast("q")
        self._taken = self._view[words:]

    def __reduce__(self) -> Any:
        return Ledger, self._args

    def close(self) -> None:
        """Let go of the file."""
        for view in (self._words, self._taken, self._view):
            view.release()
        self._map.close()
        os.close(self._file)

    @property
    def stop(self) -> bool:
        """Whether the survivors shall come to their end."""
        return bool(self._words[0])

    @stop.setter
    def stop(self, value: bool) -> None:
        self._words[0] = value

    def begin(self, life: int, kind: int) -> int:
        """Note that this life begins a deed; return its number among those of this kind."""
        at = 1 + life * WORDS + 2 * kind
        number = self._words[at]
        self._words[at] = number + 1
        return number

    def end(self, life: int, kind: int) -> None:
        """Note that the deed is done."""
        self._words[1 + life * WORDS + 2 * kind + 1] += 1

    def begun(self, life: int, kind: int) -> int:
        return self._words[1 + life * WORDS + 2 * kind]

    def done(self, life: int, kind: int) -> int:
        return self._words[1 + life * WORDS + 2 * kind + 1]

    def sums(self, kind: int) -> tuple[int, int]:
        """How many deeds of a kind all lives have done, and have begun."""
        lives = range(self.lives)
        return sum(self.done(x, kind) for x in lives), sum(self.begun(x, kind) for x in lives)

    def take(self, queue: int, life: int, number: int) -> None:
        """Note that somebody holds this item now."""
        self._taken[self._item(queue, life, number)] += 1

    def taken(self, queue: int, life: int) -> Iterator[int]:
        """How often each item that a life may have put was taken."""
        at = self._item(queue, life, 0)
        return iter(self._taken[at : at + PUTS])

    def _item(self, queue: int, life: int, number: int) -> int:
        return (queue * self.lives + life) * PUTS + number
