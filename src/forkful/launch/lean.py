"""The stdlib's `forkserver` without what it brings and few use: for a fork server, whose pages its children share.

`multiprocessing.connection` imports `tempfile`, for the address of a listener that is given none. That brings
`random`, which seeds itself anew in each child that is forked, and a dozen more. Here it comes when it is used. Whoever
else imports `tempfile` gets the module itself. To be imported before there are other threads, which might import it
meanwhile, and before all else that needs `multiprocessing.connection`.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["forkserver"]

_LATER = "tempfile"


class _Later(ModuleType):
    """Among the names of a module, in the place of another one: imports it when it is used."""

    def __getattr__(self, name: str) -> object:
        import tempfile

        return getattr(tempfile, name)


_is_there = _LATER in sys.modules or "multiprocessing.connection" in sys.modules
if not _is_there:
    sys.modules[_LATER] = _Later(_LATER)
try:
    from multiprocessing import forkserver
finally:
    if not _is_there:
        del sys.modules[_LATER]
