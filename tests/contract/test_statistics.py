"""What `statistics()` of locks, semaphores, conditions, events and barriers tells."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
from typing import Any

import pytest

import forkful
from forkful.synchronize import (
    BarrierStatistics,
    ConditionStatistics,
    EventStatistics,
    LockStatistics,
    SemaphoreStatistics,
)
from tests.contract.children import LONG, kill, running, several, until, until_blocked


def take(lock: Any, depth: int, held: Any) -> None:
    for _ in range(depth):
        lock.acquire()
    held.set()
    signal.pause()


def use(lock: Any) -> None:
    with lock:
        pass


def test_a_lock_tells_its_owner_the_line_and_who_waits(ctx: Any) -> None:
    for lock, depth in ((ctx.Lock(), 1), (ctx.RLock(), 2)):
        held = ctx.Event()
        assert lock.statistics() == LockStatistics(locked=False)
        with running(ctx, take, lock, depth, held) as owner:
            assert held.wait(LONG)
            with running(ctx, use, lock) as waiter:
                until_blocked(waiter.pid)
                until(lambda lock=lock: lock.statistics().waiters)  # the board knew it before
                seen = lock.statistics()
                assert seen == LockStatistics(
                    locked=True,
                    owner_pid=owner.pid,
                    owner_name=owner.name,
                    owner_alive=True,
                    taken=seen.taken,
                    depth=depth,
                    waiters=1,
                )
                assert seen.taken
                assert seen.taken.startswith("test_statistics.py:")
                assert seen.taken.endswith(" in take")
                kill(waiter)
            until(lambda lock=lock: lock.statistics().waiters == 0)
            pid = owner.pid
            kill(owner)
        seen = lock.statistics()
        assert (seen.locked, seen.owner_alive, seen.owner_pid) == (True, False, pid)
        assert lock.recover()
        assert lock.statistics().depth == 1
        lock.release()
        assert lock.statistics() == LockStatistics(locked=False)


def enter_twice(s: Any, held: Any) -> None:
    with s, s:
        held.set()
        signal.pause()


def test_a_semaphore_tells_its_permits(ctx: Any) -> None:
    s, bounded, held = ctx.Semaphore(3), ctx.BoundedSemaphore(2), ctx.Event()
    assert bounded.statistics() == SemaphoreStatistics(value=2, maximum=2)
    s.acquire()
    assert s.statistics() == SemaphoreStatistics(value=2)
    with running(ctx, enter_twice, s, held) as child:
        assert held.wait(LONG)
        assert s.statistics() == SemaphoreStatistics(value=0, held=2)
        with running(ctx, use, s) as waiter:
            until_blocked(waiter.pid)
            until(lambda: s.statistics().waiters)  # the board knew it before
            assert s.statistics() == SemaphoreStatistics(value=0, held=2, waiters=1)
            kill(child)
    assert s.statistics() == SemaphoreStatistics(value=2, returned=2)


def wait(thing: Any) -> None:
    with thing:
        thing.wait()


def await_event(event: Any) -> None:
    event.wait()


def test_a_condition_and_an_event_tell_who_waits(fork: Any) -> None:
    condition, event = fork.Condition(), fork.Event()
    calls = [(wait, condition)] * 2 + [(await_event, event)]
    with several(fork, *calls) as children:
        for child in children:
            until_blocked(child.pid)
        until(lambda: condition.statistics().waiters == 2)  # the board knew them before
        until(lambda: event.statistics().waiters)
        assert condition.statistics() == ConditionStatistics(2, LockStatistics(False))
        assert event.statistics() == EventStatistics(is_set=False, waiters=1)
        with condition:
            assert condition.statistics().lock.owner_pid == os.getpid()
            condition.notify_all()
        event.set()
    event.set()
    assert event.statistics() == EventStatistics(is_set=True, times_set=1)
    event.clear()
    event.set()
    assert event.statistics() == EventStatistics(is_set=True, times_set=2)
    assert condition.statistics().waiters == 0


def pause() -> None:
    signal.pause()


def come(barrier: Any) -> None:
    try:
        barrier.wait()
    except forkful.synchronize.BrokenBarrierError:
        pass


def test_a_barrier_tells_who_has_come_and_who_acts(fork: Any) -> None:
    barrier = fork.Barrier(2, pause)
    assert barrier.statistics() == BarrierStatistics(parties=2)
    with running(fork, come, barrier) as first:
        until(lambda: barrier.statistics().waiting == 1)
        assert barrier.statistics() == BarrierStatistics(parties=2, waiting=1)
        with running(fork, come, barrier) as second:
            until(lambda: barrier.statistics().actor_pid is not None)
            seen = barrier.statistics()
            assert (seen.actor_pid, seen.actor_name) == (second.pid, second.name)
            kill(second)
        first.join(LONG)
    assert barrier.statistics() == BarrierStatistics(parties=2, generation=1, broken=True)
    barrier.reset()
    assert barrier.statistics() == BarrierStatistics(parties=2, generation=1)


def test_statistics_do_not_change_and_travel(fork: Any) -> None:
    things = (fork.Lock(), fork.Semaphore(), fork.Condition(), fork.Event(), fork.Barrier(1))
    for thing in things:
        seen = thing.statistics()
        (name, *_) = (field.name for field in dataclasses.fields(seen))
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(seen, name, None)
        assert pickle.loads(pickle.dumps(seen)) == seen
        assert type(seen).__name__ in forkful.synchronize.__all__
