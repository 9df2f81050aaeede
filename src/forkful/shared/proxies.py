"""Proxies of a manager's objects as values of shared containers.

A pickled proxy does not keep its object alive: its server drops what no live proxy refers to. So the
reference that unpickling makes is left to the server for good, as the standard library's server does with
proxies inside of its own lists and dicts: the object lives until its manager ends.
"""

from __future__ import annotations

import io
import pickle
from multiprocessing import managers
from typing import Any

_REBUILD: Any = managers.RebuildProxy  # type: ignore[attr-defined]


class _Keeper(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return _rebuild if found is _REBUILD else found


def _rebuild(*args: Any) -> Any:
    proxy: Any = _REBUILD(*args)
    if isinstance(proxy, managers.BaseProxy):
        close = getattr(proxy, "_close", None)
        if close is not None:
            close.cancel()
    return proxy


def keep(data: bytes, buffers: list[pickle.PickleBuffer] | None) -> None:
    """Let the servers of all proxies in a pickle keep what they refer to."""
    _Keeper(io.BytesIO(data), buffers=buffers).load()
