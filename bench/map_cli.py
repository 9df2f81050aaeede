"""How fast is `forkful map` with a function that takes no time, and does its memory grow?

    python bench/map_cli.py [--quick] [--check] [--json FILE]

The function is `len`, the items are the lines of a file, the results go to another file. A rate is
the number of lines over the whole time of the command, its start and end included; afterwards the
lines of the result are counted. GNU parallel and xargs start a program for each item, because that
is what they do: they get `echo`, and fewer lines. Memory is that of the command and of all
processes that it starts.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from process_tree import peak_bytes
from question import BEST_PEER, Bound, Entry, Question
from side_by_side import main

HERE = Path(__file__).parent
JOBS = "2"
LOOK_EVERY = 0.05


def command(name: str, lines: str, results: str) -> tuple[list[str], str | None]:
    """Return the program with its arguments, and where its standard output must go, if anywhere."""
    if name == "forkful":
        map_ = [sys.executable, "-m", "forkful", "map", "builtins:len", "--lines", lines]
        return [*map_, "--jobs", JOBS, "--output", results, "--progress", "never"], None
    if name.startswith("imap"):
        chunksize = name.rpartition("=")[2]
        return [sys.executable, str(HERE / "imap_program.py"), chunksize, lines, results], None
    if name == "GNU parallel":
        return ["parallel", "--will-cite", "-j", JOBS, "-a", lines, "echo"], results
    return ["xargs", "-P", JOBS, "-n", "1", "-a", lines, "echo"], results


def run(name: str, count: int, watch_memory: bool) -> float:
    """Map over `count` lines; return seconds, or the peak memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        lines, results = os.path.join(folder, "lines"), os.path.join(folder, "results")
        with open(lines, "w") as file:
            file.writelines(f"item-{number:07}\n" for number in range(count))
        words, output = command(name, lines, results)
        if not shutil.which(words[0]):
            raise ModuleNotFoundError(f"{words[0]} is not on the PATH")
        with open(output or os.devnull, "w") as stdout, tempfile.TemporaryFile() as stderr:
            begin = time.perf_counter()
            try:
                if watch_memory:
                    figure: float = peak_bytes(words, LOOK_EVERY, stdout=stdout, stderr=stderr)
                else:
                    subprocess.run(words, stdout=stdout, stderr=stderr, check=True)
                    figure = time.perf_counter() - begin
            except subprocess.CalledProcessError as error:
                stderr.seek(0)
                last_line = stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise RuntimeError(f"exit status {error.returncode}: {last_line}") from None
        with open(results, "rb") as file:
            written = sum(1 for _ in file)
        if written != count:
            raise AssertionError(f"{written} results for {count} lines")
    return figure


def rate(name: str, count: int) -> float:
    return count / run(name, count, watch_memory=False)


def memory(name: str, times: int, count: int) -> float:
    return run(name, times * count, watch_memory=True) / 2**20


IMAP_1, IMAP_500 = "imap, chunksize=1", "imap, chunksize=500"

QUESTIONS = [
    Question(
        name="map_cli.rate",
        title="forkful map builtins:len --lines FILE, against what people use instead",
        unit="items/s",
        per="",
        fair="2 workers; the whole command, start and end included; results in a file, counted. "
        "forkful writes seq, input, result, seconds, attempts and pid of each item, the imap "
        "program seq and result. GNU parallel and xargs start a program for each item.",
        entries={
            "forkful": Entry(functools.partial(rate, "forkful")),
            IMAP_1: Entry(functools.partial(rate, IMAP_1), count=200_000),
            IMAP_500: Entry(
                functools.partial(rate, IMAP_500), aside="chunks chosen by hand for such a task"
            ),
            "GNU parallel": Entry(functools.partial(rate, "GNU parallel"), count=1_000),
            "xargs": Entry(functools.partial(rate, "xargs"), count=5_000),
        },
        count=1_000_000,
        quick=100_000,
        baseline=IMAP_1,
        more_is_better=True,
        rounds=3,
        limit=300,
        bounds=[Bound("forkful", 50_000, must=True), Bound("forkful", 1, BEST_PEER)],
    ),
    Question(
        name="map_cli.memory",
        title="Peak memory of the process tree, for N and for 10 N lines",
        unit="MiB",
        per="",
        fair=f"The sum of PSS, looked at every {LOOK_EVERY} s; 2 workers. The count is N.",
        entries={
            f"{name}, {label}": Entry(functools.partial(memory, name, times))
            for name in ("forkful", IMAP_500)
            for label, times in (("N", 1), ("10 N", 10))
        },
        count=100_000,
        quick=10_000,
        baseline=f"{IMAP_500}, N",
        rounds=3,
        limit=300,
        # Ten times the lines may cost a tenth more: chance, not growth.
        bounds=[Bound("forkful, 10 N", 1 / 1.1, "forkful, N", must=True)],
    ),
]

if __name__ == "__main__":
    main(QUESTIONS)
