"""The standard library's ProcessPoolExecutor on forkful's contexts, and asyncio on top of it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
from concurrent.futures import CancelledError, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import current_process
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG

given: Any = None  # what the initializer has left in this worker


def double(x: int) -> int:
    return 2 * x


def fail(text: str) -> None:
    raise ValueError(text)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def add(q: Any, x: int) -> None:
    q.put(x)


def keep(*args: Any) -> None:
    global given
    given = args


def kept() -> Any:
    return given


def arrive_and_wait(arrived: Any, go: Any) -> None:
    arrived.put(os.getpid())
    go.wait()


def who() -> tuple[int, str]:
    return os.getpid(), current_process().name


class NotRebuilt(Exception):
    """Pickles, and then its class wants another argument."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(where + what)


def raise_not_rebuilt() -> None:
    raise NotRebuilt("here", "there")


def test_it_maps_and_tells_errors(ctx: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        assert list(executor.map(double, range(50))) == [2 * x for x in range(50)]
        assert list(executor.map(double, range(50), chunksize=7)) == [2 * x for x in range(50)]
        with pytest.raises(ValueError, match="on purpose"):
            executor.submit(fail, "on purpose").result(LONG)


def test_futures_come_as_they_are_completed(ctx: Any) -> None:
    arrived, go = ctx.Queue(), ctx.Event()
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        slow = executor.submit(arrive_and_wait, arrived, go)
        arrived.get(timeout=LONG)
        futures = [slow, *(executor.submit(double, x) for x in range(10))]
        order = []
        for future in as_completed(futures, timeout=LONG):
            order.append(future)
            if len(order) == 10:
                go.set()
    assert order[-1] is slow
    assert sorted(future.result() for future in order[:-1]) == [2 * x for x in range(10)]


def test_the_traceback_of_a_worker_is_told(ctx: Any) -> None:
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        error = executor.submit(fail, "on purpose").exception(LONG)
    told = "".join(traceback.format_exception(error))
    assert "test_executor.py" in told
    assert "in fail" in told


def test_an_initializer_prepares_each_worker(ctx: Any) -> None:
    lock, q = ctx.Lock(), ctx.Queue()
    with ProcessPoolExecutor(2, ctx, initializer=keep, initargs=(lock, q)) as executor:
        theirs, _ = executor.submit(kept).result(LONG)
        with lock:  # it is the same lock
            assert not theirs.acquire(False)


def test_an_initializer_that_raises_breaks_it(ctx: Any) -> None:
    with ProcessPoolExecutor(1, ctx, initializer=fail, initargs=("on purpose",)) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(double, 1).result(LONG)


def test_a_killed_worker_breaks_it_and_nothing_hangs(ctx: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(die).result(LONG)


def test_a_worker_killed_from_outside_ends_all_that_is_pending(ctx: Any) -> None:
    arrived, go = ctx.Queue(), ctx.Event()
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        futures = [executor.submit(arrive_and_wait, arrived, go) for _ in range(2)]
        futures += [executor.submit(double, x) for x in range(10)]
        victim = arrived.get(timeout=LONG)
        arrived.get(timeout=LONG)  # both are at work
        os.kill(victim, signal.SIGKILL)
        for future in futures:
            with pytest.raises(BrokenProcessPool):
                future.result(LONG)
        with pytest.raises(BrokenProcessPool):
            executor.submit(double, 1)


def test_a_result_that_cannot_be_pickled_fails_its_own_task(ctx: Any) -> None:
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(threading.Lock).result(LONG)
        assert executor.submit(double, 2).result(LONG) == 4


def test_an_argument_that_cannot_be_pickled_fails_its_own_task(ctx: Any) -> None:
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        with pytest.raises(TypeError, match="pickle"):
            executor.submit(double, threading.Lock()).result(LONG)
        assert executor.submit(double, 2).result(LONG) == 4


def test_an_exception_that_cannot_be_rebuilt_breaks_it_and_nothing_hangs(ctx: Any) -> None:
    """So the standard library has it; a pool of forkful's goes on."""
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        with pytest.raises(BrokenProcessPool):
            executor.submit(raise_not_rebuilt).result(LONG)


def test_workers_are_replaced_after_some_tasks(ctx: Any, start_method: str) -> None:
    if start_method == "fork":
        with pytest.raises(ValueError, match="fork"):
            ProcessPoolExecutor(1, mp_context=ctx, max_tasks_per_child=2)
        return
    with ProcessPoolExecutor(1, mp_context=ctx, max_tasks_per_child=2) as executor:
        pids = [executor.submit(os.getpid).result(LONG) for _ in range(6)]
    assert len(set(pids)) == 3


def test_a_shut_down_executor_takes_nothing_more(ctx: Any) -> None:
    arrived, go = ctx.Queue(), ctx.Event()
    executor = ProcessPoolExecutor(1, mp_context=ctx)
    running = executor.submit(arrive_and_wait, arrived, go)
    arrived.get(timeout=LONG)
    waiting = [executor.submit(double, x) for x in range(10)]
    manager = executor._executor_manager_thread  # type: ignore[attr-defined]  # which it forgets
    executor.shutdown(wait=False, cancel_futures=True)
    go.set()
    running.result(LONG)
    with pytest.raises(CancelledError):
        waiting[-1].result(LONG)  # the first ones are on their way to the worker
    with pytest.raises(RuntimeError, match="shutdown"):
        executor.submit(double, 1)
    manager.join(LONG)  # what it has open is closed, and not by another test's end


def test_its_workers_are_children_with_names(ctx: Any) -> None:
    with ProcessPoolExecutor(1, mp_context=ctx) as executor:
        pid, name = executor.submit(who).result(LONG)
        mine = {child.pid: child for child in ctx.active_children()}
        assert mine[pid].name == name
        assert type(mine[pid]).__module__.startswith("forkful")


def test_a_queue_may_be_an_argument_of_a_task(ctx: Any) -> None:
    """The standard library's may not."""
    q = ctx.Queue()
    with ProcessPoolExecutor(2, mp_context=ctx) as executor:
        for future in [executor.submit(add, q, n) for n in range(5)]:
            future.result(LONG)
    assert sorted(q.get(timeout=LONG) for _ in range(5)) == [0, 1, 2, 3, 4]


def test_the_module_itself_is_a_context_for_it(start_method: str) -> None:
    forkful.set_start_method(start_method, force=True)
    try:
        with ProcessPoolExecutor(2, mp_context=forkful) as executor:
            assert list(executor.map(double, range(5))) == [0, 2, 4, 6, 8]
            with pytest.raises(BrokenProcessPool):
                executor.submit(die).result(LONG)
        assert type(forkful.SimpleQueue()) is forkful.SimpleQueue
    finally:
        forkful.set_start_method(None, force=True)


def test_outside_the_executor_a_simple_queue_is_forkfuls(ctx: Any) -> None:
    assert type(ctx.SimpleQueue()).__module__.startswith("forkful")


def test_asyncio_awaits_what_it_runs(ctx: Any) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(2, mp_context=ctx) as executor:
            return await asyncio.gather(
                *(loop.run_in_executor(executor, double, x) for x in range(20))
            )

    assert asyncio.run(main()) == [2 * x for x in range(20)]


def test_asyncio_is_told_errors_and_deaths(ctx: Any) -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        with ProcessPoolExecutor(1, mp_context=ctx) as executor:
            failed = await asyncio.gather(
                loop.run_in_executor(executor, fail, "on purpose"), return_exceptions=True
            )
            died = await asyncio.gather(loop.run_in_executor(executor, die), return_exceptions=True)
        return failed + died

    failed, died = asyncio.run(main())
    assert isinstance(failed, ValueError)
    assert isinstance(died, BrokenProcessPool)
