"""`forkful run --report`: an account of each process, on standard error, when the program has ended."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from forkful.report import processes
from tests.run.conftest import Run

Program = Callable[..., str]

FAMILY = """
    import multiprocessing, os, signal, sys

    def good():
        print("good", flush=True)

    def bad():
        sys.stderr = open(os.devnull, "w")
        raise ValueError("no good")

    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    def outer():
        inner = multiprocessing.Process(target=good, name="inner")
        inner.start()
        inner.join()

    def odd(x):
        if x % 2:
            raise KeyError(x)

    if __name__ == "__main__":
        multiprocessing.set_start_method("METHOD")
        for target in (good, bad, killed, outer):
            p = multiprocessing.Process(target=target, name=target.__name__)
            p.start()
            p.join()
        with multiprocessing.Pool(1) as pool:
            for x in range(3):
                try:
                    pool.apply(odd, (x,))
                except KeyError:
                    print("KeyError", flush=True)
        sys.exit(5)
    """


def rows(text: str) -> dict[str, str]:
    """The rows of the table by the process's name, with its place in the tree, without its pid."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([ |`-]*)([\w:-]+) +\d+  (.*)", line)
        if match:
            name = re.sub(r"\d+", "N", match[2])
            found[match[1] + name] = re.sub(r" +", " ", match[3]).strip()
    return found


def test_each_process_is_told_of_with_its_end(
    program: Program, plain: Run, forkful_run: Run, start_method: str
) -> None:
    name = program(FAMILY.replace("METHOD", start_method))
    expected = plain(name)
    ran = forkful_run("--report", name)
    assert (ran.status, ran.out) == (expected.status, expected.out) == (5, ran.out)
    told = rows(ran.err)
    kind = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[start_method]
    worker = f"`- {kind}PoolWorker-N"
    assert list(told) == [
        *("MainProcess", "|- good", "|- bad", "|- killed", "|- outer", "|  `- inner", worker)
    ]
    ends = {name: row.split(" ")[0] for name, row in told.items()}
    assert ends["|- killed"] == "SIGKILL"
    assert ends[worker] == "SIGTERM"
    assert {name: told[name].split(" ")[1] for name in told if ends[name] == "exit"} == {
        "MainProcess": "5",
        "|- good": "0",
        "|- bad": "1",
        "|- outer": "0",
        "|  `- inner": "0",
    }
    known = [name for name in told if ends[name] == "exit" or start_method != "forkserver"]
    for process in known:
        assert re.search(r"[\d.]+ m?s [\d,]+ MiB", told[process]), told[process]
    assert re.search(r"bad \(pid \d+\): ValueError: no good\n", ran.err)
    assert re.search(rf"{kind}PoolWorker-\d+ \(pid \d+\): KeyError: 1\n", ran.err)
    assert re.match(r"forkful run: 7 processes, 3 ended with a failure\n", ran.err)


def test_a_program_that_is_killed_is_told_of(program: Program, forkful_run: Run) -> None:
    ran = forkful_run("--report", program("import os; os.kill(os.getpid(), 9)"))
    assert ran.status == -9
    assert "MainProcess" in ran.err
    assert "SIGKILL" in ran.err


def test_the_uncaught_error_of_the_program_is_told(program: Program, forkful_run: Run) -> None:
    ran = forkful_run("--report", program("raise OSError('no disk')"))
    assert ran.status == 1
    assert re.search(r"errors:\n  MainProcess \(pid \d+\): OSError: no disk\n$", ran.err)


TOLD = """\
{"event": "began", "pid": 10, "time": 1, "name": "MainProcess", "parent": null, "method": null}
{"event": "began", "pid": 11, "time": 2, "name": "first", "parent": 10, "method": "fork"}
{"event": "ended", "pid": 11, "time": 3, "cpu": 0.25, "peak": 2097152}
{"event": "reaped", "pid": 11, "time": 3, "exitcode": 0, "cpu": 0.5, "peak": 4194304}
{"event": "began", "pid": 11, "time": 4, "name": "same pid", "parent": 10, "method": "fork"}
{"event": "began", "pid": 13, "time": 4, "name": "below", "parent": 11, "method": "spawn"}
{"event": "reaped", "pid": 12, "time": 4, "exitcode": -11, "cpu": 0.5, "peak": 4194304}
{"event": "reaped", "pid": 11, "time": 5, "exitcode": 3}
"""


def test_the_tree_is_read_from_what_was_told() -> None:
    tree = processes.read(TOLD + failures(11, 7), 10, 0, 1.5, 1 << 20)
    assert processes.lines(tree) == [
        "forkful run: 5 processes, 2 ended with a failure",
        "process      pid  ended                 cpu   peak  errors",
        "MainProcess   10  exit 0             1.50 s  1 MiB",
        "|- first      11  exit 0             250 ms  2 MiB",
        "|- same pid   11  exit 3                  ?      ?       7",
        "|  `- below   13  nobody saw it end       ?      ?",
        "`- ?          12  SIGSEGV            500 ms  4 MiB",
        "errors:",
        *(f"  same pid (pid 11): E: {n}" for n in range(5)),
        "  same pid (pid 11): 2 more",
    ]


def failures(pid: int, number: int) -> str:
    line = '{{"event": "failed", "pid": {}, "time": 6, "text": "E: {}"}}\n'
    return "".join(line.format(pid, n) for n in range(number))


@pytest.mark.parametrize("number", [1, 2])
def test_one_process_is_called_so(number: int) -> None:
    more = '{"event": "began", "pid": 2, "time": 1, "name": "x", "parent": 1, "method": "fork"}\n'
    tree = processes.read(more * (number - 1), 1, 0, 0.0, 0)
    first = processes.lines(tree)[0]
    assert first == f"forkful run: {number} process{'es' * (number > 1)}, 0 ended with a failure"
