"""The one place that turns objects into bytes and back.

The reducers that ``multiprocessing.reduction.ForkingPickler`` and ``copyreg`` know are honoured,
whenever they were registered. What pickle refuses (lambdas, closures, local classes) is pickled by
value with cloudpickle. What that refuses too is an error in the caller, which names the place of
the bad object: ``cannot pickle '_thread.lock' object: at object[1]['conn'].lock``.
"""

from __future__ import annotations

from forkful.wire.handles import collecting, note_handle
from forkful.wire.pickling import (
    LARGE,
    advise,
    aside,
    dumps,
    dumps_oob,
    dumps_parts,
    explain,
    loads,
)

__all__ = [
    "LARGE",
    "advise",
    "aside",
    "collecting",
    "dumps",
    "dumps_oob",
    "dumps_parts",
    "explain",
    "loads",
    "note_handle",
]
