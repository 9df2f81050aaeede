"""The exceptions that forkful adds. What the standard library defines is used as it is.

Each inherits from what people already catch, carries what is known as attributes, and pickles
whole: its arguments are text, and everything else lives in its ``__dict__``. Classes are shown as
``forkful.NAME``, where the face of the package offers them.

``WorkerDied`` is made on first use, because its base, ``BrokenProcessPool``, brings the code of
``concurrent.futures.process`` and ``logging`` with it: 14 ms of processor time, where all of
``import multiprocessing`` takes 18 ms. Code that raises or catches it says ``errors.WorkerDied``
and pays when a worker has died.
"""

from __future__ import annotations

from forkful.errors.kinds import (
    DeadlockError,
    ForkfulError,
    LockOwnerDied,
    ManagerEnded,
    PoisonTask,
    RemoteError,
    ShutDown,
    TaskTimeout,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from forkful.errors.death import WorkerDied

__all__ = [
    "ForkfulError",
    "WorkerDied",
    "TaskTimeout",
    "PoisonTask",
    "RemoteError",
    "LockOwnerDied",
    "DeadlockError",
    "ManagerEnded",
    "ShutDown",
]

if not TYPE_CHECKING:  # to a type checker, a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name != "WorkerDied":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from forkful.errors.death import WorkerDied

        globals()[name] = WorkerDied
        return WorkerDied
