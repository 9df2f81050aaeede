"""Many children at once: what each takes of its parent, and how their birth depends on their number."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

import pytest

import forkful
from forkful.launch import forkserver
from tests.contract.children import LONG, used
from tests.programs import deeds

EACH = {"fork": 0, "spawn": 1, "forkserver": 1}  # descriptors of the parent's for a child
FOR_ALL = 8  # and for however many there are


@contextmanager
def crowd(ctx: Any, count: int) -> Iterator[list[Any]]:
    """So many children that wait until this is left."""
    gate = ctx.Event()
    children = [ctx.Process(target=gate.wait) for _ in range(count)]
    try:
        for child in children:
            child.start()
        yield children
    finally:
        gate.set()
        for child in children:
            if child.pid is not None:
                child.join(LONG)
        assert [child.exitcode for child in children if child.pid] == [0] * count


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.limit(120)
def test_a_child_takes_no_more_than_one_descriptor_of_its_parent(ctx: Any) -> None:
    method, before = ctx.get_start_method(), descriptors()
    count = 12 if method == "spawn" else 60
    with crowd(ctx, count):
        assert descriptors() <= before + EACH[method] * count + FOR_ALL
    assert descriptors() <= before + EACH[method] * count + FOR_ALL


def faults_at_birth() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.limit(120)
def test_the_birth_of_a_forked_child_costs_the_same_however_many_live(fork: Any) -> None:
    """In pages, which it copies from its parent. A child that wrote to each of its siblings' objects would need
    hundreds more."""

    def pages() -> int:
        child = fork.Process(target=faults_at_birth)
        child.start()
        count: int = child.result(LONG)
        return count

    alone = sorted(pages() for _ in range(5))[2]
    with crowd(fork, 600):
        among_many = sorted(pages() for _ in range(5))[2]
    assert among_many < alone + 20


def test_a_fork_copies_nothing_of_its_siblings_reports(fork: Any) -> None:
    """Neither time nor memory for each of them, and yet they are kept and given back."""
    before = used()
    with crowd(fork, 8):
        of_first = used() - before
        with crowd(fork, 40):
            of_all = used() - before
    assert (
        of_all < 8 * of_first
    )  # with a copy of each report in each child it is more than 30 times as much


def test_reports_outlive_siblings_and_are_given_back(fork: Any) -> None:
    before = used()
    data = b"x" * (1 << 20)
    first = fork.Process(target=bytes, args=(data,))
    first.start()
    second = fork.Process(target=bytes, args=(b"second",))
    second.start()
    second.join(LONG)
    first.join(LONG)
    later = fork.Process(target=bytes, args=(b"later",))
    later.start()
    later.join(LONG)
    assert first.result() == data
    assert (second.result(), later.result()) == (b"second", b"later")
    del first, second, later
    assert used() <= before + (64 << 10)


def test_a_report_that_is_never_read_is_given_back(fork: Any) -> None:
    before = used()
    for _ in range(4):
        child = fork.Process(target=bytes, args=(b"x" * (1 << 20),))
        child.start()
        child.join(LONG)
    del child
    assert used() <= before + (64 << 10)


def test_who_has_stowed_a_queue_uses_it_and_gives_it_back(fork: Any) -> None:
    before = used()
    queue = fork.SimpleQueue()
    queue._stow()
    queue._stow()
    queue.put(1)
    child = fork.Process(
        target=deeds.square, args=(3,)
    )  # its copy of the handle keeps nothing alive
    child.start()
    assert child.result(LONG) == 9
    assert queue.get() == 1
    del queue, child
    assert used() <= before


# ---- a sentinel is made when it is asked for -----------------------------------------------------


def test_a_sentinel_that_is_asked_for_late_is_ready(ctx: Any) -> None:
    child = ctx.Process(target=int)
    child.start()
    child.join(LONG)
    assert child.exitcode == 0
    assert connection.wait([child.sentinel], LONG) == [child.sentinel]
    child.close()
    with pytest.raises(ValueError, match="closed"):
        child.sentinel  # noqa: B018
    with pytest.raises(ValueError, match="not started"):
        ctx.Process(target=int).sentinel  # noqa: B018


# ---- a fork server that cannot have more ---------------------------------------------------------


def test_a_fork_server_without_descriptors_refuses_and_goes_on() -> None:
    ctx = forkful.get_context("forkserver")
    first = ctx.Process(target=int)
    first.start()  # and with it the server
    first.join(LONG)
    pid = forkserver.server._forkserver_pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    lowest_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, limits[1]))
    try:
        for _ in range(3):
            with pytest.raises((EOFError, OSError)) as caught:
                ctx.Process(target=int).start()
            error = caught.value
            assert "descriptor" in str(error) or getattr(error, "errno", 0) in (
                errno.EPIPE,
                errno.ECONNRESET,
            )
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert forkserver.server._forkserver_pid == pid
    child = ctx.Process(target=deeds.square, args=(3,))
    child.start()
    assert child.result(LONG) == 9
    assert forkserver.server._forkserver_pid == pid
