"""Managers: `multiprocessing.managers`, whose server is a process of forkful's.

What differs: without a context a manager uses forkful's default one, its `Pool` is forkful's, and
its server ends with the process that started it, however that ends. The proxies and what a client
that is killed leaves behind in the server are the standard library's.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing import managers as _stdlib
from multiprocessing.managers import (
    BaseProxy,
    Namespace,
    RemoteError,
    Server,
    Token,
    ValueProxy,
)
from multiprocessing.process import parent_process
from typing import TYPE_CHECKING, Any

from forkful.launch import interrupts
from forkful.launch.defaults import defaults
from forkful.launch.parent import die_with_parent
from forkful.pool import Pool
from forkful.stdlib import names_of

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

__all__ = [
    "BaseManager",
    "BaseProxy",
    "DictProxy",
    "ListProxy",
    "Namespace",
    "RemoteError",
    "Server",
    "SetProxy",
    "SharedMemoryManager",
    "SyncManager",
    "Token",
    "ValueProxy",
]


def _end_with_parent() -> None:
    """In the server: when its parent has ended, end in an orderly way.

    Whoever is forked from the server does not take over how it deals with the signal.
    """
    parent = parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.release()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.register_at_fork(
        after_in_child=functools.partial(signal.signal, signal.SIGTERM, signal.SIG_DFL)
    )
    die_with_parent(parent.sentinel)


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


class BaseManager(_stdlib.BaseManager):
    """Objects in a server process, used by others through proxies.

    Args:
        address: Where the server listens; None: at a place of its own choice.
        authkey: What clients must know; None: the key of this process.
        serializer: How requests are sent: "pickle" or "xmlrpclib".
        ctx: Whose process the server is; None: the default context's.
        shutdown_timeout: Seconds that the server has for each step of its end.
    """

    def __init__(
        self,
        address: Any = None,
        authkey: bytes | None = None,
        serializer: str = "pickle",
        ctx: BaseContext | None = None,
        *,
        shutdown_timeout: float = 1.0,
    ) -> None:
        super().__init__(
            address,
            authkey,
            serializer,
            ctx or defaults.context.get_context(),
            shutdown_timeout=shutdown_timeout,
        )

    def start(
        self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        """Start the server.

        Args:
            initializer: What the server calls first.
            initargs: Its arguments.
        """
        with interrupts.interrupts_held():
            super().start(initializer, initargs)
        self._process.ends_last = True  # see launch.ending

    @classmethod
    def _run_server(cls, *args: Any) -> None:
        _end_with_parent()
        run: Callable[..., None] = super()._run_server  # type: ignore[misc]
        run(*args)


class SyncManager(BaseManager, _stdlib.SyncManager):
    """A manager of the usual types: `Manager()` gives one whose server is running."""


class SharedMemoryManager(BaseManager, _stdlib.SharedMemoryManager):
    """A manager of shared memory blocks, which are unlinked when it shuts down."""


SyncManager.register("Pool", Pool, _stdlib.PoolProxy)
SyncManager.register("list", list, ListProxy)
SyncManager.register("dict", dict, DictProxy)
SyncManager.register("set", set, SetProxy)

if not TYPE_CHECKING:
    __getattr__ = names_of("managers")
