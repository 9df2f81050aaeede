"""What happens when the program imports a module for the first time.

A submodule of `multiprocessing` that forkful replaces is loaded as ever, and then a stand-in takes its
place. A module that extends private parts of the standard library's is loaded so that it finds these,
and not forkful's.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from forkful.run.standin import PACKAGE, REPLACED, StandIn, stand_in_for

__all__ = ["EXTENDERS", "Finder", "extends"]

EXTENDERS = (
    "concurrent.futures.process",  # a queue whose feeder thread tells of what cannot be pickled
    "joblib.pool",  # a pool with queues of its own
    "joblib.externals.loky",  # queues and locks of its own, derived from private parts
    "loky",
    "torch.multiprocessing.pool",
    "torch.multiprocessing.queue",
)
"""Modules and packages that derive their own classes from private parts of `multiprocessing`.

They see the standard library's submodules. What they make through a context is forkful's."""


def extends(name: str) -> bool:
    """Return whether the module `name` is one of the extenders, or in one."""
    return name.startswith(EXTENDERS) and any(
        name == known or name.startswith(known + ".") for known in EXTENDERS
    )


class _Originals:
    """`multiprocessing` to an extender: the package's names, and its submodules themselves."""

    def __init__(self, package: ModuleType) -> None:
        self._package = package

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._package, name)
        return value._original if isinstance(value, StandIn) else value


def _import_originals(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    """An extender's `__import__`."""
    module = builtins.__import__(name, globals, locals, fromlist or (), level)
    if isinstance(module, StandIn):
        return module._original
    return _Originals(module) if fromlist and module.__name__ == PACKAGE else module


class _Loader(Loader):
    """The module's own loader, with something before or after."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader  # for who asks for its source
        if module.__name__ in REPLACED:
            self._loader.exec_module(module)
            stand_in_for(module)
        else:
            names = {**vars(builtins), "__import__": _import_originals}
            module.__dict__["__builtins__"] = names
            self._loader.exec_module(module)


class Finder(MetaPathFinder):
    """Finds what `PathFinder` finds, for those modules that are loaded otherwise."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load `fullname`; None: as without this finder."""
        if fullname not in REPLACED and not extends(fullname):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec
