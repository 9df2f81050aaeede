"""Calls of a pool that are given up while they wait or run, and what becomes of their neighbours."""

from __future__ import annotations

import functools
import os
import queue
import random
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, is_gone, two_workers, until
from tests.programs import deeds


@pytest.fixture
def pool(ctx: Any) -> Iterator[Any]:
    with two_workers(ctx) as pool:
        yield pool


@pytest.fixture
def forked(fork: Any) -> Iterator[Any]:
    """Where the start method changes nothing."""
    with fork.Pool(2) as pool:
        yield pool
        pool.terminate()
        pool.join()


def family_of(folder: Path) -> list[int]:
    """Wait until `deeds.start_a_family_and_wait` has; return the worker's pid and those below it."""
    deeds.wait_for_file(str(folder / "family"))
    return [int(pid) for pid in (folder / "family").read_text().split()]


def test_a_running_call_is_cancelled_with_all_that_it_started(pool: Any, tmp_path: Path) -> None:
    told: queue.Queue[Any] = queue.Queue()
    go = str(tmp_path / "go")
    neighbour = pool.apply_async(deeds.arrive_and_wait, (str(tmp_path / "there"), go))
    call = pool.apply_async(
        deeds.start_a_family_and_wait, (str(tmp_path),), error_callback=told.put
    )
    queued = [pool.apply_async(deeds.square, (x,)) for x in range(20)]
    family = family_of(tmp_path)
    deeds.wait_for_file(str(tmp_path / "there"))
    assert call.cancel()
    with pytest.raises(CancelledError, match="start_a_family_and_wait"):
        call.get(LONG)
    assert isinstance(told.get(timeout=LONG), CancelledError)
    until(lambda: all(map(is_gone, family)))
    assert call.ready()
    assert not call.successful()
    assert not call.cancel()
    assert [result.get(LONG) for result in queued] == [x * x for x in range(20)]
    assert not neighbour.ready()
    (tmp_path / "go").touch()
    assert neighbour.get(LONG) == go
    until(lambda: len(pool.statistics().workers) == 2)
    assert pool.statistics().died == 1


def test_a_call_over_its_timeout_is_killed_with_all_that_it_started(
    pool: Any, tmp_path: Path
) -> None:
    call = pool.apply_async(deeds.start_a_family_and_wait, (str(tmp_path),), timeout=2)
    with pytest.raises(forkful.TaskTimeout):
        call.get(LONG)
    until(lambda: all(map(is_gone, family_of(tmp_path))))
    assert pool.map(deeds.square, range(5)) == [0, 1, 4, 9, 16]


def test_a_queued_call_that_is_cancelled_does_not_run(forked: Any, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    for n in range(2):
        forked.apply_async(deeds.arrive_and_wait, (str(tmp_path / f"there{n}"), go))
        deeds.wait_for_file(str(tmp_path / f"there{n}"))
    (tmp_path / "runs").mkdir()
    count = functools.partial(deeds.count_run, str(tmp_path / "runs"))
    calls = [forked.apply_async(count, (x,)) for x in range(30)]
    assert all(call.cancel() for call in calls[::3])
    assert not any(call.cancel() for call in calls[::3])  # they have ended
    many = forked.map_async(count, range(100, 200), 7)
    assert many.cancel()
    for call in [*calls[::3], many]:
        assert call.ready()
        with pytest.raises(CancelledError):
            call.get(0)
    (tmp_path / "go").touch()
    rest = [x for x in range(30) if x % 3]
    assert [calls[x].get(LONG) for x in rest] == [x * x for x in rest]
    assert deeds.runs(tmp_path / "runs") == dict.fromkeys(rest, 1)
    assert forked.statistics().died == 0
    assert not calls[1].cancel()


def test_a_map_is_cancelled_in_the_middle(forked: Any, tmp_path: Path) -> None:
    there = [str(tmp_path / name) for name in "abcd"]
    call = forked.map_async(deeds.sleep_long, there, 1)
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [process.pid for process in forked._pool]
    assert call.cancel()
    with pytest.raises(CancelledError, match="over 4 inputs"):
        call.get(LONG)
    assert all(map(is_gone, workers))
    assert forked.map(deeds.square, range(50), 1) == [x * x for x in range(50)]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL])
def test_the_worker_of_a_cancelled_call_may_be_stopped_or_killed_besides(
    forked: Any, tmp_path: Path, signum: int
) -> None:
    call = forked.apply_async(deeds.sleep_in_c, (str(tmp_path / "there"),))
    deeds.wait_for_file(str(tmp_path / "there"))
    for process in forked._pool:
        os.kill(process.pid, signum)
    assert call.cancel()
    with pytest.raises(CancelledError):
        call.get(LONG)
    for process in forked._pool:
        os.kill(process.pid, signal.SIGCONT)
    assert forked.map(deeds.square, range(9), 1) == [x * x for x in range(9)]


def test_cancel_after_the_end_of_the_pool_does_nothing(forked: Any, tmp_path: Path) -> None:
    call = forked.apply_async(deeds.sleep_long, (str(tmp_path / "there"),))
    deeds.wait_for_file(str(tmp_path / "there"))
    forked.terminate()
    assert not call.cancel()
    with pytest.raises(forkful.WorkerDied, match="terminated"):
        call.get()


def test_close_and_join_do_not_wait_for_a_cancelled_call(forked: Any, tmp_path: Path) -> None:
    call = forked.apply_async(deeds.sleep_long, (str(tmp_path / "there"),))
    deeds.wait_for_file(str(tmp_path / "there"))
    forked.close()
    assert call.cancel()
    forked.join()
    with pytest.raises(CancelledError):
        call.get(0)


@pytest.mark.stress
def test_cancelling_at_any_moment_costs_no_neighbour_anything(
    forked: Any, rand: random.Random, tmp_path: Path
) -> None:
    """A worker that has just finished the cancelled call may be at the next one."""
    count = functools.partial(deeds.count_run, str(tmp_path))
    for batch in range(40):
        calls = {x: forked.apply_async(count, (x,)) for x in range(100 * batch, 100 * batch + 60)}
        victims = rand.sample(sorted(calls), 6)
        if rand.random() < 0.3:
            until(calls[rand.choice(victims)].ready)
        given_up = {x for x in victims if calls[x].cancel()}
        for x, call in calls.items():
            if x in given_up:
                with pytest.raises(CancelledError):
                    call.get(LONG)
            else:
                assert call.get(LONG) == x * x
        runs = deeds.runs(tmp_path)
        assert all(runs[x] == 1 for x in calls if x not in given_up)
        assert max(runs.values()) == 1
