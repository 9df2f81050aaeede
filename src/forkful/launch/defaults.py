"""What children take over from their parent; `context` reads and sets it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["defaults"]


class _Defaults:
    """One object for the process; its members change."""

    start_method: str | None = None

    arrivals: list[Callable[[], None]]
    """What each child calls before it imports the main module; functions that pickle by name."""

    def __init__(self) -> None:
        self.arrivals = []


defaults = _Defaults()
