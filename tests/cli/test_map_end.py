"""How a run ends: exit status, signals, and the last words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import termios
from collections.abc import Callable

import pytest

from tests.cli.conftest import Gate, Map, by_seq
from tests.kit import procs

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.mark.parametrize(
    ("odd", "status"), [(0, 0), (1, 1), (7, 7), (100, 100), (101, 101), (150, 101)]
)
def test_the_exit_status_is_the_number_of_failures(forkful_map: Map, odd: int, status: int) -> None:
    items = ["2", *["1"] * odd]

    assert forkful_map(*items, deed="refuse_odd").status == status


@pytest.mark.parametrize(
    ("signum", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "the terminal was closed"),
    ],
)
def test_a_signal_ends_the_run_and_what_was_done_is_told(
    started: Start, gate: Gate, signum: int, status: int, word: str
) -> None:
    process = started("a", gate.path, gate.path, "b", "-j", "1", deed="at_gate")
    assert process.stdout is not None
    assert process.stderr is not None
    first = process.stdout.readline()
    workers = procs.descendants(process.pid)

    process.send_signal(signum)
    out, err = process.communicate(timeout=50)

    assert process.returncode == status
    assert [line["input"] for line in by_seq((first + out).decode())] == ["a"]
    said = err.decode().splitlines()
    assert said[0].endswith("1 succeeded, 0 failed")
    assert said[1] == f"ended early: {word}"
    assert said[-1] == f"forkful map: {word}"
    assert "Traceback" not in err.decode()
    assert not any(procs.lives(worker) for worker in workers)


def test_ctrl_c_at_a_terminal_reaches_everybody_and_ends_the_same(
    started: Start, gate: Gate
) -> None:
    process = started("a", gate.path, "-j", "2", deed="at_gate", start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()

    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=50)

    assert process.returncode == 130
    assert b"Traceback" not in err
    assert err.count(b"interrupted") == 2  # in the summary, and as the last line


def test_a_signal_while_the_input_is_awaited(started: Start) -> None:
    process = started(deed="same", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"a\n")
    process.stdin.flush()
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=50) == 130


def test_a_signal_before_the_first_item(started: Start) -> None:
    process = started(deed="same", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(b"half a line")
    process.stdin.flush()
    waiting = bytearray(4)
    while fcntl.ioctl(process.stdin, termios.FIONREAD, waiting) or any(waiting):
        os.sched_yield()

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=50) == 130
    assert process.stderr.read() == b"forkful map: interrupted\n"


def test_a_signal_while_nobody_reads_the_results(started: Start) -> None:
    process = started(deed="same", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdin.fileno(), False)
    full = 60_000  # bytes: a pipe takes 65,536
    while int.from_bytes(fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)), "little") < full:
        with contextlib.suppress(BlockingIOError):
            os.write(process.stdin.fileno(), b"x" * 4000 + b"\n")

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=50) == 143


def test_workers_end_with_a_parent_that_is_killed(started: Start, gate: Gate) -> None:
    process = started("a", gate.path, gate.path, "-j", "2", deed="at_gate")
    assert process.stdout is not None
    process.stdout.readline()
    workers = procs.descendants(process.pid)
    assert workers

    process.kill()
    process.wait()

    while any(procs.lives(worker) for worker in workers):
        os.sched_yield()


def test_the_summary(forkful_map: Map) -> None:
    ran = forkful_map("2", "1", "3", deed="refuse_odd")

    first, slowest, *items = ran.err.splitlines()
    assert first.startswith("3 items in ")
    assert first.endswith(": 1 succeeded, 2 failed")
    assert slowest == "slowest:"
    assert sorted(line.split("#")[1] for line in items[:3]) == ["0 2", "1 1", "2 3"]
    kind, example = items[4:]
    assert items[3] == "failures:"
    assert kind in ("  2 x ValueError, first #1 1", "  2 x ValueError, first #2 3")
    assert example in ("      1 is odd", "      3 is odd")
