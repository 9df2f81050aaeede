"""Programs that end up waiting for ever: `python -m tests.deadlock.stuck NAME START_METHOD`.

Each prints what became of it, as one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import forkful
import forkful.deadlock


def error_of(call: Callable[..., object], *args: object) -> str:
    """The text of the DeadlockError that the call raises."""
    try:
        call(*args)
    except forkful.DeadlockError as e:
        return str(e)
    return "none"


def started(ctx: Any, target: Callable[..., object], *args: object) -> Any:
    process = ctx.Process(target=target, args=args)
    process.start()
    return process


def ending(process: Any) -> list[object]:
    process.join()
    error = process.exception()
    return [process.exitcode, type(error).__name__, str(error)]


def consume(q: Any) -> None:
    while True:
        q.get()


def consumer(ctx: Any) -> object:
    q = ctx.Queue()
    process = started(ctx, consume, q)
    q.put(1)
    return ending(process)


def consumers(ctx: Any) -> object:
    q = ctx.Queue()
    processes = [started(ctx, consume, q) for _ in range(3)]
    return [ending(p)[:2] for p in processes]


def alone(ctx: Any) -> object:
    return error_of(ctx.Queue().get)


def simple_queue(ctx: Any) -> object:
    return error_of(ctx.SimpleQueue().get)


def full(ctx: Any) -> object:
    q = ctx.Queue(1)
    q.put(1)
    return error_of(q.put, 2)


def not_done(ctx: Any) -> object:
    q = ctx.JoinableQueue()
    q.put(1)
    return error_of(q.join)


def event(ctx: Any) -> object:
    return error_of(ctx.Event().wait)


def semaphore(ctx: Any) -> object:
    return error_of(ctx.Semaphore(0).acquire)


def lock(ctx: Any) -> object:
    own = ctx.Lock()
    own.acquire()
    return error_of(own.acquire)


def lock_seen_awake(ctx: Any) -> object:
    """The looks for a circle come to nothing, as where a thread is awake at each of them."""
    forkful.deadlock.examine_circle = lambda: None
    return lock(ctx)


def condition(ctx: Any) -> object:
    cond = ctx.Condition()
    with cond:
        text = error_of(cond.wait)
        cond.notify_all()  # the lock is this thread's again
    return text


def meet(barrier: Any) -> str:
    try:
        barrier.wait()
    except (forkful.DeadlockError, threading.BrokenBarrierError) as e:
        return type(e).__name__
    return "passed"


def barrier(ctx: Any) -> object:
    meeting = ctx.Barrier(3)
    processes = [started(ctx, meet, meeting) for _ in range(2)]
    return sorted(p.result() for p in processes)


def take_both(first: Any, second: Any, both_have_one: Any) -> str:
    with first:
        both_have_one.wait()
        with second:
            return "had both"


def crossed(ctx: Any) -> object:
    a, b, both = ctx.Lock(), ctx.RLock(), ctx.Barrier(2)
    processes = [started(ctx, take_both, a, b, both), started(ctx, take_both, b, a, both)]
    return sorted((ending(p) for p in processes), key=lambda e: str(e[0])) + [
        [p.pid for p in processes]
    ]


def wait_and_free(held: Any, other: Any) -> float:
    try:
        held.acquire()
    except forkful.DeadlockError:
        return time.monotonic()
    finally:
        other.put("freed")
    return 0.0


def get(q: Any) -> list[object]:
    try:
        return [q.get(), 0.0]
    except forkful.DeadlockError:
        return ["raised", time.monotonic()]


def frees(ctx: Any) -> object:
    q, held = ctx.Queue(), ctx.Lock()
    held.acquire()
    waiter = started(ctx, wait_and_free, held, q)
    getter = started(ctx, get, q)
    return [waiter.result(), *getter.result()]


def acquire_and_wait(held: Any, q: Any) -> None:
    held.acquire()
    q.put("held")
    ignored = forkful.Queue()
    ignored.get()


def raiser_dies(ctx: Any) -> object:
    """Whoever raises first: in the end the lock's owner is dead, and a try says so."""
    q, held = ctx.Queue(), ctx.Lock()
    process = started(ctx, acquire_and_wait, held, q)
    q.get()
    end = ending(process)
    try:
        held.acquire()
    except forkful.LockOwnerDied:
        return [*end[:2], "LockOwnerDied"]
    return [*end[:2], "acquired"]


def identity(x: int) -> int:
    return x


def pool_idle(ctx: Any) -> object:
    with ctx.Pool(2) as pool:
        before = pool.map(identity, range(3))
        text = error_of(ctx.Queue().get)
        return [before, text, pool.map(identity, range(3))]


_queue: Any = None


def set_queue(q: Any) -> None:
    global _queue
    _queue = q


def wait_in_task(x: int) -> object:
    return _queue.get() if x == 1 else x


def pool_task(ctx: Any) -> object:
    with ctx.Pool(2, set_queue, (ctx.Queue(),)) as pool:
        outcomes = [pool.map, pool.starmap]
        text = error_of(outcomes[0], wait_in_task, range(3))
        return [text, pool.map(wait_in_task, [5, 6])]


def pool_async(ctx: Any) -> object:
    """The collector, and the feeder of a lazy `imap`, wait as well."""
    with ctx.Pool(2, set_queue, (ctx.Queue(),)) as pool:
        lazy = pool.imap(identity, iter(range(10**9)))
        assert next(lazy) == 0
        text = error_of(pool.apply_async(wait_in_task, (1,)).get)
        told: list[BaseException] = []
        called = pool.apply_async(wait_in_task, (1,), error_callback=told.append)
        also = error_of(called.get)  # here the collector drives, or this thread waits for it
        after = [next(lazy) for _ in range(200)]
        pool.terminate()
        return [text, also, str(told[0]), after == list(range(1, 201))]


def wait_for(event: Any, found: list[str]) -> None:
    found.append(error_of(event.wait))


def threads(ctx: Any) -> object:
    """Two threads of one process; the one that does not raise first is freed by the other."""
    event, q, found = ctx.Event(), ctx.Queue(), list[str]()
    thread = threading.Thread(target=wait_for, args=(event, found))
    thread.start()
    try:
        q.get()
    except forkful.DeadlockError as e:
        found.append(str(e))
    event.set()
    thread.join()
    return found


def killed(ctx: Any) -> object:
    """One of three is killed at some moment of the search, from outside the family."""
    q = ctx.Queue()
    victim, other = started(ctx, consume, q), started(ctx, consume, q)
    delay = os.environ["KILL_AFTER"]
    with subprocess.Popen(["sh", "-c", f"sleep {delay}; kill -9 {victim.pid}"]) as killer:
        ends = [ending(victim)[:2], ending(other)[:2]]
    return [*ends, killer.returncode]


if __name__ == "__main__":
    context = forkful.get_context(sys.argv[2])
    print(json.dumps(globals()[sys.argv[1]](context)))
