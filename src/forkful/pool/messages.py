"""What pool and workers say to each other: kinds of messages, and their layout.

A task is `FUNCTION_SIZE, the function's pickle, arguments`, with the kind as the message's meta
number. An answer's meta number is `sequence number of the task << 4 | kind`. Arguments and values are
pickled, or written as small plain objects are (`_native.dumps_plain`). The number of a task is never
inside of them, so one that cannot be read fails only itself.

A message is bytes, or `(bytes, buffers)` when large buffers stand beside the pickle at its end (`wire.dumps_oob`).
"""

from __future__ import annotations

from struct import Struct
from typing import Any

__all__ = [
    "APPLY",
    "BATCH",
    "CLAIM_ITEM",
    "CLAIM_SEQ",
    "CLAIM_SINCE",
    "CLAIM_WORDS",
    "ERROR",
    "FAILED_START",
    "FUNCTION_SIZE",
    "ITEM",
    "ITEM_DONE",
    "ITEM_ERROR",
    "KEPT",
    "MAP",
    "Message",
    "READY",
    "RESULT",
    "RETIRED",
    "SECONDS",
    "STARMAP",
    "STOP",
    "TIMED_MAP",
    "TIMED_RESULT",
    "TIMED_STARMAP",
    "behind",
    "head",
    "joined",
    "size",
]

Message = bytes | tuple[bytes, list[Any]]

# Tasks.
APPLY = 1  # arguments (args, kwargs); answered by RESULT or ERROR
MAP = 2  # a list: func(x) for each, answered by one RESULT or by ERROR at the first failure
STARMAP = 3  # the same with func(*x)
BATCH = 4  # a list: func(x) for each, each answered by an ITEM_DONE or ITEM_ERROR of its own
STOP = 5  # whoever takes it ends
TIMED_MAP = 6  # as MAP, answered by a TIMED_RESULT
TIMED_STARMAP = 7

# Answers.
RESULT = 1  # the value, or the list of values
ERROR = 2  # remote.pack
TIMED_RESULT = 3  # SECONDS, then the list
ITEM_DONE = 4  # ITEM, then the value
ITEM_ERROR = 5  # ITEM, then remote.pack
READY = 6  # of the worker whose number stands for the task's: it is initialised
FAILED_START = 7  # its initializer raised: remote.pack
RETIRED = 8  # it has done enough, and ends

FUNCTION_SIZE = Struct("<I")  # bytes of the function's pickle; and
KEPT = 1 << 31  # if that only names where in shared memory the function is
SECONDS = Struct("<dd")  # of the calls; to make the function, if each message needs it made anew
ITEM = Struct("<IddI")  # index in the batch, seconds of the call, as the second of SECONDS, pid

_COPIED = 4096  # bytes: a slice of a smaller message costs less than a view of it


def behind(data: bytes, size: int) -> bytes | memoryview:
    """Return what of a message's bytes is behind the first `size` of them."""
    return data[size:] if len(data) < _COPIED else memoryview(data)[size:]


def joined(prefix: bytes, message: Message) -> Message:
    """Return a message with some bytes in front."""
    return prefix + message if isinstance(message, bytes) else (prefix + message[0], message[1])


def head(message: Message) -> bytes:
    """Return a message's bytes."""
    return message if isinstance(message, bytes) else message[0]


def size(message: Message) -> int:
    """Return how many bytes it is, with its buffers."""
    if isinstance(message, bytes):
        return len(message)
    return len(message[0]) + sum(memoryview(b).nbytes for b in message[1])


# A worker's claim: four words of its own. Written by the worker alone, while it lives.
CLAIM_WORDS = 4
CLAIM_SEQ = 0  # number of the task taken last, plus 1; set before the take commits
CLAIM_ITEM = 1  # which item of a batch it is at
CLAIM_SINCE = 2  # when it began that (monotonic ns); 0: between two
