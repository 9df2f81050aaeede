"""Which children of a fork server have ended: asked by several threads, and told to each once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from multiprocessing import connection, forkserver
from typing import Any

import pytest

import forkful
from forkful.launch import collect, fork
from tests.contract.children import LONG


class Ended:
    """A process that has."""

    def __init__(self, *, joined: bool) -> None:
        self._popen: Any = self
        self.asked = joined

    def poll(self) -> int:
        self.asked = True
        return 0


@pytest.fixture
def sentinel() -> Iterator[int]:
    """One that is ready."""
    r, w = os.pipe()
    os.close(w)
    yield r
    collect.forget(r)
    os.close(r)


def test_one_that_has_ended_is_asked(sentinel: int) -> None:
    child: Any = Ended(joined=False)
    with collect.watching() as watch:
        watch(sentinel, child)
    collect.collect()
    assert child.asked


def test_one_that_was_joined_meanwhile_is_none_of_them(
    sentinel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    child: Any = Ended(joined=True)
    with collect.watching() as watch:
        watch(sentinel, child)
    poll = collect._Watched.poll
    assert poll is not None

    class Late:
        """The kernel's answer, after which somebody joins the process before it is read."""

        def poll(self, timeout: float) -> list[tuple[int, int]]:
            answer = poll.poll(timeout)
            monkeypatch.undo()
            collect.forget(sentinel)
            return answer

    monkeypatch.setattr(collect._Watched, "poll", Late())
    collect.collect()


def test_a_forked_child_may_collect_whatever_another_thread_did_at_the_fork() -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with collect._lock:
            held.set()
            go_on.wait(LONG)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(LONG)
        child = forkful.get_context("fork").Process(target=collect._lock.acquire, args=(False,))
        child.start()
        assert child.result(LONG) is True
    finally:
        go_on.set()
        thread.join()


def test_the_status_is_read_by_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read once: who came second would take it for the fork server's death."""
    child = forkful.get_context("forkserver").Process(target=int)
    child.start()
    assert connection.wait([child.sentinel], LONG)
    entered = []
    read = forkserver.read_signed

    def enter() -> None:
        entered.append(fork.status_lock.acquire(blocking=False))

    def read_beside_another(fd: int) -> int:
        other = threading.Thread(target=enter)
        other.start()
        other.join()
        return read(fd)

    monkeypatch.setattr(forkserver, "read_signed", read_beside_another)
    child.join()
    assert child.exitcode == 0
    assert entered == [False]
