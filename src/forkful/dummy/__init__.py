"""The names of `multiprocessing` for threads: the standard library's `multiprocessing.dummy`.

Nothing is gained by new ones: a thread does not die alone, and shares its memory anyway.
"""

from multiprocessing.dummy import (
    Array,
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    JoinableQueue,
    Lock,
    Manager,
    Namespace,
    Pipe,
    Pool,
    Process,
    Queue,
    RLock,
    Semaphore,
    Value,
    active_children,
    current_process,
    freeze_support,
)
from typing import TYPE_CHECKING

from forkful.stdlib import names_of

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "Value",
    "active_children",
    "current_process",
    "freeze_support",
]

if not TYPE_CHECKING:
    __getattr__ = names_of("dummy")
