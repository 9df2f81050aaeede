"""On which line a lock was taken: what `LockOwnerDied.where` and `statistics()` tell."""

from __future__ import annotations

import _thread
import functools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import kill, running, until

SOURCE = Path(__file__).read_text().splitlines()


def line(mark: str) -> int:
    """The line of this file that ends with the mark, as a comment."""
    (found,) = (i for i, text in enumerate(SOURCE, 1) if text.endswith(f"# {mark}"))
    return found


def place(mark: str, function: str) -> str:
    return f"{Path(__file__).name}:{line(mark)} in {function}"


def make(ctx: Any) -> dict[str, Any]:
    kinds = {"acquire": "Lock", "with": "RLock", "twice": "Lock", "deep": "RLock"}
    kinds |= {"timeout": "Lock", "partial": "RLock"}
    locks = {name: getattr(ctx, kind)() for name, kind in kinds.items()}
    locks["condition"] = ctx.Condition()
    locks["condition's acquire"] = ctx.Condition(ctx.Lock())
    locks["value"] = ctx.Value("i", 0)
    locks["value's lock"] = ctx.Value("i", 0).get_lock()
    locks["array"] = ctx.Array("i", 2)
    locks["waited"] = ctx.Condition()
    return locks


def deeper(lock: Any) -> None:
    lock.acquire()  # deep


def take_all(locks: dict[str, Any], taken: Any) -> None:
    """Take each lock in another way and keep all."""
    for name in locks:  # each from a line that it is not kept from, first
        with locks[name]:
            pass
    assert locks["acquire"].acquire()  # acquire
    deeper(locks["deep"])
    locks["twice"].acquire()  # twice
    locks["twice"].release()
    locks["twice"].acquire()  # twice again
    locks["timeout"].acquire(True, 5)  # timeout
    functools.partial(locks["partial"].acquire)()  # partial
    locks["condition's acquire"].acquire()  # condition's acquire
    locks["value's lock"].acquire()  # value's lock
    locks["value's lock"].acquire()
    locks["waited"].acquire()
    locks["waited"].wait(0.01)  # waited
    with locks["with"], locks["condition"]:  # with
        with locks["value"]:  # value
            locks["value"].value += 1
            with locks["array"].get_lock():  # array
                locks["array"][0] += locks["array"][1]
                taken.set()
                signal.pause()


WHERE = {
    "acquire": place("acquire", "take_all"),
    "deep": place("deep", "deeper"),
    "twice": place("twice again", "take_all"),
    "timeout": place("timeout", "take_all"),
    "partial": place("partial", "take_all"),
    "condition's acquire": place("condition's acquire", "take_all"),
    "value's lock": place("value's lock", "take_all"),
    "waited": place("waited", "take_all"),
    "with": place("with", "take_all"),
    "condition": place("with", "take_all"),
    "value": place("value", "take_all"),
    "array": place("array", "take_all"),
}


def acquire_of(thing: Any) -> Callable[[], object]:
    acquire: Callable[[], object] = thing.acquire
    return acquire


def test_the_line_on_which_a_dead_owner_took_each_lock_is_told(ctx: Any) -> None:
    locks, taken = make(ctx), ctx.Event()
    assert locks.keys() == WHERE.keys()
    with running(ctx, take_all, locks, taken) as child:
        taken.wait()
        kill(child)
    for name, where in WHERE.items():
        with pytest.raises(forkful.LockOwnerDied) as caught:
            acquire_of(locks[name])()
        assert caught.value.where == where, name
        assert where in str(caught.value)
    lock = locks["acquire"]
    assert lock.recover()  # recovered
    assert lock._taken() == place(
        "recovered", test_the_line_on_which_a_dead_owner_took_each_lock_is_told.__name__
    )
    lock.release()
    assert lock._taken() is None
    with lock:
        pass


def take_in_turns(locks: list[Any], taken: Any) -> None:
    for lock in locks * 1000:
        with lock:
            pass
    for lock in locks:
        lock.acquire()  # in turns
    taken.set()
    signal.pause()


def test_a_line_that_takes_many_locks_is_told_of_each(fork: Any) -> None:
    locks, taken = [fork.Lock(), fork.RLock(), fork.Lock()], fork.Event()
    with running(fork, take_in_turns, locks, taken) as child:
        taken.wait()
        kill(child)
    for lock in locks:
        with pytest.raises(forkful.LockOwnerDied) as caught:
            lock.acquire()
        assert caught.value.where == place("in turns", "take_in_turns")


def test_a_lock_that_a_thread_takes_without_any_python_is_taken_nowhere(fork: Any) -> None:
    lock, before = fork.Lock(), _thread._count()
    _thread.start_new_thread(lock.acquire, ())
    until(lambda: lock._owner() and _thread._count() == before)
    assert lock._taken() is None
    lock.release()


def test_a_lock_that_is_a_threads_whole_work_is_taken_where_that_is_called(fork: Any) -> None:
    lock = fork.Lock()
    thread = threading.Thread(target=lock.acquire)
    thread.run = lock.acquire  # type: ignore[method-assign]
    thread.start()
    thread.join()
    where = lock._taken()
    assert re.fullmatch(r"threading\.py:\d+ in (Thread\.)?_bootstrap_inner", where), where
    lock.release()


def make_and_take(number: int, locks: list[Any], taken: Any) -> None:
    for i, lock in enumerate(locks):
        code = compile(f"{chr(10) * i}lock.acquire()", f"/made/by/{number}/made.py", "exec")
        exec(code, {"lock": lock})
    taken.release()
    signal.pause()


def test_code_that_is_made_while_it_runs_has_its_own_lines(fork: Any) -> None:
    """More lines than are remembered at once, of code that is gone after its use."""
    locks = [fork.Lock() for _ in range(1200)]
    taken = fork.Semaphore(0)
    with running(fork, make_and_take, 1, locks, taken) as child:
        taken.acquire()
        kill(child)
    for i, lock in enumerate(locks, 1):
        with pytest.raises(forkful.LockOwnerDied) as caught:
            lock.acquire()
        assert caught.value.where == f"made.py:{i}"


FILL = """
import forkful

def fill(lock, answers):
    text = "lock.acquire(); told.append(lock._taken()); lock.release()\\n" * 4000
    told = []
    for part in range(3):
        exec(compile(text, f"{part}.py", "exec"), {"lock": lock, "told": told})
    lines = [f"{part}.py:{line}" for part in range(3) for line in range(1, 4001)]
    wrong = [pair for pair in zip(told, lines) if pair[0] not in (None, pair[1])]
    lock.acquire()
    answers.put((len(told), sum(where is not None for where in told), wrong, lock._taken()))

context = forkful.get_context("fork")
lock, answers = context.Lock(), context.Queue()
process = context.Process(target=fill, args=(lock, answers))
process.start()
process.join()
lines, told, wrong, last = answers.get()
assert not wrong, wrong
try:
    lock.acquire()
except forkful.LockOwnerDied as error:
    assert error.where == last, (error.where, last)
    assert ("taken at" in str(error)) == (last is not None)
    print(lines, told)
"""


def test_a_program_with_more_lines_than_there_is_room_for_goes_on_without_some() -> None:
    """In a family of its own: the places of a family are never given back."""
    ran = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True)
    assert ran.stderr == ""
    lines, told = map(int, ran.stdout.split())
    assert lines == 12_000
    assert 0 < told < lines
