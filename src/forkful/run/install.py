"""Put forkful's names where a program looks for `multiprocessing`'s."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import context as stdlib_context
from typing import Any

from forkful import context, process
from forkful.launch.defaults import defaults
from forkful.run.finder import Finder
from forkful.run.standin import PACKAGE, REPLACED, StandIn, stand_in_for

__all__ = ["install"]


def install() -> None:
    """Let `multiprocessing` be forkful's, in this process and in all that it starts.

    What has been imported from it before stays what it was, so this comes first in a program.
    Children by fork have it from their parent; those by spawn and by the fork server call this
    before they import the main module. Calling it again changes nothing.
    """
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    for name in REPLACED & sys.modules.keys():
        module = sys.modules[name]
        if not isinstance(module, StandIn):
            stand_in_for(module)
    _replace_contexts()
    _replace_package_names()
    defaults.arrivals.append(install)
    defaults.unchanged = True


def _replace_contexts() -> None:
    """Contexts of other libraries derive from the stdlib's and look these names up there."""
    for module in (process, context):
        for name in module.__all__:
            if hasattr(stdlib_context, name):
                setattr(stdlib_context, name, getattr(module, name))
    private: Any = stdlib_context
    concrete: dict[str, Any] = private._concrete_contexts
    concrete.update((name, context.get_context(name)) for name in concrete)
    private._default_context = context.default


def _replace_package_names() -> None:
    """The package's names are its default context's methods, as they are in the stdlib.

    Some of its submodules have taken a few of them over when they were imported.
    """
    users = [
        m._original if isinstance(m, StandIn) else m
        for name, m in sys.modules.items()
        if name.startswith(f"{PACKAGE}.")
    ]
    for name in multiprocessing.__all__:
        old, new = getattr(multiprocessing, name), getattr(context.default, name)
        setattr(multiprocessing, name, new)
        for user in users:
            own = user.__dict__
            if name in own and own[name] == old:
                own[name] = new
