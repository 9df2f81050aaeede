"""Shared memory that has a name: the standard library's.

A name is what it is for: processes that have nothing else in common find one another by it. So it
stays in the file system until somebody unlinks it, as with the standard library. What only a
family shares needs no name: see `sharedctypes`.
"""

from multiprocessing.shared_memory import ShareableList, SharedMemory
from typing import TYPE_CHECKING

from forkful.stdlib import names_of

__all__ = ["ShareableList", "SharedMemory"]

if not TYPE_CHECKING:
    __getattr__ = names_of("shared_memory")
