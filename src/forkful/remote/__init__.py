"""Exceptions that cross processes whole.

``pack`` takes an exception apart into bytes, ``unpack`` puts it together in another process: its
type, arguments, attributes, notes, causes, group members and frames. Neither ever raises: what
cannot cross is replaced by its text, and a note says so. How, and what it looks like when printed,
is told in ``docs/design/exceptions.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forkful.remote.anatomy import type_name
from forkful.remote.packing import pack, process_label
from forkful.remote.unpacking import format_remote, unpack

if TYPE_CHECKING:
    from forkful.remote.origin import RemoteTraceback

__all__ = ["RemoteTraceback", "format_remote", "pack", "process_label", "type_name", "unpack"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load ``RemoteTraceback`` on first use: its base brings ``multiprocessing.pool``."""
        if name != "RemoteTraceback":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from forkful.remote.origin import RemoteTraceback

        return RemoteTraceback
