"""Programs with a circle of locks in them while another process is awake: NAME START_METHOD.

Each prints what became of it, as one line of JSON: how the processes have ended.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import forkful
from tests.deadlock.stuck import ending, error_of, started


def take_both(mine: Any, other: Any, all_have_one: Any) -> str:
    with mine:
        all_have_one.wait()
        with other:
            return "both"


def awake_until(happens: Callable[[], object]) -> None:
    """Be awake: wait in no forkful wait."""
    while not happens():
        time.sleep(0.01)  # sleep: whoever sleeps here is not on the board, which is what is tested


def endings(processes: list[Any]) -> list[list[object]]:
    awake_until(lambda: not any(p.is_alive() for p in processes))
    return [ending(p) for p in processes]


def in_a_circle(ctx: Any, locks: list[Any]) -> list[Any]:
    ready = ctx.Barrier(len(locks))
    pairs = zip(locks, locks[1:] + locks[:1], strict=True)
    return [started(ctx, take_both, mine, other, ready) for mine, other in pairs]


def two_rlocks(ctx: Any) -> object:
    return endings(in_a_circle(ctx, [ctx.RLock(), ctx.Condition()]))


def three_rlocks(ctx: Any) -> object:
    return endings(in_a_circle(ctx, [ctx.RLock() for _ in range(3)]))


def sleep(go: Any) -> None:
    awake_until(go.is_set)


def two_locks(ctx: Any) -> object:
    """Nobody has handles of the locks but the two, and this process, which joins them."""
    go = ctx.Event()
    sleeper = started(ctx, sleep, go)
    processes = in_a_circle(ctx, [ctx.Lock(), ctx.Lock()])
    ends = [ending(p) for p in processes]
    go.set()
    sleeper.join()
    return ends


def take_twice() -> str:
    lock = forkful.Lock()
    with lock:
        return error_of(lock.acquire)


def itself(ctx: Any) -> object:
    process = started(ctx, take_twice)
    awake_until(lambda: not process.is_alive())
    return process.result()


def hold_and_join(method: str) -> str:
    """Holds a lock, and joins a child that wants it."""
    ctx = forkful.get_context(method)
    lock = ctx.RLock()
    with lock:
        child = started(ctx, error_of, lock.acquire)
        child.join()
    return str(child.result())


def joins(ctx: Any) -> object:
    process = started(ctx, hold_and_join, ctx.get_start_method())
    awake_until(lambda: not process.is_alive())
    return process.result()


def two_threads(ctx: Any) -> object:
    locks, ready = [ctx.RLock(), ctx.RLock()], threading.Barrier(2)
    texts: list[str] = []

    def run(mine: Any, other: Any) -> None:
        try:
            texts.append(take_both(mine, other, ready))
        except forkful.DeadlockError as error:
            texts.append(str(error))

    threads = [threading.Thread(target=run, args=pair) for pair in (locks, locks[::-1])]
    for thread in threads:
        thread.start()
    awake_until(lambda: not any(thread.is_alive() for thread in threads))
    return texts


def behind(ctx: Any) -> object:
    """One that only waits for the circle is not told: it goes on when that is broken."""
    locks = [ctx.RLock(), ctx.RLock()]
    processes = in_a_circle(ctx, locks)
    waiter = started(ctx, take_and_free, locks[0])
    return endings([*processes, waiter])


def take_and_free(lock: Any) -> None:
    with lock:
        pass


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](forkful.get_context(sys.argv[2]))))
