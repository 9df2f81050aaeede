"""The module that a program gets where it imports a submodule of `multiprocessing`.

The standard library's own module stays as it is: its functions and classes go on to find one another
by their names, so that whoever extends them (see `finder.EXTENDERS`) and forkful itself find them
whole. In `sys.modules` stands a stand-in, which has forkful's names first and then the module's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

__all__ = ["PACKAGE", "REPLACED", "StandIn", "stand_in_for"]

PACKAGE = "multiprocessing"

REPLACED = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "connection",
        "managers",
        "pool",
        "queues",
        "sharedctypes",
        "synchronize",
    )
)
"""The submodules of which forkful has a module of the same name. The others are the standard
library's in forkful, too."""


class StandIn(ModuleType):
    """`original` with the names of forkful's module in front.

    That module is imported when first a name is asked for. While it is itself being imported it
    gets the original's names: it is built on them.

    Names that are set or deleted from outside (as `unittest.mock.patch` does) are set in the
    original, where its functions look for them, unless they are forkful's.
    """

    _original: ModuleType
    _ours: str

    def __init__(self, original: ModuleType, ours: str) -> None:
        super().__init__(original.__name__, original.__doc__)
        own = self.__dict__
        for name in ("__file__", "__cached__", "__loader__", "__package__", "__path__", "__spec__"):
            if name in original.__dict__:
                own[name] = original.__dict__[name]
        own["_original"] = original
        own["_ours"] = ours

    def _offered(self) -> Iterable[str]:
        """The names that are forkful's here."""
        ours = import_module(self._ours)
        if getattr(ours.__spec__, "_initializing", False):
            return ()
        offered: list[str] = ours.__all__
        return offered

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._original, name)
        if name.startswith("__") or name not in self._offered():
            return value
        self.__dict__[name] = value = getattr(import_module(self._ours), name)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        own = name.startswith("__") or name in self._offered()
        setattr(self._original, name, value) if not own else super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._original, name) if name not in self.__dict__ else super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted(self._original.__dict__)


def stand_in_for(original: ModuleType) -> StandIn:
    """Put a stand-in where the program finds `original`, and return it."""
    name = original.__name__
    child = name.rpartition(".")[2]
    stand_in = StandIn(original, f"forkful.{child}")
    sys.modules[name] = stand_in
    setattr(sys.modules[PACKAGE], child, stand_in)
    return stand_in
