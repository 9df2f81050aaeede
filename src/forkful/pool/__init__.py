"""Process pools: `multiprocessing.pool`, and `Pool.outcomes` for work in which some inputs fail.

`ThreadPool` is the stdlib's: threads share memory already, and nothing of them dies alone.
"""

from multiprocessing.pool import MaybeEncodingError, ThreadPool  # type: ignore[attr-defined]
from typing import TYPE_CHECKING

from forkful.pool.imap import IMapIterator, IMapUnorderedIterator
from forkful.pool.outcome import Outcome
from forkful.pool.outcomes import LATER, Outcomes
from forkful.pool.pool import Pool
from forkful.pool.results import AsyncResult, MapResult
from forkful.remote import RemoteTraceback
from forkful.statistics import PoolStatistics, WorkerStatistics
from forkful.stdlib import names_of

ApplyResult = AsyncResult

__all__ = [
    "LATER",
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "Outcome",
    "Outcomes",
    "Pool",
    "PoolStatistics",
    "RemoteTraceback",
    "ThreadPool",
    "WorkerStatistics",
]

if not TYPE_CHECKING:
    __getattr__ = names_of("pool")
