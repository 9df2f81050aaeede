"""Imports that another thread of the parent was in the midst of when this process was forked.

That thread is not here, and would hold its modules' locks for ever: whoever imports one of them waits. So
the locks are forgotten, and with them the modules that are half made: who asks for one imports it anew.

Once: a module may start a thread that forks, in its body, and what is forked may want the module. That runs the body
again, and there again a process is forked. Its module is left half made, as in a circle of imports.
"""

from __future__ import annotations

import _thread
import sys
from importlib import _bootstrap as _importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["forget_others", "locks"]

locks: dict[str, Any] = _importlib._module_locks
"""By module, weak references of the locks of imports that are under way; empty nearly always."""


_made_anew: set[str] = set()
"""What this process or one before it has forgotten."""


def forget_others() -> None:
    """In a forked child: forget what other threads were importing. The forking thread goes on."""
    me = _thread.get_ident()  # as importlib asks: gevent may have put its own there
    for name, ref in list(locks.items()):
        lock = ref()
        if lock is not None and lock.owner == me:
            continue
        locks.pop(name, None)
        spec: Any = getattr(sys.modules.get(name), "__spec__", None)
        if getattr(spec, "_initializing", False):
            if name in _made_anew:
                spec._initializing = False  # who asks for it need not wait
            else:
                _made_anew.add(name)
                del sys.modules[name]
