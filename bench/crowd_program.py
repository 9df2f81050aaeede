"""A program that has many processes alive at once; it imports nothing that it does not need.

    python bench/crowd_program.py {time,weight,idle} PACKAGE METHOD COUNT
    python bench/crowd_program.py time os.fork KIB COUNT

Processes are started one after another; each writes a byte to a pipe when it is there, and waits for an event.
What it prints, a number: `time`, seconds until the last one is there, for each; `weight`, the mean proportional set
size in MiB of a hundred of them; `idle`, the processor time in ms that they and their starter take in a second.
With os.fork, a process writes to so many KiB that its parent has written to, and waits for the end of a pipe.
"""

import importlib
import mmap
import os
import sys
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

WEIGHED = 100


def be_there(event: Any, fifo: str) -> None:
    fd = os.open(fifo, os.O_WRONLY)
    os.write(fd, b".")
    os.close(fd)
    event.wait()


def crowd(
    package: str, method: str, count: int, look: Callable[[float, list[int]], float]
) -> float:
    """Have `count` processes alive; return what `look` finds, given the seconds that took and their pids."""
    context = importlib.import_module(package).get_context(method)
    warm = context.Process(target=time.time)
    warm.start()
    warm.join()
    event = context.Event()
    fifo = f"/tmp/crowd-{os.getpid()}"
    os.mkfifo(fifo)
    hear = os.open(fifo, os.O_RDWR)
    processes = []
    try:
        begin = time.perf_counter()
        for _ in repeat(None, count):
            processes.append(context.Process(target=be_there, args=(event, fifo)))
            processes[-1].start()
        wait_for(hear, count)
        return look(time.perf_counter() - begin, [process.pid for process in processes])
    finally:
        os.close(hear)
        os.unlink(fifo)
        event.set()
        for process in processes:
            process.join()


def wait_for(fd: int, count: int) -> None:
    there = 0
    while there < count:
        there += len(os.read(fd, 65536))


def forked(kib: int, count: int) -> float:
    """The same with os.fork and pipes: what the kernel and the machine take."""
    gate, open_gate = os.pipe()
    there, i_am_there = os.pipe()
    pages = range(0, kib * 1024, mmap.PAGESIZE)
    memory = mmap.mmap(-1, max(1, kib) * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in pages:
        memory[page] = 1
    pids = []
    begin = time.perf_counter()
    for _ in repeat(None, count):
        pid = os.fork()
        if not pid:
            for page in pages:
                memory[page] = 2
            os.close(open_gate)
            os.write(i_am_there, b".")
            os.read(gate, 1)
            os._exit(0)
        pids.append(pid)
    wait_for(there, count)
    seconds = time.perf_counter() - begin
    os.close(open_gate)
    for pid in pids:
        os.waitpid(pid, 0)
    return seconds / count


def seconds_each(seconds: float, pids: list[int]) -> float:
    return seconds / len(pids)


def mib_each(_: float, pids: list[int]) -> float:
    some = pids[:: max(1, len(pids) // WEIGHED)]
    return sum(map(weight, some)) / len(some)


def weight(pid: int) -> float:
    """Return the proportional set size of a process in MiB."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError(f"the kernel does not tell the weight of process {pid}")


def idle_ms(_: float, pids: list[int]) -> float:
    everyone = [os.getpid(), *pids]
    time.sleep(2)  # all wait for long by then
    begin, before = time.perf_counter(), ticks(everyone)
    time.sleep(5)
    taken = (ticks(everyone) - before) / os.sysconf("SC_CLK_TCK")
    return taken / (time.perf_counter() - begin) * 1000


def ticks(pids: list[int]) -> int:
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            total += sum(map(int, file.read().rpartition(")")[2].split()[11:13]))
    return total


LOOKS = {"time": seconds_each, "weight": mib_each, "idle": idle_ms}

if __name__ == "__main__":
    look, package, method, count = sys.argv[1:]
    if package == "os.fork":
        found = forked(int(method), int(count))
    else:
        found = crowd(package, method, int(count), LOOKS[look])
    print(found, flush=True)
