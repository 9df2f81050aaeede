"""Managers: `multiprocessing.managers`, whose server is a process of forkful's.

What differs: without a context a manager uses forkful's default one, its `Pool` is forkful's, and
its server ends with the process that started it, however that ends. Its dicts, lists, namespaces, values and
arrays lie in shared memory, where the server is of the same family, and are used without it; but only as long
as it lives, as all that a manager makes: then they raise `ManagerEnded`. All other proxies, and what a client
that is killed leaves behind in the server, are the standard library's.
"""

from __future__ import annotations

from multiprocessing.managers import (
    BaseProxy,
    Namespace,
    RemoteError,
    Server,
    Token,
    ValueProxy,
)
from typing import TYPE_CHECKING

from forkful.managers.manager import BaseManager, SharedMemoryManager, SyncManager
from forkful.managers.proxies import DictProxy, ListProxy, SetProxy
from forkful.stdlib import names_of

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

if not TYPE_CHECKING:
    __getattr__ = names_of("managers")
