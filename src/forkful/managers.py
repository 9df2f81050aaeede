"""Managers: the standard library's, for now; `Manager()` of a forkful context starts its server by that context."""

from multiprocessing.managers import (
    BaseManager,
    BaseProxy,
    SharedMemoryManager,
    SyncManager,
    Token,
)

__all__ = ["BaseManager", "BaseProxy", "SharedMemoryManager", "SyncManager", "Token"]
