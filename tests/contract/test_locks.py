"""Lock, RLock, Semaphore, BoundedSemaphore: as the standard library's, and what deaths do to them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, kill, running, several, until, until_blocked

KINDS = ["Lock", "RLock"]


def hold(lock: Any, held: Any) -> None:
    """Take the lock, say so, and never give it back."""
    lock.acquire()
    held.set()
    signal.pause()


def take_and_exit(lock: Any) -> None:
    lock.acquire()


def take_and_vanish(lock: Any) -> None:
    lock.acquire()
    os._exit(3)


def report(answers: Any, function: Callable[..., Any], *args: Any) -> None:
    try:
        answers.put(function(*args))
    except BaseException as error:
        answers.put(type(error))


def recover_when_told(lock: Any, go: Any, answers: Any) -> None:
    go.wait()
    answers.put(lock.recover())
    signal.pause()


def count_up(lock: Any, counter: Any, n: int) -> None:
    for _ in range(n):
        with lock:
            counter.value += 1


def release_it(lock: Any) -> None:
    lock.release()


@pytest.fixture(params=KINDS)
def lock_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def left_by_the_dead(ctx: Any, lock: Any) -> tuple[int, str]:
    """Have the lock's owner killed; return its pid and name."""
    held = ctx.Event()
    with running(ctx, hold, lock, held) as child:
        assert held.wait(LONG)
        who = child.pid, child.name
        kill(child)
    return who


# ---- as the standard library's -----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_acquire_and_release(module: Any, kind: str) -> None:
    lock = getattr(module, kind)()
    assert lock.acquire() is True
    assert lock.release() is None
    with lock as got:
        assert got is True
    assert lock.acquire(False) is True
    lock.release()
    assert lock.acquire(True, 0.01) is True
    lock.release()
    assert lock.acquire(block=True, timeout=None) is True
    lock.release()


def test_a_held_lock_refuses_at_once_and_after_the_timeout(module: Any) -> None:
    lock = module.Lock()
    lock.acquire()
    for args in ((False,), (True, 0), (True, 0.01), (True, -1), (False, 100)):
        assert lock.acquire(*args) is False
    lock.release()
    assert lock.acquire(False) is True


def test_releasing_a_free_lock_is_a_value_error(module: Any) -> None:
    with pytest.raises(ValueError):
        module.Lock().release()


def test_releasing_a_free_rlock_is_an_assertion_error(module: Any) -> None:
    with pytest.raises(AssertionError):
        module.RLock().release()


def test_another_process_may_release_a_lock(either: Any) -> None:
    lock = either.Lock()
    lock.acquire()
    with running(either, release_it, lock):
        assert lock.acquire(True, LONG)


def test_another_process_may_not_release_an_rlock(fork: Any) -> None:
    lock, answers = fork.RLock(), fork.Queue()
    lock.acquire()
    with running(fork, report, answers, lock.release):
        assert answers.get(timeout=LONG) is AssertionError
    assert lock.statistics().locked
    lock.release()


def test_another_thread_may_not_release_an_rlock(module: Any) -> None:
    lock = module.RLock()
    lock.acquire()
    seen: list[Any] = []

    def other() -> None:
        seen.append(lock.acquire(False))
        try:
            lock.release()
        except AssertionError as error:
            seen.append(type(error))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [False, AssertionError]
    lock.release()


def test_an_rlock_is_free_after_as_many_releases_as_acquires(module: Any) -> None:
    lock = module.RLock()
    for _ in range(3):
        assert lock.acquire()
    for _ in range(3):
        lock.release()
    with pytest.raises(AssertionError):
        lock.release()


def test_an_rlock_is_held_until_the_last_release(fork: Any) -> None:
    lock, answers = fork.RLock(), fork.Queue()
    with lock:
        with lock:
            pass
        with running(fork, report, answers, lock.acquire, False):
            assert answers.get(timeout=LONG) is False
    with running(fork, report, answers, lock.acquire, False):
        assert answers.get(timeout=LONG) is True
    assert lock.recover()


def test_a_forked_child_does_not_own_its_parents_rlock(fork: Any) -> None:
    lock, answers = fork.RLock(), fork.Queue()
    with lock:
        with running(fork, report, answers, lock.acquire, False):
            assert answers.get(timeout=LONG) is False


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_guarded_counter_counts(either: Any, kind: str) -> None:
    lock, counter = getattr(either, kind)(), either.RawValue("i", 0)
    with several(either, *[(count_up, lock, counter, 500)] * 3):
        pass
    assert counter.value == 1500


@pytest.mark.parametrize("kind", KINDS)
def test_threads_exclude_one_another(fork: Any, kind: str) -> None:
    lock, counter = getattr(fork, kind)(), fork.RawValue("i", 0)
    threads = [threading.Thread(target=count_up, args=(lock, counter, 500)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 2000


def test_reprs_tell_the_owner(module: Any) -> None:
    lock, rlock = module.Lock(), module.RLock()
    assert (repr(lock), repr(rlock)) == ("<Lock(owner=None)>", "<RLock(None, 0)>")
    lock.acquire(), rlock.acquire(), rlock.acquire()
    assert (repr(lock), repr(rlock)) == ("<Lock(owner=MainProcess)>", "<RLock(MainProcess, 2)>")
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(repr(rlock)))
    thread.start()
    thread.join()
    assert seen == ["<RLock(SomeOtherThread, nonzero)>"]
    rlock.release(), rlock.release(), lock.release()


def test_a_repr_tells_of_another_process(either: Any) -> None:
    lock, rlock, held = either.Lock(), either.RLock(), either.Event()
    with running(either, hold, lock, held) as child:
        assert held.wait(LONG)
        assert repr(lock) == "<Lock(owner=SomeOtherProcess)>"
        child.terminate()
    held.clear()
    with running(either, hold, rlock, held) as child:
        assert held.wait(LONG)
        assert repr(rlock) == "<RLock(SomeOtherProcess, nonzero)>"
        child.terminate()


def test_statistics_tell_who_holds_a_lock(ctx: Any, lock_kind: str) -> None:
    lock, held = getattr(ctx, lock_kind)(), ctx.Event()
    assert lock.statistics() == forkful.synchronize.LockStatistics(False)
    with running(ctx, hold, lock, held) as child:
        assert held.wait(LONG)
        seen = lock.statistics()
        assert (seen.locked, seen.owner_pid, seen.owner_name, seen.owner_alive) == (
            True,
            child.pid,
            child.name,
            True,
        )
        kill(child)
    assert lock.statistics().owner_alive is False
    assert lock.statistics().locked


# ---- the owner dies --------------------------------------------------------------------------


def test_acquire_names_the_owner_that_was_killed(ctx: Any, lock_kind: str) -> None:
    lock = getattr(ctx, lock_kind)()
    pid, name = left_by_the_dead(ctx, lock)
    for args in ((), (False,), (True, 0.01)):
        with pytest.raises(forkful.LockOwnerDied, match=rf"{name} \(pid {pid}\)") as caught:
            lock.acquire(*args)
        assert (caught.value.pid, caught.value.name) == (pid, name)
    with pytest.raises(forkful.LockOwnerDied):
        with lock:
            raise AssertionError("entered")


@pytest.mark.parametrize("end", [take_and_exit, take_and_vanish])
def test_an_owner_that_exits_has_died_too(ctx: Any, lock_kind: str, end: Any) -> None:
    lock = getattr(ctx, lock_kind)()
    with running(ctx, end, lock):
        pass
    with pytest.raises(forkful.LockOwnerDied):
        lock.acquire()


def test_those_that_wait_learn_that_the_owner_has_died(ctx: Any, lock_kind: str) -> None:
    lock, held, answers = getattr(ctx, lock_kind)(), ctx.Event(), ctx.Queue()
    with running(ctx, hold, lock, held) as owner:
        assert held.wait(LONG)
        with several(ctx, *[(report, answers, lock.acquire)] * 3) as waiters:
            for waiter in waiters:
                until_blocked(waiter.pid)
            kill(owner)
            assert [answers.get(timeout=LONG) for _ in waiters] == [forkful.LockOwnerDied] * 3


def test_recover_takes_the_lock_over(fork: Any, lock_kind: str) -> None:
    lock, answers = getattr(fork, lock_kind)(), fork.Queue()
    left_by_the_dead(fork, lock)
    assert lock.recover() is True
    assert lock.statistics().owner_pid == os.getpid()
    assert lock.recover() is False
    with running(fork, report, answers, lock.acquire, False):
        assert answers.get(timeout=LONG) is False
    lock.release()
    with lock:
        pass


def test_recover_of_a_lock_that_is_free_or_held_by_the_living_does_nothing(
    fork: Any, lock_kind: str
) -> None:
    lock, held = getattr(fork, lock_kind)(), fork.Event()
    assert lock.recover() is False
    assert not lock.statistics().locked
    with running(fork, hold, lock, held) as owner:
        assert held.wait(LONG)
        assert lock.recover() is False
        assert lock.statistics().owner_pid == owner.pid
        kill(owner)
    assert lock.recover() is True
    lock.release()


def test_a_recovered_rlock_is_held_once(fork: Any) -> None:
    lock = fork.RLock()
    with running(fork, take_twice, lock):
        pass
    assert lock.recover()
    lock.release()
    with pytest.raises(AssertionError):
        lock.release()


def take_twice(lock: Any) -> None:
    lock.acquire()
    lock.acquire()


def test_of_many_at_once_exactly_one_recovers(fork: Any, lock_kind: str) -> None:
    for _ in range(10):
        lock, go, answers = getattr(fork, lock_kind)(), fork.Event(), fork.Queue()
        left_by_the_dead(fork, lock)
        with several(fork, *[(recover_when_told, lock, go, answers)] * 4) as children:
            for child in children:
                until_blocked(child.pid)
            go.set()
            assert sorted(answers.get(timeout=LONG) for _ in children) == [False] * 3 + [True]
            for child in children:
                kill(child)


def test_a_waiter_goes_on_when_another_process_recovers_and_releases(
    fork: Any, lock_kind: str
) -> None:
    lock, held, answers = getattr(fork, lock_kind)(), fork.Event(), fork.Queue()
    with running(fork, hold, lock, held) as owner:
        assert held.wait(LONG)
        kill(owner)
    assert lock.recover()
    with running(fork, report, answers, lock.acquire) as waiter:
        until_blocked(waiter.pid)
        lock.release()
        assert answers.get(timeout=LONG) is True


def test_the_release_by_others_of_a_dead_owners_lock_frees_it(fork: Any) -> None:
    """As with the standard library's Lock any process may release."""
    lock = fork.Lock()
    left_by_the_dead(fork, lock)
    lock.release()
    assert lock.acquire(False) is True
    lock.release()


def test_a_waiter_that_is_killed_leaves_the_lock_usable(fork: Any, lock_kind: str) -> None:
    lock, answers = getattr(fork, lock_kind)(), fork.Queue()
    for _ in range(10):
        lock.acquire()
        with several(fork, (lock.acquire,), (report, answers, lock.acquire)) as (victim, other):
            until_blocked(victim.pid)
            until_blocked(other.pid)
            os.kill(victim.pid, signal.SIGSTOP)
            lock.release()
            kill(victim)
            until(lambda: not answers.empty() or not lock.statistics().owner_alive)
            assert answers.get(timeout=LONG) in (True, forkful.LockOwnerDied)
        assert lock.recover()
        lock.release()


# ---- semaphores ----------------------------------------------------------------------------------


def test_a_semaphore_counts(module: Any) -> None:
    s = module.Semaphore(2)
    assert s.get_value() == 2
    assert s.acquire() is True
    assert s.acquire(False) is True
    assert s.acquire(False) is False
    assert s.acquire(True, 0.01) is False
    s.release()
    s.release()
    s.release()
    assert s.get_value() == 3
    with s as got:
        assert got is True
        assert s.get_value() == 2
    assert s.get_value() == 3


def test_a_bounded_semaphore_refuses_to_grow(module: Any) -> None:
    s = module.BoundedSemaphore(2)
    with pytest.raises(ValueError):
        s.release()
    s.acquire()
    s.release()
    with pytest.raises(ValueError):
        s.release()
    assert s.get_value() == 2


def test_a_negative_semaphore_is_an_error(module: Any) -> None:
    with pytest.raises((ValueError, OSError)):
        module.Semaphore(-1)


def test_semaphore_reprs(module: Any) -> None:
    assert repr(module.Semaphore(3)) == "<Semaphore(value=3)>"
    assert repr(module.BoundedSemaphore(3)) == "<BoundedSemaphore(value=3, maxvalue=3)>"


def test_another_process_may_release_a_semaphore(either: Any) -> None:
    s = either.Semaphore(0)
    with running(either, release_it, s):
        assert s.acquire(True, LONG) is True


def enter_and_count(s: Any, inside: Any, most: Any, n: int) -> None:
    for _ in range(n):
        with s:
            with inside.get_lock():
                inside.value += 1
                most.value = max(most.value, inside.value)
            with inside.get_lock():
                inside.value -= 1


def test_a_semaphore_lets_no_more_in_than_it_has_permits(either: Any) -> None:
    s, inside, most = either.Semaphore(2), either.Value("i", 0), either.RawValue("i", 0)
    with several(either, *[(enter_and_count, s, inside, most, 200)] * 4):
        pass
    assert 1 <= most.value <= 2
    assert s.get_value() == 2


def enter(s: Any, depth: int, entered: Any) -> None:
    if depth == 0:
        entered.set()
        signal.pause()
    with s:
        enter(s, depth - 1, entered)


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_permit_taken_by_with_comes_back_when_its_process_dies(
    ctx: Any, kind: str, depth: int
) -> None:
    s, entered = getattr(ctx, kind)(2), ctx.Event()
    with running(ctx, enter, s, depth, entered) as child:
        assert entered.wait(LONG)
        assert s.get_value() == 2 - depth
        kill(child)
    for _ in range(2):
        assert s.acquire(True, LONG)
    assert s.acquire(False) is False
    assert (s.statistics().value, s.statistics().returned) == (0, depth)


def test_one_that_waits_gets_the_permit_of_a_dead_process(fork: Any) -> None:
    s, entered, answers = fork.Semaphore(1), fork.Event(), fork.Queue()
    with running(fork, enter, s, 1, entered) as child:
        assert entered.wait(LONG)
        with running(fork, report, answers, s.acquire) as waiter:
            until_blocked(waiter.pid)
            kill(child)
            assert answers.get(timeout=LONG) is True


def test_a_permit_taken_by_acquire_does_not_come_back(fork: Any) -> None:
    s, held = fork.Semaphore(1), fork.Event()
    with running(fork, hold, s, held) as child:
        assert held.wait(LONG)
        kill(child)
    assert s.acquire(True, 0.3) is False
    assert s.statistics().returned == 0


def test_a_permit_given_back_before_the_death_does_not_come_twice(fork: Any) -> None:
    s, held = fork.Semaphore(1), fork.Event()
    with running(fork, enter_leave_and_wait, s, held) as child:
        assert held.wait(LONG)
        kill(child)
    assert s.acquire(False) is True
    assert s.acquire(True, 0.3) is False
    assert s.statistics().returned == 0


def enter_leave_and_wait(s: Any, held: Any) -> None:
    with s:
        pass
    held.set()
    signal.pause()
