"""Python's `multiprocessing`, without the hangs.

Every name of `multiprocessing` with the same meaning; every failure a clear exception with the real
traceback. `import forkful as multiprocessing` works; what forkful adds stands below.

    >>> import forkful
    >>> with forkful.Pool(2) as pool:
    ...     pool.map(abs, [-1, -2, -3])
    [1, 2, 3]
"""

import typing as _typing
from multiprocessing.context import (
    AuthenticationError,
    BufferTooShort,
    ProcessError,
    TimeoutError,
)

from forkful import context as _context
from forkful import errors as _errors
from forkful.context import Process
from forkful.errors import (
    DeadlockError,
    ForkfulError,
    LockOwnerDied,
    PoisonTask,
    RemoteError,
    ShutDown,
    TaskTimeout,
)

if _typing.TYPE_CHECKING:
    from forkful.errors import WorkerDied
    from forkful.pool import Outcome

__version__ = "0.1.0"

_default = _context.default

Array = _default.Array
Barrier = _default.Barrier
BoundedSemaphore = _default.BoundedSemaphore
Condition = _default.Condition
Event = _default.Event
JoinableQueue = _default.JoinableQueue
Lock = _default.Lock
Manager = _default.Manager
Pipe = _default.Pipe
Pool = _default.Pool
Queue = _default.Queue
RLock = _default.RLock
RawArray = _default.RawArray
RawValue = _default.RawValue
Semaphore = _default.Semaphore
SimpleQueue = _default.SimpleQueue
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

if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "WorkerDied":  # its base class is dear to import; see `errors`
            return _errors.WorkerDied
        if name == "Outcome":
            from forkful.pool import Outcome

            return Outcome
        raise AttributeError(f"module 'forkful' has no attribute {name!r}")
