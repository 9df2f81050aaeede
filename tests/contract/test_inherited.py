"""What a process has by a fork from the one that made it: it does its parent no harm, and waits for nobody who is not
there. For pools see `test_pool_inherited`.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.children import LONG


def in_fork(what: Callable[[], Any]) -> Any:
    """What this returns, or raises, in a child by plain `os.fork()`, which has ended then."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(LONG)  # who waits for ever here is not to leave the test waiting
        try:
            os.close(r)
            try:
                told = True, what()
            except BaseException as e:
                told = False, e
            with open(w, "wb") as answer:
                pickle.dump(told, answer)
        finally:
            os._exit(0)
    os.close(w)
    with open(r, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    assert data, "the child has ended before it could tell"
    fine, value = pickle.loads(data)
    if not fine:
        raise value
    return value


@contextmanager
def held_by_a_thread(lock: Any) -> Iterator[None]:
    """Another thread has the lock meanwhile."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LONG)
    try:
        yield
    finally:
        release.set()
        thread.join()


# ---- locks ---------------------------------------------------------------------------------------


GUARDS = pytest.mark.parametrize("noun", ["Lock", "RLock", "Condition", "Value", "Semaphore"])


def guard(ctx: Any, noun: str) -> Any:
    return ctx.Value("i", 0) if noun == "Value" else getattr(ctx, noun)()


def is_free(guard: Any) -> bool:
    """Whether another process could take it."""

    def take() -> bool:
        taken: bool = getattr(guard, "get_lock", lambda: guard)().acquire(False)
        if taken:
            getattr(guard, "get_lock", lambda: guard)().release()
        return taken

    return bool(in_fork(take))


@GUARDS
@pytest.mark.parametrize("way", ["exception", "end"])
def test_a_process_that_was_forked_in_a_with_block_leaves_it_to_its_parent(
    fork: Any, noun: str, way: str
) -> None:
    """With the standard library it releases what its parent holds, and two are inside."""
    held = guard(fork, noun)
    with held:

        def come_out() -> str:
            try:
                if way == "exception":
                    held.__exit__(SystemExit, SystemExit(), None)
                else:
                    held.__exit__(None, None, None)
            except Exception as e:
                return repr(e)
            return "out"

        assert in_fork(come_out) == "out"
        assert not is_free(held)
    assert is_free(held)
    if noun == "Semaphore":
        assert held.get_value() == 1


@GUARDS
def test_what_passes_through_an_inherited_with_block_is_what_was_raised(
    fork: Any, noun: str
) -> None:
    """Also when its parent has come out before, and there is nothing to release."""
    held, left = guard(fork, noun), fork.Event()

    def come_out() -> str:
        left.wait()
        try:
            held.__exit__(KeyError, KeyError(), None)
        except Exception as e:
            return repr(e)
        return "out"

    child = fork.Process(target=come_out)
    with held:
        child.start()
    left.set()
    assert child.result(LONG) == "out"
    child.close()
    assert is_free(held)


def test_a_lock_that_a_thread_of_the_parent_holds_is_waited_for(fork: Any) -> None:
    for noun in ("Lock", "RLock", "Semaphore", "Condition"):
        lock = guard(fork, noun)
        with held_by_a_thread(lock):
            assert in_fork(lambda lock=lock: (lock.acquire(False), lock.acquire(True, 0.01))) == (
                False,
                False,
            )
        assert is_free(lock)
