"""How fast do two processes wake each other?

    python bench/event.py [--quick] [--check] [--json FILE]

Two processes take turns, as many rounds as the count says: each wakes the other and then waits. The
clock runs in the first, after a warm-up; the figure is a whole round, two wake-ups.
"""

import functools
import os
import time
from collections.abc import Callable
from itertools import repeat

from crew import Span, run_crew
from peers import LOOKALIKES, context
from question import Bound, Entry, Question
from side_by_side import main

WARM_UP = 200
MESSAGE = ("ping", 1)
LARGE = 1 << 20


def rounds(ping: Callable[[], None], pong: Callable[[], None], process: type, count: int) -> float:
    """Return seconds a round: `ping` begins and waits, `pong` waits and answers."""

    def first() -> Span:
        for _ in repeat(None, WARM_UP):
            ping()
        begin = time.perf_counter()
        for _ in repeat(None, count):
            ping()
        return begin, time.perf_counter()

    def second() -> Span:
        begin = time.perf_counter()
        for _ in repeat(None, WARM_UP + count):
            pong()
        return begin, time.perf_counter()

    begin, end = run_crew(process, [first, second])[0]
    return (end - begin) / count


def events(name: str, count: int) -> float:
    ctx = context(name)
    there, back = ctx.Event(), ctx.Event()

    def ping() -> None:
        there.set()
        back.wait()
        back.clear()

    def pong() -> None:
        there.wait()
        there.clear()
        back.set()

    return rounds(ping, pong, ctx.Process, count)


def pipes(name: str, count: int, message: object = MESSAGE) -> float:
    ctx = context(name)
    here, there = ctx.Pipe()

    def ping() -> None:
        here.send(message)
        here.recv()

    def pong() -> None:
        there.send(there.recv())

    return rounds(ping, pong, ctx.Process, count)


def large_pipes(name: str, count: int) -> float:
    import numpy as np

    return pipes(name, count, np.ones(LARGE // 8))


def raw_pipes(count: int) -> float:
    """Do it with one byte and two system calls each way: what a wake-up by the kernel costs."""
    ping_read, ping_write = os.pipe()
    pong_read, pong_write = os.pipe()

    def ping() -> None:
        os.write(ping_write, b".")
        os.read(pong_read, 1)

    def pong() -> None:
        os.read(ping_read, 1)
        os.write(pong_write, b".")

    return rounds(ping, pong, context("multiprocessing").Process, count)


def question(
    name: str, title: str, fair: str, measure: Callable[[str, int], float], goal: float
) -> Question:
    return Question(
        name=f"event.{name}",
        title=title,
        unit="us",
        per="round",
        fair=fair,
        entries={
            **{each: Entry(functools.partial(measure, each)) for each in LOOKALIKES},
            "os.pipe": Entry(raw_pipes, aside="a byte by os.write and os.read each way"),
        },
        count=20_000,
        quick=5_000,
        bounds=[Bound("forkful", goal, "multiprocessing")],
    )


QUESTIONS = [
    question(
        "event",
        "Event, ping-pong between 2 processes",
        "Each side: set its event, wait for the other's, clear it. A round has two wake-ups.",
        events,
        2,
    ),
    question(
        "pipe",
        "Pipe(), ping-pong of a small tuple between 2 processes",
        "send and recv of the same tuple, echoed. A round has two messages.",
        pipes,
        5,
    ),
    Question(
        name="event.pipe_large",
        title="Pipe(), ping-pong of an array of 1 MiB between 2 processes",
        unit="us",
        per="round",
        fair="send and recv of a NumPy array of floats, echoed. A round has two messages.",
        entries={each: Entry(functools.partial(large_pipes, each)) for each in LOOKALIKES},
        count=2_000,
        quick=300,
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
