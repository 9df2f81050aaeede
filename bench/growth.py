"""How does the cost grow: with the size of a message, the number of processes at one queue, the number of tasks?

    python bench/growth.py [--quick] [--only growth.size] [--json FILE]

Each curve is a row of questions that differ in one number, which their names end with. `curves.py` draws them.
"""

import functools
import resource
import time
from itertools import repeat

from crew import Span, run_crew
from peers import context
from question import Curve, Entry, Question
from queue_small import stream
from side_by_side import main

PEERS = ("forkful", "multiprocessing")
MOVED = 2**30  # bytes in one measurement of a size, at most
MOST_MESSAGES = 20_000
PAGE = 4096


# -- the size of a message ------------------------------------------------------------------------------


def sized(name: str, size: int, count: int) -> float:
    """Send `count` messages of `size` bytes from one process to another; return seconds a message."""
    ctx = context(name)
    queue = ctx.Queue(2 if size > 2**24 else 0)  # so as not to fill the machine's memory
    message = b"m" * size
    warm_up = 1 if size > 2**24 else 3

    def produce() -> Span:
        begin = time.perf_counter()
        for _ in repeat(None, warm_up + count):
            queue.put(message)
        return begin, time.perf_counter()

    def take(number: int) -> None:
        for _ in repeat(None, number):
            got = queue.get()
            if len(got) != size or got[::PAGE].strip(b"m"):
                raise AssertionError("the message that arrived is not the one that was sent")

    def consume() -> Span:
        take(warm_up)
        begin = time.perf_counter()
        take(count)
        return begin, time.perf_counter()

    begin, end = run_crew(ctx.Process, [consume, produce])[0]
    return (end - begin) / count


def size_question(curve: Curve, size: int) -> Question:
    count = max(2, min(MOST_MESSAGES, MOVED // size))
    return Question(
        name=f"growth.{curve.name}.{size}",
        title=f"{curve.title}: {size:,} bytes",
        unit="us",
        per="message",
        fair="bytes; 1 process to 1; the consumer reads each page. Above 16 MiB the queue is bounded by 2.",
        entries={name: Entry(functools.partial(sized, name, size)) for name in PEERS},
        count=count,
        quick=max(1, count // 20),
        rounds=3,
        limit=120,
    )


# -- producers and consumers ----------------------------------------------------------------------------


def pairs_question(curve: Curve, pairs: int) -> Question:
    return Question(
        name=f"growth.{curve.name}.{pairs}",
        title=f"{curve.title}: {pairs} to {pairs}",
        unit="us",
        per="message",
        fair="As in queue_small.py; all at one queue, the messages shared out equally.",
        entries={name: Entry(functools.partial(stream, name, pairs)) for name in PEERS},
        count=64_000,
        quick=12_800,
        rounds=3,
        limit=120,
    )


# -- tasks ----------------------------------------------------------------------------------------------


def tasks(name: str, count: int) -> float:
    """Run `count` trivial tasks through `imap_unordered`; return seconds a task.

    Raises:
        AssertionError: A result is wrong, or this process's memory grew with the number of tasks.
    """
    with context(name).Pool(2) as pool:
        list(pool.imap_unordered(abs, range(1000), chunksize=100))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.perf_counter()
        total = sum(pool.imap_unordered(abs, iter(range(count)), chunksize=100))
        spent = time.perf_counter() - begin
    if total != count * (count - 1) // 2:
        raise AssertionError("the results are not those of the tasks")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if name == "forkful" and grown > 64 * 1024:
        raise AssertionError(f"memory grew by {grown >> 10} MiB")
    return spent / count


def tasks_question(curve: Curve, number: int) -> Question:
    return Question(
        name=f"growth.{curve.name}.{number}",
        title=f"{curve.title}: {number:,}",
        unit="us",
        per="task",
        fair="abs() of integers from a generator, 2 workers, imap_unordered with chunks of 100.",
        entries={name: Entry(functools.partial(tasks, name)) for name in PEERS},
        count=number,
        quick=number,  # it is the number that the curve is drawn over
        rounds=3 if number < 10**6 else 1,
        limit=300,
    )


CURVES = [
    Curve(
        "size",
        "Queue, by the size of a message",
        "bytes",
        (1, 2**10, 2**14, 2**17, 2**20, 2**24, 2**27, 2**30),
        size_question,
    ),
    Curve(
        "pairs",
        "Queue, by the number of producers and as many consumers",
        "producers",
        (1, 2, 4, 8, 16, 32, 64),
        pairs_question,
    ),
    Curve(
        "tasks",
        "Pool, by the number of tasks",
        "tasks",
        (1, 100, 10_000, 1_000_000, 10_000_000),
        tasks_question,
    ),
]
QUESTIONS = [question for curve in CURVES for question in curve.questions()]

if __name__ == "__main__":
    main(QUESTIONS)
