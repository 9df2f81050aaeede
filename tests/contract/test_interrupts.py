"""Ctrl-C ends whatever a main thread waits for, and leaves the object usable."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.children import LONG, running, until, until_blocked


def wait_for_ctrl_c(answers: Any, wait: Callable[[Any], object], what: Any) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        wait(what)
    except KeyboardInterrupt:
        answers.put("interrupted")
    except BaseException as error:
        answers.put(repr(error))
    else:
        answers.put("went on")


def on_condition(cond: Any) -> None:
    with cond:
        cond.wait()


def on_process(_: Any) -> None:
    import forkful

    child = forkful.get_context("fork").Process(target=signal.pause)
    child.start()
    try:
        child.join()
    finally:
        child.kill()
        child.join()


def put(q: Any) -> None:
    q.put(1)


def get(q: Any) -> None:
    q.get()


def get_within_an_hour(q: Any) -> None:
    q.get(timeout=3600)


def acquire(lock: Any) -> None:
    lock.acquire()


def enter(lock: Any) -> None:
    with lock:
        pass


def wait(event: Any) -> None:
    event.wait()


def join(q: Any) -> None:
    q.join()


def full(ctx: Any) -> Any:
    q = ctx.Queue(1)
    q.put(0)
    return q


def held(lock: Any) -> Any:
    lock.acquire()
    return lock


def unfinished(ctx: Any) -> Any:
    q = ctx.JoinableQueue()
    q.put(0)
    return q


WAITS: dict[str, tuple[Callable[[Any], object], Callable[[Any], Any]]] = {
    "put": (put, full),
    "get": (get, lambda ctx: ctx.Queue()),
    "get with a timeout": (get_within_an_hour, lambda ctx: ctx.Queue()),
    "get of a SimpleQueue": (get, lambda ctx: ctx.SimpleQueue()),
    "Lock": (acquire, lambda ctx: held(ctx.Lock())),
    "with Lock": (enter, lambda ctx: held(ctx.Lock())),
    "RLock": (acquire, lambda ctx: held(ctx.RLock())),
    "Semaphore": (acquire, lambda ctx: ctx.Semaphore(0)),
    "with Semaphore": (enter, lambda ctx: ctx.Semaphore(0)),
    "Event": (wait, lambda ctx: ctx.Event()),
    "Condition": (on_condition, lambda ctx: ctx.Condition()),
    "Condition over a Lock": (on_condition, lambda ctx: ctx.Condition(ctx.Lock())),
    "Barrier": (wait, lambda ctx: ctx.Barrier(2)),
    "join of a queue": (join, unfinished),
    "join of a process": (on_process, lambda ctx: None),
}


@pytest.mark.parametrize("name", WAITS)
def test_ctrl_c_interrupts(fork: Any, name: str) -> None:
    wait, make = WAITS[name]
    what, answers = make(fork), fork.Queue()
    with running(fork, wait_for_ctrl_c, answers, wait, what) as child:
        until_blocked(child.pid)
        os.kill(child.pid, signal.SIGINT)
        assert answers.get(timeout=LONG) == "interrupted"


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_an_interrupted_wait_of_a_condition_has_the_lock_again(fork: Any, kind: str) -> None:
    cond, answers = fork.Condition(getattr(fork, kind)()), fork.Queue()
    with running(fork, wait_for_ctrl_c, answers, on_condition, cond) as child:
        until(lambda: cond._waiters._waiters() == 1)
        until_blocked(child.pid)
        os.kill(child.pid, signal.SIGINT)
        assert answers.get(timeout=LONG) == "interrupted"
    assert cond._waiters._waiters() == 0
    assert cond.acquire(False)
    cond.release()


def test_after_an_interrupted_get_no_item_is_lost(fork: Any) -> None:
    q, answers = fork.Queue(), fork.Queue()
    with running(fork, wait_for_ctrl_c, answers, get, q) as child:
        until_blocked(child.pid)
        os.kill(child.pid, signal.SIGINT)
        assert answers.get(timeout=LONG) == "interrupted"
    q.put("kept")
    assert q.get_nowait() == "kept"


def test_a_handler_that_returns_lets_the_wait_go_on(fork: Any) -> None:
    q, answers = fork.Queue(), fork.Queue()
    with running(fork, get_with_handler, q, answers) as child:
        until_blocked(child.pid)
        for _ in range(3):
            os.kill(child.pid, signal.SIGUSR1)
            assert answers.get(timeout=LONG) == "handled"
        q.put("item")
        assert answers.get(timeout=LONG) == "item"


def get_with_handler(q: Any, answers: Any) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: answers.put("handled"))
    answers.put(q.get())
