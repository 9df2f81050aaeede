"""What children take over from their parent; `context` reads and sets it."""

from __future__ import annotations

__all__ = ["defaults"]


class _Defaults:
    """One object for the process; its members change."""

    start_method: str | None = None


defaults = _Defaults()
