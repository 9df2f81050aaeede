"""What children take over from their parent; `context` reads and sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["defaults"]


class _Defaults:
    """One object for the process; its members change."""

    start_method: str | None = None

    get_context: Callable[[], Any]
    """Gives the context of who was given none; `context` puts it here."""

    arrivals: list[Callable[[], None]]
    """What each child calls before it imports the main module; functions that pickle by name."""

    def __init__(self) -> None:
        self.arrivals = []


defaults = _Defaults()
