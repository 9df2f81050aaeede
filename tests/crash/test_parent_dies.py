"""A parent is killed: what belongs to it ends, what does not goes on and can know; nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.children import LONG, is_gone, until


@contextmanager
def family(method: str, folder: Path, *options: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """A program with children of each kind, some in calls that never return, and their pids."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.programs.family", method, str(folder), *options],
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
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_what_belongs_to_a_killed_parent_ends_and_other_children_learn_of_it(
    start_method: str, tmp_path: Path, signum: signal.Signals, thread: bool
) -> None:
    before = set(os.listdir("/dev/shm"))
    with family(start_method, tmp_path, *["thread"] * thread) as (parent, pids):
        independent = pids.pop("independent")
        assert not any(map(is_gone, [*pids.values(), independent]))
        parent.send_signal(signum)
        parent.wait(LONG)
        assert parent.returncode == -signum
        until(lambda: all(map(is_gone, pids.values())))
        until((tmp_path / "parent is dead").exists)
        assert not is_gone(independent)
        os.kill(independent, signal.SIGKILL)
        until(lambda: is_gone(independent))
        pids.clear()
    assert set(os.listdir("/dev/shm")) <= before


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


def test_ctrl_c_at_the_birth_of_a_worker_is_the_parents_affair() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.programs.born_interrupted"],
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (done.stdout, done.stderr) == ("[0, 1, 4] [False, False, False] False\n", "")
