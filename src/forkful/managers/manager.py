"""The managers, and the types that they offer."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing import managers as _stdlib
from multiprocessing.process import parent_process
from typing import TYPE_CHECKING, Any

from forkful import _native
from forkful.launch import interrupts
from forkful.launch.defaults import defaults
from forkful.launch.parent import die_with_parent
from forkful.managers.arrays import SharedArray
from forkful.managers.athand import SERVED, adopt
from forkful.managers.cells import SharedValue
from forkful.managers.containers import SharedDict, SharedList, SharedNamespace
from forkful.managers.proxies import DictProxy, ListProxy, SetProxy
from forkful.pool import Pool
from forkful.process import Process

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext


def _end_with_parent() -> None:
    """In the server: when its parent has ended, end in an orderly way.

    Whoever is forked from the server does not take over how it deals with the signal.
    """
    parent = parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.release()
    server = os.getpid()

    def on_sigterm(signum: int, frame: object) -> None:
        if os.getpid() != server:
            _native.die_by_sigterm()  # just forked: what follows in the fork's hooks is too late
        sys.exit(0)

    signal.signal(signal.SIGTERM, on_sigterm)
    os.register_at_fork(
        after_in_child=functools.partial(signal.signal, signal.SIGTERM, signal.SIG_DFL)
    )
    die_with_parent(parent.sentinel, parent.pid or 0)


class BaseManager(_stdlib.BaseManager):
    """Objects in a server process, used by others through proxies, as long as the server lives.

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
        self._process.ends_last = True  # see launch.sigterm
        self._server_word = _native.find(self._process.pid)

    @classmethod
    def _run_server(cls, *args: Any) -> None:
        _end_with_parent()
        run: Callable[..., None] = super()._run_server  # type: ignore[misc]
        run(*args)


class SyncManager(BaseManager, _stdlib.SyncManager):
    """A manager of the usual types: `Manager()` gives one whose server is running.

    Where the server is a process of this family, `dict`, `list`, `Namespace`, `Value` and `Array` lie in the
    family's shared memory (`forkful.shared`), and are used without the server. They end with it all the same:
    once it was shut down, or has died, whoever uses one gets `ManagerEnded`, which is a ConnectionRefusedError.
    What shall outlive its maker is made by `forkful.shared`.

    There, all of them but `Namespace` have `apply`, which changes a value in one step.
    """

    def _is_of_the_family(self) -> bool:
        return (
            self._serializer == "pickle"
            and isinstance(getattr(self, "_process", None), Process)
            and self._server_word != 0
            and self._state.value == _stdlib.State.STARTED
        )


class SharedMemoryManager(BaseManager, _stdlib.SharedMemoryManager):
    """A manager of shared memory blocks, which are unlinked when it shuts down."""


SyncManager.register("Pool", Pool, _stdlib.PoolProxy)
SyncManager.register("list", list, ListProxy)
SyncManager.register("dict", dict, DictProxy)
SyncManager.register("set", set, SetProxy)
for _typeid, _proxytype in SERVED.items():
    SyncManager.register(f"_adopted_{_typeid}", adopt, _proxytype)


def _keep_at_hand(typeid: str, make: Callable[..., Any]) -> None:
    served = getattr(SyncManager, typeid)

    @functools.wraps(served)
    def temp(self: Any, /, *args: Any, **kwds: Any) -> Any:
        if self._is_of_the_family():
            return make(self, *args, **kwds)
        return served(self, *args, **kwds)

    setattr(SyncManager, typeid, temp)


_keep_at_hand("list", SharedList.of_manager)
_keep_at_hand("dict", SharedDict.of_manager)
_keep_at_hand("Namespace", SharedNamespace.of_manager)
_keep_at_hand("Value", SharedValue.of_manager)
_keep_at_hand("Array", SharedArray.of_manager)
