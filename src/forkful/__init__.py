"""Python's `multiprocessing`, without the hangs.

Every name of `multiprocessing` with the same meaning; every failure a clear exception with the real
traceback. `import forkful as multiprocessing` works; what forkful adds stands below.

    >>> import forkful
    >>> with forkful.Pool(2) as pool:
    ...     pool.map(abs, [-1, -2, -3])
    [1, 2, 3]
"""

from multiprocessing.context import (
    AuthenticationError,
    BufferTooShort,
    ProcessError,
    TimeoutError,
)

from forkful.context import Process
from forkful.context import default as _default
from forkful.errors import (
    DeadlockError,
    ForkfulError,
    LockOwnerDied,
    ManagerEnded,
    PoisonTask,
    RemoteError,
    ShutDown,
    TaskTimeout,
)
from forkful.queues import JoinableQueue, Queue, SimpleQueue
from forkful.synchronize import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkful.errors import WorkerDied
    from forkful.pool import Outcome, Pool

__version__ = "0.1.0"

Array = _default.Array
Manager = _default.Manager
Pipe = _default.Pipe
RawArray = _default.RawArray
RawValue = _default.RawValue
Value = _default.Value
active_children = _default.active_children
allow_connection_pickling = _default.allow_connection_pickling
cpu_count = _default.cpu_count
current_process = _default.current_process
freeze_support = _default.freeze_support
get_all_start_methods = _default.get_all_start_methods
get_context = _default.get_context
get_logger = _default.get_logger
get_start_method = _default.get_start_method
log_to_stderr = _default.log_to_stderr
parent_process = _default.parent_process
reducer = _default.reducer
set_executable = _default.set_executable
set_forkserver_preload = _default.set_forkserver_preload
set_start_method = _default.set_start_method

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "DeadlockError",
    "Event",
    "ForkfulError",
    "JoinableQueue",
    "Lock",
    "LockOwnerDied",
    "Manager",
    "ManagerEnded",
    "Outcome",
    "Pipe",
    "PoisonTask",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "RemoteError",
    "Semaphore",
    "ShutDown",
    "SimpleQueue",
    "TaskTimeout",
    "TimeoutError",
    "Value",
    "WorkerDied",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "reducer",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]

# What is dear to import is imported when it is asked for.
_LATER = {"Outcome": "forkful.pool", "Pool": "forkful.pool", "WorkerDied": "forkful.errors"}
_MODULES = {
    *("connection", "dummy", "forkserver", "heap", "managers", "pool", "reduction"),
    *(
        "resource_sharer",
        "resource_tracker",
        "shared",
        "shared_memory",
        "sharedctypes",
        "spawn",
        "util",
    ),
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _LATER or name in _MODULES:
            import importlib

            if name in _MODULES:
                return importlib.import_module(f"forkful.{name}")
            value = getattr(importlib.import_module(_LATER[name]), name)
            globals()[name] = value
            return value
        raise AttributeError(f"module 'forkful' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER, *_MODULES} - {"TYPE_CHECKING"})
