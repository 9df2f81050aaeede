"""How long does a large array take through a Queue?

    python bench/queue_array.py [--quick] [--check] [--json FILE]

One producer process puts the same 1 MiB array again and again, one consumer process gets it and
reads one number of each of its pages, so that memory that is only promised is not counted as
received; it lets go of each array before it takes the next. The clock runs in the consumer, from
the last warm-up array to the last array.
"""

import functools
import importlib
import time
from itertools import repeat
from typing import Any

import machine
from crew import Span, run_crew
from peers import LOOKALIKES, context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

ITEMS = 2**20 // 8
PAGE = 4096 // 8
WARM_UP = 10
BOUND = 8
HUGE = 4 * 2**30


LACKS = "left out: needs 10 GiB of free memory" if machine.available_bytes() < 10 * 2**30 else ""


def queue_of(name: str, maxsize: int) -> tuple[Any, Any]:
    """Return a queue (of `maxsize` arrays; 0: as large as the peer allows) and `Process`."""
    if name == "multiprocessing.SimpleQueue":
        stdlib = context("multiprocessing")
        return stdlib.SimpleQueue(), stdlib.Process
    if name == "faster-fifo":
        # Its default of 1 MB cannot hold one array. It is bounded by bytes in any case.
        size = (maxsize or 64) * (2**20 + 1024)
        fifo = importlib.import_module("faster_fifo")
        return fifo.Queue(max_size_bytes=size), context("multiprocessing").Process
    ctx = context(name)
    return ctx.Queue(maxsize), ctx.Process


def stream(name: str, maxsize: int, count: int) -> float:
    """Send `count` arrays from one process to another; return seconds an array."""
    import numpy

    queue, process = queue_of(name, maxsize)
    array = numpy.arange(ITEMS, dtype=numpy.float64)
    pages = float(array[::PAGE].sum())

    def produce() -> Span:
        begin = time.perf_counter()
        for _ in repeat(None, WARM_UP + count):
            queue.put(array)
        return begin, time.perf_counter()

    def take(number: int) -> None:
        for _ in repeat(None, number):
            got = queue.get()
            if got[::PAGE].sum() != pages:
                raise AssertionError("the array that arrived is not the one that was sent")
            del got

    def consume() -> Span:
        take(WARM_UP)
        begin = time.perf_counter()
        take(count)
        return begin, time.perf_counter()

    begin, end = run_crew(process, [consume, produce])[0]
    return (end - begin) / count


def copying(count: int) -> float:
    """Copy the array `count` times into memory that is already there."""
    import numpy

    array, target = numpy.arange(ITEMS, dtype=numpy.float64), numpy.zeros(ITEMS)
    begin = time.perf_counter()
    for _ in repeat(None, count):
        numpy.copyto(target, array)
    return (time.perf_counter() - begin) / count


def huge(count: int) -> float:
    """Send one array of 4 GiB; return the seconds from its `put` until each page of it has been read.

    Raises:
        AssertionError: It is not what was sent, or the receiver has made a copy of it.
    """
    import numpy

    queue, process = queue_of("forkful", 0)
    array = numpy.arange(HUGE // 8, dtype=numpy.float64)
    pages = float(array[::PAGE].sum())

    def produce() -> Span:
        begin = time.perf_counter()
        for _ in repeat(None, count):
            queue.put(array)
        return begin, time.perf_counter()

    def consume() -> Span:
        for _ in repeat(None, count):
            before = own_memory()
            got = queue.get()
            if float(got[::PAGE].sum()) != pages:
                raise AssertionError("the array that arrived is not the one that was sent")
            if own_memory() > before + HUGE // 16:
                raise AssertionError("the array was copied on its arrival")
            del got
        return 0.0, time.perf_counter()

    spans = run_crew(process, [produce, consume])
    return (spans[1][1] - spans[0][0]) / count


def own_memory() -> int:
    """Return the bytes that this process has for itself alone."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def copying_once(count: int) -> float:
    """Copy an array of 4 GiB into memory that nobody has used yet."""
    import numpy

    array = numpy.arange(HUGE // 8, dtype=numpy.float64)
    begin = time.perf_counter()
    for _ in repeat(None, count):
        array.copy()
    return (time.perf_counter() - begin) / count


def question(name: str, title: str, maxsize: int, fair: str) -> Question:
    names = [*LOOKALIKES, "faster-fifo"]
    if not maxsize:
        names.insert(2, "multiprocessing.SimpleQueue")
    return Question(
        name=f"queue_array.{name}",
        title=title,
        unit="us",
        per="array",
        fair=f"1 process to 1; the consumer reads each page of each array. {fair}",
        entries={
            **{each: Entry(functools.partial(stream, each, maxsize)) for each in names},
            "one copy": Entry(copying, aside="floor: numpy.copyto into warm memory"),
        },
        count=400,
        quick=100,
        bounds=[Bound("forkful", 20, "multiprocessing"), Bound("forkful", 2, BEST_PEER)],
    )


QUESTIONS = [
    question(
        "unbounded",
        "Queue(), NumPy array of 1 MiB",
        0,
        "Unbounded where the peer has that; faster-fifo has room for 64 arrays.",
    ),
    question(
        "bounded",
        f"Queue(maxsize={BOUND}), NumPy array of 1 MiB",
        BOUND,
        f"Room for {BOUND} arrays, as a pipeline of large items would have.",
    ),
    Question(
        name="queue_array.huge",
        title="Queue(), NumPy array of 4 GiB",
        unit="s",
        per="array",
        fair="From its put until the consumer has read each page. It fails if the consumer has a copy of its own.",
        entries={
            "forkful": Entry(huge, absent=LACKS),
            "one copy": Entry(
                copying_once, aside="floor: ndarray.copy, into memory not used before", absent=LACKS
            ),
        },
        count=1,
        quick=1,
        rounds=2,
        limit=180,
        baseline="forkful",
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
