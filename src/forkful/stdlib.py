"""Names of the standard library's modules that forkful's own of the same name do not define.

Programs import more than what is documented: `Empty` from `multiprocessing.queues`, `SemLock`,
proxies. What nothing is gained by making anew is the standard library's own object, found when it
is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["names_of"]


def names_of(module: str, **later: str) -> Callable[[str], object]:
    """Return a `__getattr__` for `forkful.<module>` that looks in `multiprocessing.<module>`.

    Args:
        module: Its name.
        later: Names of its own that it imports when they are asked for, and where each is.
    """

    def __getattr__(name: str) -> object:
        if not name.startswith("__"):
            import importlib  # here: an import asks each module for __path__

            where = later.get(name, f"multiprocessing.{module}")
            try:
                return getattr(importlib.import_module(where), name)
            except AttributeError:
                pass
        raise AttributeError(f"module 'forkful.{module}' has no attribute {name!r}")

    return __getattr__
