"""What does a lock cost?

    python bench/lock.py [--quick] [--check] [--json FILE]

Uncontended: one process acquires and releases in a loop, through bound methods; the loop itself is
part of every figure and the same for all. Contended: two processes do it at once round a counter
in shared memory that is wrong in the end if the lock does not exclude; the clock runs from the
first process's start to the last one's end.
"""

import functools
import importlib
import mmap
import time
from itertools import repeat

from crew import Span, run_crew
from peers import LOOKALIKES, context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

WARM_UP = 1_000


def pairs(name: str, kind: str, count: int) -> float:
    """Return seconds for an acquire and a release that nobody disputes."""
    of = importlib.import_module("threading") if name == "threading" else context(name)
    lock = getattr(of, kind)()
    acquire, release = lock.acquire, lock.release
    for number in (WARM_UP, count):
        begin = time.perf_counter()
        for _ in repeat(None, number):
            acquire()
            release()
        spent = time.perf_counter() - begin
    return spent / count


def contended(name: str, count: int) -> float:
    """Return seconds for one locked increment while two processes make `count` between them."""
    ctx = context(name)
    lock = ctx.Lock()
    share = count // 2
    with memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q") as counter:

        def increment() -> Span:
            acquire, release = lock.acquire, lock.release
            begin = time.perf_counter()
            for _ in repeat(None, share):
                acquire()
                counter[0] += 1
                release()
            return begin, time.perf_counter()

        spans = run_crew(ctx.Process, [increment] * 2)
        if counter[0] != 2 * share:
            raise AssertionError(f"the lock did not exclude: {counter[0]} of {2 * share}")
    return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / (2 * share)


def value(name: str, count: int) -> float:
    """Return seconds for one locked increment of a shared `Value`."""
    shared = context(name).Value("i", 0)
    for number in (WARM_UP, count):
        begin = time.perf_counter()
        for _ in repeat(None, number):
            with shared.get_lock():
                shared.value += 1
        spent = time.perf_counter() - begin
    if shared.value != WARM_UP + count:
        raise AssertionError(f"{shared.value} after {WARM_UP + count} increments")
    return spent / count


def uncontended(kind: str) -> Question:
    how = "written in Python" if kind == "Semaphore" else "written in C"
    threads = Entry(functools.partial(pairs, "threading", kind), aside=f"for threads only, {how}")
    return Question(
        name=f"lock.{kind.lower()}",
        title=f"{kind}, acquire and release, uncontended",
        unit="ns",
        per="pair",
        fair="One process, bound methods, no arguments; the loop is part of every figure.",
        entries={
            **{name: Entry(functools.partial(pairs, name, kind)) for name in LOOKALIKES},
            "threading": threads,
        },
        count=1_000_000,
        quick=200_000,
        bounds=[Bound("forkful", 1, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
    )


QUESTIONS = [
    *map(uncontended, ("Lock", "RLock", "Semaphore")),
    Question(
        name="lock.contended",
        title="Lock, 2 processes increment one counter",
        unit="ns",
        per="increment",
        fair="Acquire, read and write a shared word, release; both processes as fast as they can.",
        entries={name: Entry(functools.partial(contended, name)) for name in LOOKALIKES},
        count=400_000,
        quick=100_000,
        bounds=[Bound("forkful", 1, "multiprocessing")],
    ),
    Question(
        name="lock.value",
        title="Value, increment under its lock",
        unit="ns",
        per="increment",
        fair="with value.get_lock(): value.value += 1; one process.",
        entries={name: Entry(functools.partial(value, name)) for name in LOOKALIKES},
        count=400_000,
        quick=100_000,
        bounds=[Bound("forkful", 200), Bound("forkful", 1, BEST_PEER)],
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
