"""Holds outcomes back until their turn, where lines come in the order of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Ordering:
    """Calls what handles an outcome at once, or when everything before it has been handled.

    Args:
        ordered: Whether it has to wait for its turn.

    Attributes:
        next: The place of the outcome whose turn it is; 0 for ever if they are not ordered.
    """

    def __init__(self, ordered: bool) -> None:
        self.next = 0
        self._ordered = ordered
        self._early: dict[int, tuple[int, Callable[..., None], tuple[Any, ...]]] = {}

    def take(self, first: int, count: int, handle: Callable[..., None], *args: Any) -> None:
        """Handle the outcomes of some items, and what has waited for them.

        Args:
            first: The place of the first of them.
            count: How many they are.
            handle: Called with `args`.
            args: What is known of them.
        """
        if not self._ordered:
            handle(*args)
            return
        self._early[first] = count, handle, args
        while (due := self._early.pop(self.next, None)) is not None:
            count, handle, args = due
            self.next += count
            handle(*args)

    def skip(self) -> None:
        """Handle what still waits, in order, as what it waits for will not be run."""
        for _, (_, handle, args) in sorted(self._early.items()):
            handle(*args)
        self._early.clear()
