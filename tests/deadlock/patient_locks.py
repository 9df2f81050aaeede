"""Programs in which processes wait for one another's locks, and rightly: NAME START_METHOD.

It looks like a circle, and somebody else ends it after LONG seconds: with a plain lock anybody may, with
a re-entrant one a handler of the thread that holds it. Each prints what became of it; `EXPECTED` says
what that must be.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import forkful
from tests.deadlock.circles import take_both
from tests.deadlock.patient import LONG, doze, started

EXPECTED: dict[str, str] = {}


def ends_with(result: str) -> Callable[[Callable[[Any], object]], Callable[[Any], object]]:
    def note(program: Callable[[Any], object]) -> Callable[[Any], object]:
        EXPECTED[program.__name__] = result
        return program

    return note


def results(processes: list[Any]) -> list[object]:
    return [p.result() for p in processes]


def take_twice(lock: Any) -> str:
    lock.acquire()
    lock.acquire()
    return "twice"


def take_both_though_robbed(mine: Any, other: Any, all_have_one: Any) -> str:
    mine.acquire()
    all_have_one.wait()
    with other:
        pass
    with suppress(ValueError):  # the parent has freed it
        mine.release()
    return "both"


@ends_with("['both', 'both']")
def freed_by_a_third_process(ctx: Any) -> object:
    locks, ready = [ctx.Lock(), ctx.Lock()], ctx.Barrier(2)
    pairs = (locks, locks[::-1])
    processes = [started(ctx, take_both_though_robbed, *pair, ready) for pair in pairs]
    doze()
    locks[0].release()
    return results(processes)


def free_later(lock: Any) -> None:
    doze()
    lock.release()


@ends_with("twice")
def freed_by_another_process(ctx: Any) -> object:
    lock = ctx.Lock()
    process = started(ctx, take_twice, lock)
    started(ctx, free_later, lock).join()
    return process.result()


def take_twice_with_a_thread() -> str:
    lock = forkful.Lock()
    lock.acquire()
    helper = threading.Thread(target=free_later, args=(lock,))
    helper.start()
    lock.acquire()
    helper.join()
    return "twice"


@ends_with("twice")
def freed_by_another_thread(ctx: Any) -> object:
    process = started(ctx, take_twice_with_a_thread)
    doze()
    return process.result()


def take_twice_and_send(q: Any, pickled: bool) -> str:
    lock = forkful.Lock()
    q.put(pickle.dumps(lock) if pickled else lock)
    return take_twice(lock)


@ends_with("twice")
def freed_by_one_that_it_was_sent_to(ctx: Any) -> object:
    q = ctx.Queue()
    process = started(ctx, take_twice_and_send, q, False)
    lock = q.get()
    doze()
    lock.release()
    return process.result()


@ends_with("twice")
def freed_by_one_that_has_its_bytes(ctx: Any) -> object:
    """The first handle that is made of them is gone before the lock is taken."""
    q = ctx.Queue()
    process = started(ctx, take_twice_and_send, q, True)
    data = q.get()
    pickle.loads(data)
    doze()
    pickle.loads(data).release()
    return process.result()


class Slow:
    """Takes long to be unpickled, before the lock that comes after it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return doze, ()


def free(slow: Slow, lock: Any) -> None:
    lock.release()


@ends_with("twice")
def freed_by_one_that_is_being_born(ctx: Any) -> object:
    """It has no handle of the lock yet; this process joins the one that waits."""
    lock = ctx.Lock()
    started(ctx, free if ctx.get_start_method() != "fork" else free_late, Slow(), lock)
    process = started(ctx, take_twice, lock)
    process.join()
    return process.result()


def free_late(slow: Slow, lock: Any) -> None:
    free_later(lock)


def take_both_or_not(mine: Any, other: Any, all_have_one: Any) -> str:
    with mine:
        all_have_one.wait()
        if other.acquire(timeout=LONG):
            other.release()
            return "both"
        return "timeout"


@ends_with("['both', 'timeout']")
def one_gives_up(ctx: Any) -> object:
    locks, ready = [ctx.RLock(), ctx.RLock()], ctx.Barrier(2)
    one = started(ctx, take_both, *locks, ready)
    other = started(ctx, take_both_or_not, *locks[::-1], ready)
    doze()
    return results([one, other])


def take_both_and_be_told(mine: Any, other: Any, all_have_one: Any) -> str:
    signal.signal(signal.SIGUSR1, lambda *_: mine.release())
    mine.acquire()
    all_have_one.wait()
    with other:
        return "both"


@ends_with("['both', 'both']")
def freed_by_a_handler(ctx: Any) -> object:
    locks, ready = [ctx.RLock(), ctx.RLock()], ctx.Barrier(2)
    one = started(ctx, take_both, *locks, ready)
    other = started(ctx, take_both_and_be_told, *locks[::-1], ready)
    doze()
    os.kill(other.pid, signal.SIGUSR1)
    return results([one, other])


def take_both_after_a_while(mine: Any, other: Any, all_have_one: Any) -> str:
    with mine:
        all_have_one.wait()
        doze()
    with other:
        return "both"


@ends_with("['both', 'both', 'both']")
def one_of_three_is_busy(ctx: Any) -> object:
    locks, ready = [ctx.RLock() for _ in range(3)], ctx.Barrier(3)
    targets = (take_both, take_both, take_both_after_a_while)
    pairs = zip(targets, locks, locks[1:] + locks[:1], strict=True)
    return results([started(ctx, target, *pair, ready) for target, *pair in pairs])


if __name__ == "__main__":
    print(globals()[sys.argv[1]](forkful.get_context(sys.argv[2])))
