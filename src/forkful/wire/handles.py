"""How a handle learns in which way it is being pickled.

A handle of shared memory that is on its way must not be the last one, or its object is freed before
it arrives. So whoever sends something pickles it under a collector and keeps what was collected
until it has arrived. A handle that no collector waits for must find another way, or refuse.
"""

from __future__ import annotations

import threading
from types import TracebackType


class _Thread(threading.local):
    held: list[object] | None = None


_thread = _Thread()


class collecting:
    """Collect the handles that this thread pickles: ``with collecting() as held: dumps(obj)``.

    ``held`` lists each handle for which ``note_handle`` was called, so that they stay alive as long
    as the list does. A collector inside another one hides it until its end.
    """

    __slots__ = ("_outer",)

    def __enter__(self) -> list[object]:
        self._outer = _thread.held
        held: list[object] = []
        _thread.held = held
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _thread.held = self._outer


def note_handle(handle: object) -> bool:
    """Say that ``handle`` is being pickled. For its ``__reduce__``.

    Returns:
        Whether a collector is active in this thread, and so keeps the handle alive.
    """
    held = _thread.held
    if held is None:
        return False
    held.append(handle)
    return True


def collected() -> list[object] | None:
    """Return what the collector of this thread holds so far, or ``None`` if there is none."""
    return _thread.held
