"""What holds where nothing else is said; children take it over. `context` reads and sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["defaults"]


class _Defaults:
    """One object for the process; its members change."""

    start_method: str | None = None

    context: Any
    """The default context, for nouns that may be made without one; `context` puts it here."""

    arrivals: list[Callable[[], None]]
    """What each child calls before it imports the main module; functions that pickle by name."""

    def __init__(self) -> None:
        self.arrivals = []


defaults = _Defaults()
