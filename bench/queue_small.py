"""How long does a small message take through a Queue?

    python bench/queue_small.py [--quick] [--check] [--json FILE]

Producers and consumers are processes, started before the clock. A producer puts messages one by
one as fast as it can, a consumer gets them one by one. Each consumer takes a fixed share; its clock
runs from the moment it has its last warm-up message to the moment it has its last message, and
the figure is the time from the first consumer's start to the last one's end, over all messages.
A queue whose `put` returns early gains nothing: what counts is what has arrived.
"""

import functools
import importlib
import pickle
import time
from itertools import repeat
from typing import Any

from crew import Span, run_crew
from peers import LOOKALIKES, context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

MESSAGE = {"id": 12345, "name": "forkful", "price": 9.75}
WARM_UP = 500


def queue_of(name: str) -> tuple[Any, Any]:
    """Return an unbounded queue and the `Process` class to use it with."""
    if name == "multiprocessing.SimpleQueue":
        stdlib = context("multiprocessing")
        return stdlib.SimpleQueue(), stdlib.Process
    if name.startswith("faster-fifo"):
        # Its queue has a size in bytes; 1 MB is its default, room for some 10,000 of our messages.
        return importlib.import_module("faster_fifo").Queue(), context("multiprocessing").Process
    ctx = context(name)
    return ctx.Queue(), ctx.Process


def stream(name: str, pairs: int, count: int) -> float:
    """Send `count` messages through one queue from `pairs` producers to as many consumers."""
    queue, process = queue_of(name)
    share = count // pairs

    def produce() -> Span:
        put = queue.put
        begin = time.perf_counter()
        for _ in repeat(None, WARM_UP + share):
            put(MESSAGE)
        return begin, time.perf_counter()

    def consume() -> Span:
        get = queue.get
        for _ in repeat(None, WARM_UP):
            message = get()
        begin = time.perf_counter()
        for _ in repeat(None, share):
            message = get()
        end = time.perf_counter()
        if message != MESSAGE:
            raise AssertionError(f"received {message!r}")
        return begin, end

    spans = run_crew(process, [consume] * pairs + [produce] * pairs)[:pairs]
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / (share * pairs)


def stream_in_batches(name: str, pairs: int, count: int) -> float:
    """Do the same with `put_many` and `get_many`, 100 messages a call."""
    queue, process = queue_of(name)
    share = count // pairs // 100 * 100

    def produce() -> Span:
        batch = [MESSAGE] * 100
        begin = time.perf_counter()
        for _ in range((WARM_UP + share) // 100):
            queue.put_many(batch)
        return begin, time.perf_counter()

    def get_many(most: int) -> list[Any]:
        if name == "forkful":
            return queue.get_many(most)  # type: ignore[no-any-return]
        return queue.get_many(max_messages_to_get=most)  # type: ignore[no-any-return]

    def consume() -> Span:
        got = 0
        while got < WARM_UP:
            got += len(get_many(WARM_UP - got))
        begin, last = time.perf_counter(), WARM_UP + share
        while got < last:
            got += len(get_many(min(100, last - got)))
        return begin, time.perf_counter()

    spans = run_crew(process, [consume] * pairs + [produce] * pairs)[:pairs]
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / (share * pairs)


def pickling(way: str, count: int) -> float:
    """Pickle, or rebuild, the message `count` times in one process."""
    if way == "dumps":
        work = functools.partial(pickle.dumps, MESSAGE, pickle.HIGHEST_PROTOCOL)
    else:
        work = functools.partial(pickle.loads, pickle.dumps(MESSAGE, pickle.HIGHEST_PROTOCOL))
    begin = time.perf_counter()
    for _ in repeat(None, count):
        work()
    return (time.perf_counter() - begin) / count


def entries(pairs: int) -> dict[str, Entry]:
    names = [*LOOKALIKES, "faster-fifo"]
    names.insert(2, "multiprocessing.SimpleQueue")
    return {
        **{name: Entry(functools.partial(stream, name, pairs)) for name in names},
        **{
            f"{name}, by 100": Entry(
                functools.partial(stream_in_batches, name, pairs),
                aside="other calls: put_many, get_many",
            )
            for name in ("forkful", "faster-fifo")
        },
        "pickle.dumps": Entry(functools.partial(pickling, "dumps"), aside="floor of a producer"),
        "pickle.loads": Entry(functools.partial(pickling, "loads"), aside="floor of a consumer"),
    }


FAIR = (
    "The same dict of three members, one put and one get a message; unbounded queues where there "
    f"are any; {WARM_UP} messages before the clock; timed in the consumers, first to last."
)
QUESTIONS = [
    Question(
        name="queue_small.one_to_one",
        title="Queue, small dict, 1 producer to 1 consumer",
        unit="us",
        per="message",
        fair=FAIR,
        entries=entries(pairs=1),
        count=200_000,
        quick=40_000,
        bounds=[
            Bound("forkful", 4, "multiprocessing", must=True),
            Bound("forkful", 6, "multiprocessing"),
            Bound("forkful", 4, BEST_PEER),
            Bound("forkful", 1 / 1.5, "pickle.loads"),
        ],
    ),
    Question(
        name="queue_small.two_to_two",
        title="Queue, small dict, 2 producers to 2 consumers",
        unit="us",
        per="message",
        fair=FAIR,
        entries=entries(pairs=2),
        count=200_000,
        quick=40_000,
        bounds=[Bound("forkful", 5, "multiprocessing")],
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
