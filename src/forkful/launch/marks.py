"""Descriptors that a process is to close, in one piece of memory.

As integers in a container they would be objects all over the heap: a child of a fork server that has thousands of
children would touch each of them to find what to close, and so copy their pages.
"""

from __future__ import annotations

import os

__all__ = ["Marks"]


class Marks:
    """A set of descriptors: a byte for each number up to the highest one.

    Args:
        fds: Those that are in it at first.
    """

    def __init__(self, *fds: int) -> None:
        self._marks = bytearray()
        for fd in fds:
            self.add(fd)

    def add(self, fd: int) -> None:
        """Put one in."""
        if fd >= len(self._marks):
            self._marks.extend(bytes(2 * fd + 1 - len(self._marks)))
        self._marks[fd] = 1

    def discard(self, fd: int) -> None:
        """Take one out that is in it."""
        self._marks[fd] = 0

    def close(self) -> None:
        """Close all, each run of adjacent ones by one call."""
        marks = self._marks
        first = marks.find(1)
        while first >= 0:
            end = marks.find(0, first)
            if end < 0:
                end = len(marks)
            os.closerange(first, end)
            first = marks.find(1, end)
