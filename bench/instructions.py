"""How many instructions do the hot paths take? Counted by callgrind, so the machine's load does not matter.

    python bench/instructions.py [--check] [--update]

The figures include the loop round each operation; kernel time is not in them. Which keys of a dict collide depends
on the seed of the hashes of strings, and with it a count by up to 2 %: so the seed is always the same. The figures
depend on the Python, the compiler and the C library, too: `instructions.toml` has a budget for each minor version that
was measured, and `--check` ends with 1 if a path needs more than its budget. `--update` writes budgets a little above
what was found.
Needs valgrind.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

BUDGETS = Path(__file__).with_name("instructions.toml")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
WARM_UP, COUNT = 300, 1000
BATCH = 16
MESSAGE = {"id": 12345, "name": "forkful", "price": 9.75}


def paths() -> Iterator[tuple[str, Callable[[], object]]]:
    """Each hot path that one process can go alone, without waiting."""
    import forkful
    from forkful import shared, wire

    ctx = forkful.get_context("fork")
    lock, rlock, semaphore = ctx.Lock(), ctx.RLock(), ctx.Semaphore(2)
    event, queue, joinable = ctx.Event(), ctx.Queue(), ctx.JoinableQueue()
    value, (here, there) = ctx.Value("i", 0), ctx.Pipe()
    guard = value.get_lock()

    def pair(one: Callable[[], object], other: Callable[[], object]) -> Callable[[], object]:
        def both() -> None:
            one()
            other()

        return both

    def increment() -> None:
        with guard:
            value.value += 1

    def through(put: Callable[[object], object], get: Callable[[], object]) -> Callable[[], object]:
        def both() -> None:
            put(MESSAGE)
            get()

        return both

    def joined() -> None:
        joinable.put(MESSAGE)
        joinable.get()
        joinable.task_done()

    yield "Lock, acquire and release", pair(lock.acquire, lock.release)
    yield "RLock, acquire and release", pair(rlock.acquire, rlock.release)
    yield "Semaphore, acquire and release", pair(semaphore.acquire, semaphore.release)
    yield "Event, set and clear", pair(event.set, event.clear)
    yield "Value, locked increment", increment
    yield "Queue, put and get of a small dict", through(queue.put, queue.get)
    yield "JoinableQueue, put, get, task_done", joined
    yield "Pipe, send and recv of a small dict", through(here.send, there.recv)
    yield "wire, dumps and loads of a small dict", lambda: wire.loads(wire.dumps(MESSAGE))

    batch, table, rows = [MESSAGE] * BATCH, shared.Dict(), shared.List(range(BATCH))

    def by_many() -> None:
        queue.put_many(batch)
        queue.get_many(BATCH)

    def by_key() -> None:
        table["key"] = 1
        table["key"]

    def by_index() -> None:
        rows[-1] = 1
        rows[-1]

    def at_the_end() -> None:
        rows.append(1)
        rows.pop()

    yield f"Queue, put_many and get_many of {BATCH}", by_many
    yield "shared.Dict, set and get", by_key
    yield "shared.List, set and get by index", by_index
    yield "shared.List, append and pop", at_the_end


def run_here() -> None:
    """Under callgrind: go each path, and enter the function at which it writes down its counts."""
    from forkful import _native

    for _, path in paths():
        for _ in repeat(None, WARM_UP):
            path()
        _native.statistics()
        for _ in repeat(None, COUNT):
            path()
        _native.statistics()


def count() -> dict[str, int]:
    """Return the instructions of one operation of each path."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "counts")
        command = ["valgrind", "--tool=callgrind", "--dump-before=statistics"]
        done = subprocess.run(
            [*command, f"--callgrind-out-file={out}", sys.executable, __file__, "--here"],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            sys.exit(f"callgrind has failed:\n{done.stdout}")
        parts = sorted(out.parent.glob("counts.*"), key=lambda part: int(part.suffix[1:]))
        found = [re.search(r"^totals: (\d+)", part.read_text(), re.M) for part in parts]
    names = [name for name, _ in paths()]
    if len(found) != 2 * len(names) or not all(found):
        sys.exit(f"callgrind has written {len(found)} counts for {len(names)} paths")
    return {
        name: int(match[1]) // COUNT
        for name, match in zip(names, found[1::2], strict=True)
        if match
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the instructions of the hot paths.")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if one is over its budget"
    )
    parser.add_argument("--update", action="store_true", help="write budgets from what is found")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        run_here()
        return
    if not shutil.which("valgrind"):
        sys.exit("LEFT OUT: valgrind, which counts instructions, is not installed")
    budgets = tomllib.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    found, allowed = count(), budgets.get(VERSION, {})
    over = {name for name, number in found.items() if number > allowed.get(name, number)}
    for name, number in found.items():
        verdict = "OVER" if name in over else "" if name in allowed else "no budget"
        print(f"{name:40} {number:8,} {allowed.get(name, 0):8,}  {verdict}".rstrip())
    if options.update:
        budgets[VERSION] = {name: number + number // 33 for name, number in found.items()}
        lines = [
            "# Instructions of an operation, at most, by Python's version: see instructions.py."
        ]
        for version in sorted(budgets):
            lines += ["", f'["{version}"]']
            lines += [f'"{name}" = {number}' for name, number in budgets[version].items()]
        BUDGETS.write_text("\n".join(lines) + "\n")
        return  # what was over its budget has a new one now
    if options.check and not allowed:
        print(f"LEFT OUT: {BUDGETS.name} has no budget for Python {VERSION}")
    if options.check and over:
        sys.exit(f"{len(over)} of {len(found)} paths need more instructions than their budget")


if __name__ == "__main__":
    main()
