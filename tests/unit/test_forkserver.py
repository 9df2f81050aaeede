"""The fork server's program: what a child closes, and that the rehearsal changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from forkful.launch.marks import Marks


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([], []),
        ([7], [(7, 8)]),
        ([3, 4, 5], [(3, 6)]),
        ([3, 4, 6, 8, 9], [(3, 5), (6, 7), (8, 10)]),
        ([9, 0, 700, 3, 701], [(0, 1), (3, 4), (9, 10), (700, 702)]),
    ],
)
def test_runs_cover_the_numbers_and_no_others(
    numbers: list[int], runs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "closerange", lambda low, high: closed.append((low, high)))
    Marks(*numbers).close()
    assert closed == runs


def test_what_was_taken_out_stays_open() -> None:
    gone, kept, also_gone = (os.open(os.devnull, os.O_RDONLY) for _ in range(3))
    marks = Marks(gone, kept)
    marks.discard(kept)
    marks.add(also_gone)
    marks.close()
    os.fstat(kept)
    os.close(kept)
    for fd in (gone, also_gone):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


REHEARSAL = """
import gc, os, signal, sys, threading
from multiprocessing import context, process, resource_tracker, util

from forkful import _native
from forkful.launch import interrupts, rehearsal, serving
from forkful.launch.defaults import defaults
from forkful.launch.forkserver import server

made = []

def as_now():
    read = serving._as_now()

    def make(*given):
        made.append(read(*given))
        return made[-1]

    return make

def state():
    return {
        "process": {name: value for name, value in vars(process).items() if name != "_dangling"},
        "alive": list(process._dangling),
        "next": repr(process._process_counter),
        "here": vars(process.current_process()).copy(),
        "method": (defaults.start_method, context._default_context._actual_context),
        "server": vars(server).copy(),
        "tracker": vars(resource_tracker._resource_tracker).copy(),
        "at the end": util._finalizer_registry.copy(),
        "files": sorted(os.listdir("/proc/self/fd")),
        "handlers": [signal.getsignal(number) for number in signal.valid_signals()],
        "mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "paths": (sys.path, list(sys.path), sys.argv, os.readlink("/proc/self/cwd")),
        "stdin": sys.stdin,
        "threads": (threading.enumerate(), threading.main_thread().ident, threading.main_thread().is_alive()),
        "family": _native.describe(_native.find(os.getpid())),
    }

PREPARE
_native.found()
process.current_process()._name = "a name"
_native.set_name("forkserver")
serving.bootstrap.read_nothing()
with interrupts.interrupts_held():
    gc.collect()
    before = state()
    rehearsal.rehearse(as_now)
    gc.collect()
    after = state()
print(len(made), *(key for key in before if before[key] != after[key]))
"""


def rehearsed(prepare: str = "") -> str:
    """Rehearse in an interpreter of its own; return how often, and what is otherwise than before."""
    command = [sys.executable, "-c", REHEARSAL.replace("PREPARE", prepare)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_rehearsal_leaves_the_process_as_it_is() -> None:
    times, *changed = rehearsed().split()
    assert int(times) > 8, "a step has failed, or is not done often enough to be specialised"
    assert changed == []


def test_nothing_is_rehearsed_where_a_thread_would_see_it() -> None:
    start = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    assert rehearsed(start) == "0"


def test_a_rehearsal_that_fails_does_no_harm() -> None:
    times, *changed = rehearsed("serving._native.stream_take = None").split()
    assert (times, changed) == ("1", [])
    gone = "import tempfile; os.chdir(tempfile.mkdtemp()); os.rmdir(os.getcwd())"
    assert rehearsed(gone) == "0"
