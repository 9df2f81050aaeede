"""How many processes can be alive at once, how long does it take, and what does each weigh?

    python bench/many.py [--quick] [--json FILE]

Processes are started one after another; each tells through a FIFO that it is there, and waits for an
event. Time is counted until the last one is there. The weight is the mean proportional set size (a
page that n processes share counts as an nth for each) of a hundred of them. A child imports nothing: the
fork servers have imported this file.
"""

import functools
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any

import machine
from peers import context
from question import Bound, Entry, Question
from side_by_side import main

KINDS = (
    "forkful, forkserver",
    "forkful, fork",
    "multiprocessing, forkserver",
    "multiprocessing, fork",
)
MOST_OF_MULTIPROCESSING = 1000  # each start asks all that are alive: minutes above that
MIB_EACH = 4
FDS_EACH = 2  # of the starting process
WEIGHED = 100


def be_there(event: Any, fifo: str) -> None:
    fd = os.open(fifo, os.O_WRONLY)
    os.write(fd, b".")
    os.close(fd)
    event.wait()


@contextmanager
def crowd(kind: str, count: int) -> Iterator[tuple[float, list[int]]]:
    """Have `count` processes alive; gives the seconds that took, and their pids."""
    allow_descriptors()
    name, _, method = kind.partition(", ")
    ctx = context(name, method)
    ctx.set_forkserver_preload([__name__])
    warm = ctx.Process(target=time.time)
    warm.start()
    warm.join()
    event = ctx.Event()
    with tempfile.TemporaryDirectory() as folder:
        fifo = str(Path(folder, "fifo"))
        os.mkfifo(fifo)
        hear = os.open(fifo, os.O_RDWR)
        processes = []
        try:
            begin = time.perf_counter()
            for _ in repeat(None, count):
                processes.append(ctx.Process(target=be_there, args=(event, fifo)))
                processes[-1].start()
            there = 0
            while there < count:
                there += len(os.read(hear, 65536))
            yield time.perf_counter() - begin, [process.pid for process in processes]
        finally:
            os.close(hear)
            event.set()
            for process in processes:
                process.join()


def allow_descriptors() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def seconds_each(kind: str, count: int) -> float:
    with crowd(kind, count) as (seconds, _):
        return seconds / count


def mib_each(kind: str, count: int) -> float:
    with crowd(kind, count) as (_, pids):
        some = pids[:: max(1, count // WEIGHED)]
        return sum(map(weight, some)) / len(some)


def weight(pid: int) -> float:
    """Return the proportional set size of a process in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell the weight of process {pid}")


def idle_ms(kind: str, count: int) -> float:
    """Return the processor time, in ms, that a waiting crowd takes in a second, its starter included."""

    def ticks() -> int:
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in everyone]
        return sum(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats)

    with crowd(kind, count) as (_, pids):
        everyone = [os.getpid(), *pids]
        time.sleep(2)  # all wait for long by then
        begin, before = time.perf_counter(), ticks()
        time.sleep(5)
        taken = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        return taken / (time.perf_counter() - begin) * 1000


def bare_fork(count: int) -> float:
    """The same with os.fork and pipes: what the kernel takes."""
    gate, open_gate = os.pipe()
    there, i_am_there = os.pipe()
    pids = []
    begin = time.perf_counter()
    for _ in repeat(None, count):
        pid = os.fork()
        if not pid:
            os.close(open_gate)
            os.write(i_am_there, b".")
            os.read(gate, 1)
            os._exit(0)
        pids.append(pid)
    heard = 0
    while heard < count:
        heard += len(os.read(there, 65536))
    seconds = time.perf_counter() - begin
    os.close(open_gate)
    for pid in pids:
        os.waitpid(pid, 0)
    return seconds / count


def too_many(kind: str, count: int) -> str:
    """Return why so many are not asked of it, or nothing."""
    if count * FDS_EACH + 100 > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        return "left out: the limit of open files is too low"
    if count * MIB_EACH << 20 > machine.available_bytes():
        return "left out: needs more memory than is free"
    if kind.startswith("multiprocessing") and count > MOST_OF_MULTIPROCESSING:
        return "left out: takes minutes"
    return ""


def alive(count: int, bounds: list[Bound]) -> Question:
    entries = {
        k: Entry(functools.partial(seconds_each, k), absent=too_many(k, count)) for k in KINDS
    }
    return Question(
        name=f"many.alive_{count}",
        title=f"{count:,} processes alive at once",
        unit="ms",
        per="process",
        fair="Each waits for an event of its package; time until the last one is there.",
        entries=entries | {"os.fork": Entry(bare_fork, aside="floor: fork, pipes")},
        count=count,
        quick=count,
        bounds=bounds,
        baseline="multiprocessing, forkserver",
        rounds=1 if count > 1000 else 3,
        limit=180,
    )


def weigh(count: int) -> Question:
    return Question(
        name=f"many.weight_{count}",
        title=f"What each of {count:,} waiting processes weighs",
        unit="MiB",
        per="process",
        fair="Mean proportional set size; what the children share is divided among them.",
        entries={
            k: Entry(functools.partial(mib_each, k), absent=too_many(k, count)) for k in KINDS
        },
        count=count,
        quick=count,
        bounds=[Bound("forkful, forkserver", 1.2), Bound("forkful, fork", 1.2)],
        baseline="multiprocessing, forkserver",
        rounds=1,
        limit=180,
    )


def idle(count: int) -> Question:
    return Question(
        name=f"many.idle_{count}",
        title=f"What {count:,} waiting processes take",
        unit="ms of CPU",
        per="second",
        fair="As they wait for an event; over 5 s, which begin when all have waited for 2.",
        entries={k: Entry(functools.partial(idle_ms, k), absent=too_many(k, count)) for k in KINDS},
        count=count,
        quick=count,
        baseline="multiprocessing, forkserver",
        rounds=1,
        limit=180,
    )


QUESTIONS = [
    alive(100, []),
    alive(1000, [Bound("forkful, forkserver", 2), Bound("forkful, fork", 2)]),
    alive(3000, [Bound("forkful, forkserver", 2), Bound("forkful, fork", 2)]),
    alive(10_000, [Bound("forkful, forkserver", 2), Bound("forkful, fork", 2)]),
    weigh(300),
    idle(250),
    idle(1000),
]

if __name__ == "__main__":
    main(QUESTIONS)
