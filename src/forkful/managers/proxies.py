"""Proxies of what lies in a manager's server, with what newer Pythons added to them."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import managers as _stdlib
from typing import Any

_NOT_ASKED_OF_THE_SET = {*dir(object), "__class_getitem__"} - {
    "__ge__",
    "__gt__",
    "__le__",
    "__lt__",
}
_SetProxy: Any = _stdlib.MakeProxyType(
    "_SetProxy", [name for name in dir(set) if name not in _NOT_ASKED_OF_THE_SET]
)
_SetProxy._method_to_typeid_ = {"__iter__": "Iterator"}


def _ask(name: str) -> Callable[..., Any]:
    def ask(self: Any, *args: Any) -> Any:
        """Ask the same of the object in the server."""
        return self._callmethod(name, args)

    return ask


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        self._callmethod(name, (other,))
        return self

    return operate


class ListProxy(_stdlib.ListProxy):  # type: ignore[type-arg]
    """A list in a manager's server; with what Python 3.14 added."""

    _exposed_ = (*_stdlib.ListProxy._exposed_, "clear", "copy")

    clear = _ask("clear")
    copy = _ask("copy")


class DictProxy(_stdlib.DictProxy):  # type: ignore[type-arg]
    """A dict in a manager's server; with what Python 3.14 added."""

    _exposed_ = (*_stdlib.DictProxy._exposed_, "__or__", "__ror__", "__ior__")
    _method_to_typeid_ = _stdlib.DictProxy._method_to_typeid_

    __or__ = _ask("__or__")
    __ror__ = _ask("__ror__")
    __ior__ = _in_place("__ior__")


class SetProxy(_SetProxy):  # type: ignore[misc]
    """A set in a manager's server, with the methods and operators of a set."""

    __iand__ = _in_place("__iand__")
    __ior__ = _in_place("__ior__")
    __isub__ = _in_place("__isub__")
    __ixor__ = _in_place("__ixor__")


def _leave_connections() -> None:
    """In a forked child, also one by plain `os.fork()`: a connection to a server is the parent's.

    Whoever asks through it as well gets the other's answer.
    """
    proxy: Any = _stdlib.BaseProxy
    proxy._mutex._at_fork_reinit()  # which a thread of the parent may have held
    for connections, _ in proxy._address_to_local.values():
        connections.__dict__.clear()


os.register_at_fork(after_in_child=_leave_connections)
