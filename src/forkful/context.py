"""Contexts: the only place that knows every noun.

Each context is a `multiprocessing.context.BaseContext` whose factories make forkful's objects.
What forkful takes from the stdlib as it is (managers, shared ctypes, shared memory) gets the
context as well, so its locks and processes are forkful's.

What is dear to import (the pool, connections, the start methods) is imported on first use, as the
stdlib does: every child of spawn pays for what is imported here.
"""

from __future__ import annotations

import sys
from multiprocessing import context as _stdlib_context
from multiprocessing import process, reduction
from multiprocessing.context import (
    AuthenticationError,
    BaseContext,
    BufferTooShort,
    ProcessError,
    TimeoutError,
    assert_spawning,
    get_spawning_popen,
    set_spawning_popen,
)

from forkful import process as _process
from forkful import queues, synchronize
from forkful.launch.defaults import defaults
from forkful.process import ForkProcess, ForkServerProcess, SpawnProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from forkful import connection, managers
    from forkful.pool import Pool

__all__ = [
    "AuthenticationError",
    "BaseContext",
    "BufferTooShort",
    "Context",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "TimeoutError",
    "assert_spawning",
    "default",
    "get_context",
    "get_spawning_popen",
    "process",
    "reduction",
    "set_spawning_popen",
]


class Context(BaseContext):
    """What all of forkful's contexts share. Parameters and defaults are the stdlib's."""

    _name: str
    Process: type[_process.Process]

    def Lock(self) -> synchronize.Lock:
        """Return a lock."""
        return synchronize.Lock(ctx=self.get_context())

    def RLock(self) -> synchronize.RLock:
        """Return a re-entrant lock."""
        return synchronize.RLock(ctx=self.get_context())

    def Condition(
        self, lock: synchronize.Lock | synchronize.RLock | None = None
    ) -> synchronize.Condition:
        """Return a condition variable."""
        return synchronize.Condition(lock, ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:
        """Return a semaphore."""
        return synchronize.Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:
        """Return a bounded semaphore."""
        return synchronize.BoundedSemaphore(value, ctx=self.get_context())

    def Event(self) -> synchronize.Event:
        """Return an event."""
        return synchronize.Event(ctx=self.get_context())

    def Barrier(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> synchronize.Barrier:
        """Return a barrier."""
        return synchronize.Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize: int = 0) -> queues.Queue[Any]:
        """Return a queue."""
        return queues.Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(
        self, maxsize: int = 0, *, redeliver: bool | int = False
    ) -> queues.JoinableQueue[Any]:
        """Return a queue with task_done and join."""
        return queues.JoinableQueue(maxsize, ctx=self.get_context(), redeliver=redeliver)

    def SimpleQueue(self) -> queues.SimpleQueue[Any]:
        """Return a queue with put and get only."""
        ctx = self.get_context()
        queue: queues.SimpleQueue[Any] | None = queues._pipe_queue_for(sys._getframe(1), ctx)
        return queues.SimpleQueue(ctx=ctx) if queue is None else queue

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        """Return two connected ends; the first only receives and the second only sends if not duplex."""
        from forkful import connection

        return connection.Pipe(duplex)

    def Pool(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        max_memory_per_child: int | None = None,
    ) -> Pool:
        """Return a pool of worker processes."""
        from forkful.pool import Pool

        return Pool(
            processes,
            initializer,
            initargs,
            maxtasksperchild,
            context=self.get_context(),
            max_memory_per_child=max_memory_per_child,
        )

    def Manager(self) -> managers.SyncManager:
        """Return a manager whose server is running."""
        from forkful.managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    if not TYPE_CHECKING:  # the stubs of the stdlib tell which type gives which wrapper

        def RawValue(self, typecode_or_type, *args):
            """Return a ctypes object in shared memory."""
            from forkful.sharedctypes import RawValue

            return RawValue(typecode_or_type, *args)

        def RawArray(self, typecode_or_type, size_or_initializer):
            """Return a ctypes array in shared memory."""
            from forkful.sharedctypes import RawArray

            return RawArray(typecode_or_type, size_or_initializer)

        def Value(self, typecode_or_type, *args, lock=True):
            """Return a ctypes object in shared memory, with a lock unless `lock` is False."""
            from forkful.sharedctypes import Value

            return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

        def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
            """Return a ctypes array in shared memory, with a lock unless `lock` is False."""
            from forkful.sharedctypes import Array

            return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def set_forkserver_preload(self, module_names: Sequence[str]) -> None:
        """Name the modules that the fork server imports before it forks."""
        from forkful.launch import forkserver

        forkserver.server.set_forkserver_preload(list(module_names))

    def get_context(self, method: str | None = None) -> Context:
        """Return the context of a start method; this one if None."""
        if method is None:
            return self
        found = _concrete.get(method) or _of_others().get(method)
        if found is None:
            raise ValueError(f"cannot find context for {method!r}")
        return found


class ForkContext(Context):
    """Children are forks of this process."""

    _name = "fork"
    Process = ForkProcess


class SpawnContext(Context):
    """Children are fresh interpreters."""

    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(Context):
    """Children are forks of a small server process."""

    _name = "forkserver"
    Process = ForkServerProcess


_concrete: dict[str, Context] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


def _of_others() -> dict[str, Context]:
    """Contexts that libraries have added to the stdlib's, such as loky's."""
    private: Any = _stdlib_context
    added: dict[str, Context] = private._concrete_contexts
    return added


class Process(_process.Process):
    """A process started by the default start method."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        return default.get_context().Process._Popen(process_obj)

    @staticmethod
    def _after_fork() -> None:
        default.get_context().Process._after_fork()


class DefaultContext(Context):
    """The context of the names in `forkful` itself: its start method can be set, once."""

    Process = Process

    def get_context(self, method: str | None = None) -> Context:
        """Return the context of a start method; of the default one if None."""
        if method is not None:
            return super().get_context(method)
        return _concrete[self._method()]

    def _method(self) -> str:
        if defaults.start_method is None:
            defaults.start_method = _stdlib_default()
        return defaults.start_method

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method; for all that this process starts by the default context.

        Raises:
            RuntimeError: It was chosen, or used, before, and not `force`.
        """
        if defaults.start_method is not None and not force:
            raise RuntimeError("context has already been set")
        if method is None and force:
            defaults.start_method = None
            return
        defaults.start_method = super().get_context(method)._name

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the name of the start method; choose the default one unless `allow_none`."""
        if defaults.start_method is None and allow_none:
            return None
        return self._method()

    def get_all_start_methods(self) -> list[str]:
        """Return the names of the start methods, the default one first."""
        methods: list[str] = _stdlib.get_all_start_methods()
        return methods


_stdlib: Any = _stdlib_context._default_context  # `run` replaces it


def _stdlib_default() -> str:
    """The running Python's default start method, or what was chosen for the stdlib."""
    chosen: str | None = _stdlib.get_start_method(allow_none=True)
    return chosen or _stdlib.get_all_start_methods()[0]


default = _default_context = defaults.context = DefaultContext()
get_context = default.get_context
