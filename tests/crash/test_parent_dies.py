"""A parent is killed: what belongs to it ends, what does not goes on and can know; nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.children import LONG, is_gone, until


@contextlib.contextmanager
def family(method: str, folder: Path, *options: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """A program with children of each kind, some in calls that never return, and their pids."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.family", method, str(folder), *options],
        env=os.environ | {"FORKFUL_GRACE": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids: dict[str, int] = {}
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        assert line, program.communicate()
        pids = json.loads(line)
        yield program, pids
    finally:
        for pid in pids.values():
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)
        program.kill()
        program.communicate()


@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "other thread"])
def test_what_belongs_to_a_killed_parent_ends_and_other_children_learn_of_it(
    start_method: str, tmp_path: Path, thread: bool
) -> None:
    """A task that handles SIGTERM and goes on is among it, and processes that ignore it or are stopped."""
    before = set(os.listdir("/dev/shm"))
    with family(start_method, tmp_path, *["thread"] * thread) as (parent, pids):
        independent = pids.pop("independent")
        assert not any(map(is_gone, [*pids.values(), independent]))
        os.kill(pids["daemon"], signal.SIGSTOP)
        parent.kill()
        parent.wait(LONG)
        until(lambda: all(map(is_gone, pids.values())))
        until((tmp_path / "parent is dead").exists)
        assert not is_gone(independent)
        os.kill(independent, signal.SIGKILL)
        until(lambda: is_gone(independent))
        pids.clear()
    assert set(os.listdir("/dev/shm")) <= before


def test_sigterm_ends_the_whole_tree_in_order(start_method: str, tmp_path: Path) -> None:
    """A server with a process per client, a pool, a manager, and children of children, daemonic or not.

    One of them ignores the signal, and one handles it and goes on.
    """
    before = set(os.listdir("/dev/shm"))
    with family(start_method, tmp_path, "serve") as (parent, pids), contextlib.ExitStack() as stack:
        port = tmp_path / "port"
        until(lambda: port.exists() and port.read_text())
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", int(port.read_text()))))
            for _ in range(2)
        ]
        pids |= {f"client {n}": int(client.recv(100)) for n, client in enumerate(clients)}
        assert not any(map(is_gone, pids.values()))
        parent.terminate()
        _, err = parent.communicate(timeout=LONG)
        assert (parent.returncode, err) == (-signal.SIGTERM, "")
        until(lambda: all(map(is_gone, pids.values())))
        assert [client.recv(1) for client in clients] == [b"", b""]
    for name in ("finally", "atexit", "finally between"):
        assert (tmp_path / name).exists(), name
    assert set(os.listdir("/dev/shm")) <= before


def marked(mark: str) -> list[int]:
    """The processes that have a variable of that value in their environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in Path("/proc", name, "environ").read_bytes() and not is_gone(
                int(name)
            ):
                found.append(int(name))
    return found


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_program_that_is_killed_while_it_starts_processes(
    start_method: str, signum: signal.Signals, rand: random.Random
) -> None:
    """At the n-th start, just before or after there is a child; and at any moment."""
    whens = rand.sample(["before", "after", "started"], 2)
    for point in [*(f"{when}:{rand.choice([1, 2, 3, 4])}" for when in whens), "never"]:
        mark = f"at {point} of {rand.random()}"
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.programs.killed_early", start_method, point, signum.name],
            env=os.environ | {"FORKFUL_TEST_MARK": mark, "FORKFUL_GRACE": "2"},
            stderr=subprocess.DEVNULL,  # of children that find no parent
        )
        try:
            if point == "never":
                time.sleep(rand.uniform(0, 0.5))  # sleep: a moment at random is what is wanted
                program.send_signal(signum)
            assert program.wait(LONG) == -signum, point
            until(lambda mark=mark: not marked(mark))
        finally:
            program.kill()
            program.wait()
            for pid in marked(mark):
                os.kill(pid, signal.SIGKILL)


def test_ctrl_c_of_a_program_that_leaves_its_pool_open_ends_it_as_plain_python(
    start_method: str, tmp_path: Path
) -> None:
    """The pool is ended by the interpreter's end, which must not hide why the program ended."""
    with family(start_method, tmp_path, "pool only") as (parent, pids):
        os.killpg(parent.pid, signal.SIGINT)
        _, err = parent.communicate(timeout=LONG)
        assert parent.returncode == -signal.SIGINT  # a shell says 130
        assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1, err
        until(lambda: all(map(is_gone, pids.values())))


@pytest.mark.parametrize("state", ["start", "join", "map", "call"])
def test_ctrl_c_is_one_traceback_wherever_the_program_waits(
    start_method: str, tmp_path: Path, state: str, rand: random.Random
) -> None:
    """While it starts workers, joins children, maps, or calls a manager."""
    mark = f"{state} {rand.random()}"
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.interrupted", start_method, state, str(tmp_path)],
        env=os.environ | {"FORKFUL_TEST_MARK": mark},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until((tmp_path / "ready").exists)
        if state == "start":
            time.sleep(rand.uniform(0, 0.3))  # sleep: a moment at random is what is wanted
        os.killpg(program.pid, signal.SIGINT)
        _, err = program.communicate(timeout=LONG)
        assert program.returncode == -signal.SIGINT, err  # a shell says 130
        assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1, err
        until(lambda: not marked(mark))
    finally:
        program.kill()
        program.communicate()
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


def test_ctrl_c_at_the_birth_of_a_worker_is_the_parents_affair(start_method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.born_interrupted", start_method],
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 4] [False, False, False] False\n[5]\n", "")


ORPHAN = """
import os, signal, sys
import forkful

def outlive():
    forkful.parent_process().join()
    raise ValueError("mine")

if __name__ == "__main__":
    forkful.get_context(sys.argv[1]).Process(target=outlive).start()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_fails_when_its_parent_is_gone_tells_its_own_error_alone(
    start_method: str, tmp_path: Path
) -> None:
    """Its report was the parent's to read, and is gone with it."""
    program = tmp_path / "orphan.py"
    program.write_text(ORPHAN)
    command = [sys.executable, str(program), start_method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)  # to its end, too
    assert done.returncode == -signal.SIGKILL
    assert done.stderr.rstrip().endswith("ValueError: mine")
    assert done.stderr.count("Traceback") == 1
