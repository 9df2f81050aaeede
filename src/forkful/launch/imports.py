"""Imports that another thread of the parent was in the midst of when this process was forked.

That thread is not here, and would hold its modules' locks for ever: whoever imports one of them waits. So
the locks are forgotten, and with them the modules that are half made: who asks for one imports it anew.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from importlib import _bootstrap as _importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["forget_others", "locks"]

locks: dict[str, Any] = _importlib._module_locks
"""By module, weak references of the locks of imports that are under way; empty nearly always."""


def forget_others() -> None:
    """In a forked child: forget what other threads were importing. The forking thread goes on."""
    me = get_ident()
    for name, ref in list(locks.items()):
        lock = ref()
        if lock is not None and lock.owner == me:
            continue
        locks.pop(name, None)
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            del sys.modules[name]
