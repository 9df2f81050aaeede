"""What do the import and the start of a process cost?

    python bench/startup.py [--quick] [--check] [--json FILE]

Import: a bare interpreter reads the clock, imports, reads it again; the median of several such
interpreters after one whose figure is thrown away (it fetched the files from the disk).
Start: one process after another that does nothing, from `start` to the return of `join`; the first
one, which may start a fork server, is left out. The target returns None: another value, which the others
drop, forkful would send to the parent. In most questions the target is a builtin and the
program has no main file, so a child imports nothing but the package; `small_program.py` has one.
"""

import functools
import gc
import mmap
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import machine
import psutil
from peers import LOOKALIKES, context
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

SMALL_PROGRAM = str(Path(__file__).with_name("small_program.py"))
HELD = 2 * 2**30
NEEDED = HELD + 2**30


def importing(statement: str, count: int) -> float:
    """Return the median over `count` bare interpreters of the seconds that a statement takes."""
    program = (
        "import time; begin = time.perf_counter()\n"
        f"{statement}\n"
        "print(time.perf_counter() - begin, flush=True)\n"
        "import os; os._exit(0)"
    )
    seconds_told_by("-c", program)
    return statistics.median(seconds_told_by("-c", program) for _ in repeat(None, count))


def seconds_told_by(*arguments: str) -> float:
    """Run an interpreter and return the number that it prints.

    Raises:
        ModuleNotFoundError: It failed with this.
        RuntimeError: It failed otherwise.
    """
    # Otherwise packages that are installed in place would be compiled each time, others not.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        kind, _, message = last.partition(": ")
        raise ModuleNotFoundError(message) if kind == "ModuleNotFoundError" else RuntimeError(last)
    return float(done.stdout)


def starting(name: str, method: str, count: int, target: Callable[[], object] = gc.enable) -> float:
    """Return seconds to start and join one of `count` processes, the first one left out."""
    process = context(name, method).Process

    def run_one() -> None:
        child = process(target=target)
        child.start()
        child.join()
        if child.exitcode != 0:
            raise RuntimeError(f"the process ended with {child.exitcode}")

    run_one()
    begin = time.perf_counter()
    for _ in repeat(None, count):
        run_one()
    return (time.perf_counter() - begin) / count


def faults_of_starting(name: str, method: str, count: int) -> float:
    """Return the page faults of a start and join, those of a fork server included."""

    def faults() -> int:
        # Of each: its own, and those of the children that it has waited for.
        here = psutil.Process()
        stats = [Path(f"/proc/{p.pid}/stat").read_text() for p in (here, *here.children())]
        return sum(sum(map(int, stat.rpartition(")")[2].split()[7:9])) for stat in stats)

    starting(name, method, 10)  # the fork server runs, and what is touched once has been
    before = faults()
    starting(name, method, count)
    return (faults() - before) / (count + 1)


def starting_with_a_main_file(name: str, method: str, count: int) -> float:
    return seconds_told_by(SMALL_PROGRAM, name, method, str(count))


def starting_from_a_large_parent(name: str, method: str, count: int) -> float:
    """The same while this process holds 2 GiB that it has written to.

    The memory is on small pages, as in a program that made many small objects; the tables of a few
    huge pages would be quick to copy, and hide what is asked.
    """
    with holding(HELD):
        return starting(name, method, count)


def holding(size: int) -> mmap.mmap:
    held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, mmap.PAGESIZE):
        held[at] = 1
    return held


def bare_fork(count: int) -> float:
    begin = time.perf_counter()
    for _ in repeat(None, count):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
    return (time.perf_counter() - begin) / count


def bare_interpreter(count: int) -> float:
    begin = time.perf_counter()
    for _ in repeat(None, count):
        subprocess.run([sys.executable, "-c", ""], check=True)
    return (time.perf_counter() - begin) / count


def help_of(command: str, count: int) -> float:
    """Return the median over `count` runs of the seconds until a command has shown its help."""
    words = [sys.executable, "-m", "forkful", *command.split(), "--help"]

    def run_one() -> float:
        begin = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin

    run_one()
    return statistics.median(run_one() for _ in repeat(None, count))


def import_question(
    name: str, title: str, statement: str, packages: dict[str, str], bound: Bound
) -> Question:
    return Question(
        name=f"startup.{name}",
        title=title,
        unit="ms",
        per="",
        fair="In a bare interpreter that has imported nothing but time; files in the page cache.",
        entries={
            package: Entry(functools.partial(importing, statement.format(module)))
            for package, module in packages.items()
        },
        count=9,
        quick=3,
        bounds=[bound],
    )


def start_question(method: str, count: int, floor: dict[str, Entry]) -> Question:
    return Question(
        name=f"startup.{method}",
        title=f"Process, start and join, {method}",
        unit="ms",
        per="process",
        fair="One after another; a builtin as target; no main file to import; a small parent.",
        entries={n: Entry(functools.partial(starting, n, method)) for n in LOOKALIKES} | floor,
        count=count,
        quick=max(5, count // 5),
        bounds=[Bound("forkful", 1, "multiprocessing"), Bound("forkful", 1, BEST_PEER)],
    )


def main_file_question(method: str, count: int, goal: float) -> Question:
    return Question(
        name=f"startup.{method}_main_file",
        title=f"Process, start and join, {method}, from a program with a main file",
        unit="ms",
        per="process",
        fair="The target is a function of the main file (small_program.py), which imports "
        "argparse, json, logging, subprocess and unittest.mock.",
        entries={
            n: Entry(functools.partial(starting_with_a_main_file, n, method)) for n in LOOKALIKES
        },
        count=count,
        quick=max(5, count // 5),
        bounds=[Bound("forkful", goal, "multiprocessing")],
    )


def large_parent_question() -> Question:
    short = machine.available_bytes() < NEEDED
    absent = f"left out: needs {NEEDED >> 30} GiB of free memory" if short else ""
    return Question(
        name="startup.large_parent",
        title="Process, start and join, from a parent that holds 2 GiB",
        unit="ms",
        per="process",
        fair="The memory is written to, on small pages. A fork copies its page tables; a fork "
        "server, which is small, does not.",
        entries={
            f"{n}, {m}": Entry(functools.partial(starting_from_a_large_parent, n, m), absent=absent)
            for n in LOOKALIKES
            for m in ("fork", "forkserver")
        },
        count=20,
        quick=5,
        bounds=[Bound("forkful, forkserver", 25, "multiprocessing, fork")],
        baseline="multiprocessing, fork",
    )


REPLACED = "what forkful replaces"
"""`import multiprocessing` imports its context alone; `import forkful` has made the classes of queues, locks
and processes, too. So these are what it must be compared with."""

PACKAGES = {
    **{name: name for name in LOOKALIKES},
    REPLACED: ", ".join(
        f"multiprocessing.{module}" for module in ("context", "process", "queues", "synchronize")
    ),
    "concurrent.futures": "concurrent.futures.process",
    **{name: name for name in ("loky", "joblib", "mpire", "pebble")},
}


def faults_question(method: str, count: int) -> Question:
    return Question(
        name=f"startup.faults_{method}",
        title=f"Page faults of a start and join, {method}",
        unit="faults",
        per="start",
        fair="A builtin as target; no main file; of parent, fork server and child together.",
        entries={
            name: Entry(functools.partial(faults_of_starting, name, method))
            for name in ("forkful", "multiprocessing")
        },
        count=count,
        quick=count,
        rounds=3,
    )


QUESTIONS = [
    import_question(
        "import",
        "import of the package",
        "import {}",
        PACKAGES,
        Bound("forkful", 1 / 1.3, REPLACED, must=True),
    ),
    import_question(
        "import_and_queue",
        "import of the package, and a Queue made",
        "import {0}; {0}.Queue()",
        {name: name for name in LOOKALIKES},
        Bound("forkful", 1 / 1.3, "multiprocessing", must=True),
    ),
    Question(
        name="startup.help",
        title="until help is shown",
        unit="ms",
        per="",
        fair="A whole run of the command, from its start to its end.",
        entries={
            f"forkful {command}".rstrip(): Entry(functools.partial(help_of, command))
            for command in ("", "map", "run", "why")
        },
        count=9,
        quick=3,
        bounds=[Bound("forkful", 150, must=True)],
        baseline="forkful",
    ),
    start_question("fork", 100, {"os.fork": Entry(bare_fork, aside="floor: fork and waitpid")}),
    start_question(
        "spawn",
        10,
        {"python -c ''": Entry(bare_interpreter, aside="floor: an interpreter that does nothing")},
    ),
    start_question("forkserver", 30, {}),
    main_file_question("spawn", 10, goal=1),
    main_file_question("forkserver", 30, goal=5),
    large_parent_question(),
    faults_question("fork", 50),
    faults_question("forkserver", 50),
    faults_question("spawn", 20),
]

if __name__ == "__main__":
    main(QUESTIONS)
