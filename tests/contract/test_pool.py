"""Pool: what the standard library documents, with the standard library itself as the oracle."""

from __future__ import annotations

import collections
import contextlib
import functools
import gc
import itertools
import multiprocessing
import multiprocessing.pool
import os
import queue
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import forkful
import forkful.pool
from tests.contract.children import LONG, Hang, is_gone, two_workers, until
from tests.contract.oracle import ORACLE
from tests.kit import procs
from tests.programs import deeds

_STDLIB = [multiprocessing] if ORACLE else []


@pytest.fixture(params=[forkful, *_STDLIB], ids=lambda module: module.__name__)
def both(request: pytest.FixtureRequest, start_method: str) -> Any:
    """The contexts of the standard library and of forkful: the same test holds for both."""
    return request.param.get_context(start_method)


@pytest.fixture
def pool(both: Any) -> Iterator[Any]:
    with two_workers(both) as pool:
        yield pool
    if not isinstance(pool, forkful.pool.Pool):
        # pytest holds it until after the leak check, and it holds its descriptors.
        vars(pool).clear()
        pool._state = multiprocessing.pool.TERMINATE


@pytest.fixture
def own_pool(ctx: Any) -> Iterator[Any]:
    """Of forkful alone: for what the standard library does not do."""
    with ctx.Pool(2) as pool:
        yield pool
        pool.terminate()
        pool.join()


def abandoning(context: Any) -> Any:
    """For a block that leaves a pool before its calls are done: forkful warns."""
    if not isinstance(context, forkful.context.Context):
        return contextlib.nullcontext()
    return pytest.warns(RuntimeWarning, match="not done")


# ---- calls -------------------------------------------------------------------------------------


def test_apply(pool: Any) -> None:
    assert pool.apply(deeds.square, (5,)) == 25
    assert pool.apply(deeds.add, (1,), {"y": 2}) == 3
    assert pool.apply(deeds.add, args=[4], kwds={"y": 5}) == 9
    with pytest.raises(ValueError, match="boom"):
        pool.apply(deeds.explode)
    assert pool.apply(deeds.pid_of) != os.getpid()


def test_apply_async(pool: Any) -> None:
    results = [pool.apply_async(deeds.square, (x,)) for x in range(30)]
    assert [r.get(LONG) for r in results] == [x * x for x in range(30)]


@pytest.mark.parametrize("chunksize", [None, 1, 2, 3, 7, 99, 100, 101, 1000])
@pytest.mark.parametrize("n", [0, 1, 100])
def test_map(pool: Any, n: int, chunksize: int | None) -> None:
    assert pool.map(deeds.square, range(n), chunksize) == [x * x for x in range(n)]


def test_map_of_an_iterator(pool: Any) -> None:
    assert pool.map(deeds.square, iter(range(50))) == [x * x for x in range(50)]
    assert pool.map(deeds.echo, {"a": 1}) == ["a"]
    assert pool.map(deeds.echo, "abc") == ["a", "b", "c"]


def test_map_of_an_iterable_that_raises(pool: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        pool.map(deeds.square, (1 // (3 - x) for x in range(5)))
    assert pool.map(deeds.square, [2]) == [4]


def test_map_raises_what_the_function_raised(pool: Any) -> None:
    with pytest.raises(ValueError, match="math domain"):
        pool.map(deeds.root, [4, 1, -1, 9], 1)
    assert pool.map(deeds.square, [2]) == [4]


def test_starmap(pool: Any) -> None:
    pairs = [(x, 10 * x) for x in range(20)]
    assert pool.starmap(deeds.add, pairs) == [11 * x for x in range(20)]
    assert pool.starmap(deeds.add, pairs, 3) == [11 * x for x in range(20)]
    assert pool.starmap(deeds.add, iter(pairs)) == [11 * x for x in range(20)]
    assert pool.starmap(deeds.add, []) == []
    assert pool.starmap_async(deeds.add, pairs).get(LONG) == [11 * x for x in range(20)]


def test_callbacks(pool: Any) -> None:
    told: queue.Queue[Any] = queue.Queue()
    pool.apply_async(deeds.square, (3,), callback=told.put)
    assert told.get(timeout=LONG) == 9
    pool.map_async(deeds.square, range(4), callback=told.put, error_callback=told.put)
    assert told.get(timeout=LONG) == [0, 1, 4, 9]
    pool.starmap_async(deeds.add, [(1, 2)], callback=told.put)
    assert told.get(timeout=LONG) == [3]
    pool.apply_async(deeds.explode, ("a",), callback=told.put, error_callback=told.put)
    assert str(told.get(timeout=LONG)) == "a"
    pool.map_async(deeds.root, [4, -1], 1, callback=told.put, error_callback=told.put)
    assert isinstance(told.get(timeout=LONG), ValueError)
    assert told.empty()


def test_the_callback_of_a_map_of_nothing_is_called(own_pool: Any) -> None:
    """The standard library forgets it."""
    told: queue.Queue[Any] = queue.Queue()
    own_pool.map_async(deeds.square, [], callback=told.put)
    assert told.get(timeout=LONG) == []


def test_the_callback_has_run_when_the_result_is_there(pool: Any) -> None:
    for x in range(20):
        told: list[int] = []
        assert pool.apply_async(deeds.square, (x,), callback=told.append).get(LONG) == x * x
        assert told == [x * x]


def test_a_callback_may_submit(pool: Any) -> None:
    told: queue.Queue[Any] = queue.Queue()

    def again(value: int) -> None:
        told.put(value)
        if value < 100:
            pool.apply_async(deeds.add, (value, value), callback=again)

    pool.apply_async(deeds.add, (1, 1), callback=again)
    assert [told.get(timeout=LONG) for _ in range(7)] == [2, 4, 8, 16, 32, 64, 128]


def test_a_callback_may_wait_for_another_call(own_pool: Any) -> None:
    """The standard library's result thread would wait for itself."""
    told: queue.Queue[int] = queue.Queue()
    own_pool.apply_async(
        deeds.square, (3,), callback=lambda v: told.put(own_pool.apply(deeds.square, (v,)))
    )
    assert told.get(timeout=LONG) == 81


def test_an_async_result(pool: Any, tmp_path: Path) -> None:
    result = pool.apply_async(deeds.wait_for_file, (str(tmp_path / "go"),))
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0)
    (tmp_path / "go").touch()
    result.wait()
    assert result.ready()
    assert result.successful()
    assert result.get() == str(tmp_path / "go")
    assert result.get(0) == str(tmp_path / "go")
    failed = pool.apply_async(deeds.explode)
    failed.wait(LONG)
    assert failed.ready()
    assert not failed.successful()
    for _ in range(2):
        with pytest.raises(ValueError, match="boom"):
            failed.get()


def test_results_nobody_waits_for_become_ready(pool: Any) -> None:
    result = pool.map_async(deeds.square, range(50), 1)
    until(result.ready)
    assert result.successful()


def test_the_initializer_runs_in_each_worker(both: Any) -> None:
    with both.Pool(2, deeds.initialize, ("this",)) as pool:
        assert set(pool.map(deeds.what_was_initialized, range(20), 1)) == {"this"}
    pool.join()


# ---- iteration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 7, 200])
def test_imap(pool: Any, chunksize: int) -> None:
    results = pool.imap(deeds.square, range(100), chunksize)
    assert list(results) == [x * x for x in range(100)]
    with pytest.raises(StopIteration):
        next(results)


@pytest.mark.parametrize("chunksize", [1, 7, 200])
def test_imap_unordered(pool: Any, chunksize: int) -> None:
    results = list(pool.imap_unordered(deeds.square, range(100), chunksize))
    assert len(results) == 100
    assert set(results) == {x * x for x in range(100)}


def test_imap_unordered_yields_what_is_ready(pool: Any, tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    results = pool.imap_unordered(deeds.wait_for_file, [str(tmp_path / "a"), str(tmp_path / "b")])
    assert next(results) == str(tmp_path / "b")
    (tmp_path / "a").touch()
    assert next(results) == str(tmp_path / "a")


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_of_nothing(pool: Any, method: str) -> None:
    assert list(getattr(pool, method)(deeds.square, [])) == []
    assert list(getattr(pool, method)(deeds.square, iter([]), 3)) == []
    with pytest.raises(ValueError, match="Chunksize"):
        getattr(pool, method)(deeds.square, [1], 0)


def test_imap_next_with_a_timeout(pool: Any, tmp_path: Path) -> None:
    results = pool.imap(deeds.wait_for_file, [str(tmp_path / "go")])
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(0)
    (tmp_path / "go").touch()
    assert results.next(LONG) == str(tmp_path / "go")
    with pytest.raises(StopIteration):
        results.next(LONG)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_imap_of_an_iterable_that_raises_midway(pool: Any, method: str) -> None:
    def inputs() -> Iterator[int]:
        yield from range(10)
        raise LookupError("the iterable's own error")

    results = getattr(pool, method)(deeds.square, inputs())
    got = []
    with pytest.raises(LookupError, match="own error"):
        for value in results:
            got.append(value)
    if method == "imap":
        assert got == [x * x for x in range(10)]
    assert set(got) <= {x * x for x in range(10)}
    assert pool.map(deeds.square, [2]) == [4]


def test_imap_goes_on_after_an_exception(pool: Any) -> None:
    results = pool.imap(deeds.root, [4, -1, 9])
    assert next(results) == 2
    with pytest.raises(ValueError, match="math domain"):
        next(results)
    assert next(results) == 3


@pytest.mark.parametrize("method", ["imap", "imap_unordered", "outcomes"])
def test_infinite_inputs_are_read_lazily(own_pool: Any, method: str) -> None:
    """The standard library reads them all at once, and has no memory left."""
    read = itertools.count()
    results = getattr(own_pool, method)(deeds.square, (next(read) for _ in itertools.count()))
    for _ in itertools.islice(results, 100):
        pass
    assert next(read) < 1000
    del results
    assert own_pool.map(deeds.square, range(9)) == [x * x for x in range(9)]
    own_pool.close()
    own_pool.join()  # the infinite inputs do not keep the pool from its end


@pytest.mark.parametrize("method", ["imap", "outcomes"])
def test_an_infinite_range_is_dropped_without_its_iterator_being_closed(
    own_pool: Any, method: str
) -> None:
    results = iter(getattr(own_pool, method)(deeds.square, range(10**12)))
    next(results)
    next(results)
    assert own_pool.apply(deeds.square, (3,)) == 9
    del results
    assert own_pool.apply(deeds.square, (3,)) == 9


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_inputs_may_depend_on_results(own_pool: Any, method: str) -> None:
    known: queue.Queue[int] = queue.Queue()

    def inputs() -> Iterator[int]:
        yield 1
        for _ in range(5):
            yield known.get(timeout=LONG)

    results = []
    for value in getattr(own_pool, method)(deeds.add, inputs()):
        results.append(value)
        known.put(value + 1)
    assert results == [1, 2, 3, 4, 5, 6]


def test_imap_whose_iterator_nobody_wants_makes_its_calls(both: Any, tmp_path: Path) -> None:
    pool = both.Pool(2)
    count = functools.partial(deeds.count_run, str(tmp_path))
    pool.imap(count, range(100))
    pool.imap_unordered(count, iter(range(100, 200)))
    pool.close()
    pool.join()
    assert deeds.runs(tmp_path) == dict.fromkeys(range(200), 1)


def test_outcomes_one_for_each_input(own_pool: Any) -> None:
    outcomes = list(own_pool.outcomes(deeds.root, [4, -1, 9], ordered=True))
    assert [(o.seq, o.input, o.ok, o.value) for o in outcomes] == [
        (0, 4, True, 2.0),
        (1, -1, False, None),
        (2, 9, True, 3.0),
    ]
    assert isinstance(outcomes[1].error, ValueError)
    assert all(o.attempts == 1 and o.pid and o.seconds >= 0 for o in outcomes)
    assert list(own_pool.outcomes(deeds.root, [])) == []


# ---- the end -----------------------------------------------------------------------------------


def test_close_and_join(both: Any) -> None:
    pool = both.Pool(2)
    results = pool.map_async(deeds.square, range(50), 1)
    iterator = pool.imap(deeds.square, range(50))
    pool.close()
    pool.join()
    assert results.get(0) == [x * x for x in range(50)]
    assert list(iterator) == [x * x for x in range(50)]
    pool.join()


def test_join_before_close_is_refused(pool: Any) -> None:
    with pytest.raises(ValueError, match="still running"):
        pool.join()


@pytest.mark.parametrize("how", ["close", "terminate"])
def test_calls_after_the_end_are_refused(both: Any, how: str) -> None:
    pool = both.Pool(1)
    getattr(pool, how)()
    for call in (pool.apply, pool.apply_async):
        with pytest.raises(ValueError, match="not running"):
            call(deeds.square, (1,))
    for call in (pool.map, pool.map_async, pool.starmap, pool.imap, pool.imap_unordered):
        with pytest.raises(ValueError, match="not running"):
            call(deeds.square, [1])
    with pytest.raises(ValueError, match="not running"):
        with pool:
            pass
    pool.close()
    pool.join()
    pool.terminate()
    pool.terminate()


def test_terminate_with_tasks_running(own_pool: Any, tmp_path: Path) -> None:
    pids = [p.pid for p in own_pool._pool]
    running = own_pool.apply_async(deeds.sleep_long, (str(tmp_path / "a"),))
    stuck = own_pool.apply_async(deeds.sleep_in_c, (str(tmp_path / "b"),))
    waiting = own_pool.map_async(deeds.square, range(100), 1)
    iterator = own_pool.imap(deeds.square, itertools.count())
    deeds.wait_for_file(str(tmp_path / "a"))
    deeds.wait_for_file(str(tmp_path / "b"))
    own_pool.terminate()
    for result in (running, stuck, waiting):
        result.wait()
        with pytest.raises(forkful.WorkerDied, match="terminated"):
            result.get()
        assert not result.ready()
    with pytest.raises(forkful.WorkerDied, match="terminated"):
        next(iterator)
    own_pool.join()
    assert all(map(is_gone, pids))


def test_what_terminate_cuts_off_is_not_ready(pool: Any, tmp_path: Path) -> None:
    told: list[object] = []
    slow = (str(tmp_path / "there"),)
    one = pool.apply_async(deeds.sleep_long, slow, callback=told.append, error_callback=told.append)
    many = pool.map_async(deeds.echo, range(100), 1, told.append, told.append)
    deeds.wait_for_file(*slow)
    done = pool.apply_async(deeds.square, (3,))
    assert done.get(LONG) == 9
    many.wait(LONG)
    pool.terminate()
    pool.join()
    assert (one.ready(), done.ready()) == (False, True)
    with pytest.raises(ValueError, match="not ready"):
        one.successful()
    assert done.get(0) == 9
    assert told == [list(range(100))]


def test_terminate_ends_stopped_workers(own_pool: Any) -> None:
    for process in own_pool._pool:
        os.kill(process.pid, signal.SIGSTOP)
    pids = [p.pid for p in own_pool._pool]
    own_pool.terminate()
    own_pool.join()
    assert all(map(is_gone, pids))


def test_terminate_ends_workers_in_any_state(fork: Any, tmp_path: Path) -> None:
    """The same second of grace for all of them, whoever calls it and however often."""
    pool = fork.Pool(4)
    states = (deeds.ignore_sigterm_and_wait, deeds.sleep_in_c, deeds.sleep_long)
    for n, state in enumerate(states):
        pool.apply_async(state, (str(tmp_path / str(n)),))
        deeds.wait_for_file(str(tmp_path / str(n)))
    processes = list(pool._pool)

    def idle() -> list[int]:
        return [w.pid for w in pool.statistics().workers if w.state == "idle"]

    until(idle)  # the fourth may be starting still
    (fourth,) = idle()
    os.kill(fourth, signal.SIGSTOP)
    until(lambda: procs.look(fourth).state == "T")
    threads = [threading.Thread(target=pool.terminate) for _ in range(2)]
    for thread in threads:
        thread.start()
    pool.terminate()
    for thread in threads:
        thread.join(LONG)
    pool.join()
    assert all(p.exitcode in (-signal.SIGTERM, -signal.SIGKILL) for p in processes)
    assert sorted(p.exitcode == -signal.SIGKILL for p in processes) == [False, False, True, True]


def test_terminate_ends_workers_that_are_just_starting(ctx: Any, tmp_path: Path) -> None:
    pool = ctx.Pool(2, deeds.sleep_long, (str(tmp_path / "there"),))
    first = list(pool._pool)
    deeds.wait_for_file(str(tmp_path / "there"))  # one at least is in its initializer
    result = pool.apply_async(deeds.square, (3,))
    first[0].kill()
    until(lambda: first[0] not in pool._pool)  # another one starts in its place
    second = list(pool._pool)
    pool.terminate()
    pool.join()
    assert all(process.exitcode is not None for process in {*first, *second})
    with pytest.raises(forkful.WorkerDied, match="terminated"):
        result.get()


def test_terminate_in_a_callback(own_pool: Any) -> None:
    pids = [p.pid for p in own_pool._pool]
    told: queue.Queue[Any] = queue.Queue()

    def end(value: int) -> None:
        own_pool.terminate()
        told.put(value)

    result = own_pool.apply_async(deeds.square, (3,), callback=end)
    assert told.get(timeout=LONG) == 9
    result.wait(LONG)
    assert all(map(is_gone, pids))
    own_pool.join()


def test_terminate_does_not_wait_for_a_callback_that_hangs(fork: Any) -> None:
    hang = Hang()
    pool = fork.Pool(2)
    pids = [p.pid for p in pool._pool]
    hung = pool.apply_async(deeds.square, (3,), callback=hang)
    assert hang.entered.wait(LONG)
    pool.terminate()
    assert all(map(is_gone, pids))
    assert not hung.ready()
    hang.release.set()
    pool._collector._thread.join(LONG)
    assert hung.get(0) == 9
    pool.join()


def test_ctrl_c_amid_the_begin_of_a_callback_lets_who_waits_for_it_go(fork: Any) -> None:
    """None is taken to be under way for ever."""

    class Interrupted(collections.deque[Any]):
        def popleft(self) -> Any:
            super().popleft()
            raise KeyboardInterrupt

    with fork.Pool(1) as pool:
        result, engine = pool.apply_async(deeds.square, (3,)), pool._engine
        assert result.get(LONG) == 9
        engine._calls = Interrupted([result._call_back])
        with pytest.raises(KeyboardInterrupt):
            engine._run_calls()
        assert not engine.is_calling(result._call_back)


def test_terminate_wakes_who_waits(own_pool: Any, tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            own_pool.apply(deeds.sleep_long, (str(tmp_path / "a"),))
        except forkful.WorkerDied as e:
            caught.append(e)

    thread = threading.Thread(target=wait)
    thread.start()
    deeds.wait_for_file(str(tmp_path / "a"))
    own_pool.terminate()
    thread.join(LONG)
    assert len(caught) == 1


def test_leaving_the_with_block_terminates(both: Any) -> None:
    with abandoning(both), both.Pool(2) as pool:
        processes = list(pool._pool)
        sentinels = [p.sentinel for p in processes]
        pool.map_async(time.sleep, [1000])  # sleep: stands for work that nobody wants to wait for
    multiprocessing.connection.wait(sentinels, LONG)
    pool.join()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(deeds.square, (1,))


def test_leaving_the_with_block_says_what_it_abandons(fork: Any, tmp_path: Path) -> None:
    there = str(tmp_path / "there")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with fork.Pool(2) as pool:  # the line that is told
            line = sys._getframe().f_lineno - 1
            done = pool.apply_async(deeds.square, (3,))
            done.wait(LONG)
            pool.apply_async(deeds.sleep_long, (there,))
            pool.map_async(deeds.sleep_long, [there] * 7, 1)
            for _ in range(3):
                pool.imap(deeds.sleep_long, iter([there]))
    (warning,) = caught
    assert warning.category is RuntimeWarning
    assert (warning.filename, warning.lineno) == (__file__, line)
    text = str(warning.message)
    assert "5 calls that were not done: sleep_long('" in text
    assert "; sleep_long over 7 inputs; sleep_long over its inputs; and 2 more." in text


def test_leaving_the_with_block_is_silent_if_nothing_wanted_is_abandoned(
    fork: Any, tmp_path: Path
) -> None:
    there = str(tmp_path / "there")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fork.Pool(2) as pool:
            assert pool.apply_async(deeds.square, (3,)).get(LONG) == 9
            for _ in pool.imap(deeds.square, itertools.count()):
                break
            for _ in pool.imap_unordered(deeds.square, range(100)):
                break
            for _ in pool.outcomes(deeds.square, itertools.count()):
                break
            pool.apply_async(deeds.sleep_long, (there,)).cancel()
            with pytest.raises(multiprocessing.TimeoutError):  # who asks knows that it is not done
                pool.apply_async(deeds.sleep_long, (there,)).get(0.01)
        with fork.Pool(2) as pool:
            pool.apply_async(deeds.sleep_long, (there,))
            pool.terminate()
        with pytest.raises(ZeroDivisionError):
            with fork.Pool(2) as pool:
                pool.apply_async(deeds.sleep_long, (there,))
                _ = 1 // 0


def test_wrong_arguments_are_refused(both: Any) -> None:
    for processes in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            both.Pool(processes)
    with pytest.raises(TypeError, match="callable"):
        both.Pool(1, initializer=123)
    for tasks in (0, -1, 1.5, "1"):
        with pytest.raises(ValueError, match="maxtasksperchild"):
            both.Pool(1, maxtasksperchild=tasks)


def test_a_pool_does_not_travel(pool: Any) -> None:
    with pytest.raises(NotImplementedError, match="cannot be passed"):
        pool.apply(deeds.echo, (pool,))


def test_a_forgotten_pool_warns_and_its_workers_end(ctx: Any) -> None:
    pools = [ctx.Pool(2)]
    pids = [p.pid for p in pools[0]._pool]
    assert pools[0].apply(deeds.square, (2,)) == 4
    pools[0].apply_async(deeds.square, (2,)).get()  # starts the collector
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        pools.clear()
    until(lambda: all(map(is_gone, pids)))


def test_a_forgotten_closed_pool_does_not_warn(both: Any) -> None:
    pool = both.Pool(2)
    pool.close()
    pool.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del pool
        gc.collect()


# ---- replaced workers --------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "n"), [(1, 200), (7, 100)])
def test_maxtasksperchild(ctx: Any, tasks: int, n: int) -> None:
    if ctx.get_start_method() == "spawn":
        n = 30  # each start takes its time
    with ctx.Pool(2, maxtasksperchild=tasks) as pool:
        pids = pool.map(deeds.pid_of, range(n), 1)
        assert pool.map(deeds.square, range(20), 1) == [x * x for x in range(20)]
        assert pool.statistics().died == 0
    pool.join()
    assert len(pids) == n
    assert max(pids.count(pid) for pid in pids) <= tasks
    assert len(set(pids)) >= n // tasks


def test_maxtasksperchild_with_close_and_join(both: Any) -> None:
    pool = both.Pool(2, maxtasksperchild=2)
    results = [pool.apply_async(deeds.square, (x,)) for x in range(10)]
    pool.close()
    pool.join()
    assert [r.get(0) for r in results] == [x * x for x in range(10)]


def test_max_memory_per_child(own_pool: Any, ctx: Any) -> None:
    with ctx.Pool(1, max_memory_per_child=1) as pool:
        pids = [pool.apply(deeds.pid_of) for _ in range(3)]
    pool.join()
    assert len(set(pids)) == 3


def test_a_worker_with_too_much_memory_is_replaced_without_losing_a_task(
    fork: Any, tmp_path: Path
) -> None:
    with fork.Pool(2, max_memory_per_child=200 << 20) as pool:
        pool.map(functools.partial(deeds.count_run, str(tmp_path)), range(40), 1)
        before = {p.pid for p in pool._pool}
        assert pool.apply(deeds.hoard, (300 << 20,)) in before
        pool.map(functools.partial(deeds.count_run, str(tmp_path)), range(40, 80), 1)
        until(lambda: pool.statistics().retired == 1)
        assert len({p.pid for p in pool._pool} - before) == 1
        assert pool.statistics().died == 0
    pool.join()
    assert deeds.runs(tmp_path) == dict.fromkeys(range(80), 1)


# ---- threads, nesting, handles -----------------------------------------------------------------


def test_threads_share_a_pool(pool: Any) -> None:
    results: dict[int, Any] = {}

    def work(t: int) -> None:
        one = [pool.apply(deeds.square, (x,)) for x in range(20)]
        two = pool.map(deeds.square, range(50), 3)
        three = list(pool.imap(deeds.square, range(50)))
        four = pool.apply_async(deeds.square, (t,)).get(LONG)
        results[t] = one, two, three, four

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(LONG)
    squares = [x * x for x in range(50)]
    assert results == {t: (squares[:20], squares, squares, t * t) for t in range(4)}


def test_a_task_may_start_a_pool(own_pool: Any, start_method: str) -> None:
    """The standard library refuses: its workers are daemonic, which may not have children."""
    assert own_pool.apply(deeds.nested_map, (start_method, [1, 2, 3])) == [1, 4, 9]


def test_a_task_may_start_a_process(own_pool: Any, start_method: str) -> None:
    assert own_pool.apply(deeds.nested_process, (start_method, 6)) == 36


def test_handles_are_arguments(own_pool: Any, ctx: Any) -> None:
    """The standard library refuses: they are for inheritance only."""
    lock, results, event = ctx.Lock(), ctx.Queue(), ctx.Event()
    calls = [own_pool.apply_async(deeds.locked_put, (lock, results, event, x)) for x in range(5)]
    event.set()
    for call in calls:
        call.get(LONG)
    assert {results.get(timeout=LONG) for _ in range(5)} == set(range(5))


def test_the_last_handle_may_be_dropped_while_it_is_under_way(own_pool: Any, ctx: Any) -> None:
    event = ctx.Event()
    event.set()
    results = ctx.Queue()
    calls = [
        own_pool.apply_async(deeds.locked_put, (ctx.Lock(), results, event, x)) for x in range(5)
    ]
    del event
    for call in calls:
        call.get(LONG)
    assert {results.get(timeout=LONG) for _ in range(5)} == set(range(5))


def test_tasks_may_return_handles(own_pool: Any, start_method: str) -> None:
    made = own_pool.apply(deeds.make_filled_queue, (start_method, 42))
    assert made.get(timeout=LONG) == 42


def test_statistics(own_pool: Any, tmp_path: Path) -> None:
    call = own_pool.apply_async(
        deeds.arrive_and_wait, (str(tmp_path / "there"), str(tmp_path / "go"))
    )
    deeds.wait_for_file(str(tmp_path / "there"))
    until(lambda: sorted(w.state for w in own_pool.statistics().workers) == ["busy", "idle"])
    (tmp_path / "go").touch()
    call.get(LONG)
    until(lambda: [w.state for w in own_pool.statistics().workers] == ["idle", "idle"])
    stats = own_pool.statistics()
    assert (stats.waiting, stats.died, stats.retired) == (0, 0, 0)


def test_a_pool_is_refused_in_a_forked_child() -> None:
    with forkful.get_context("fork").Pool(1) as pool:
        pool.apply(deeds.square, (1,))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                pool.apply(deeds.square, (1,))
            except ValueError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert pool.apply(deeds.square, (2,)) == 4
    pool.join()


# ---- signals -----------------------------------------------------------------------------------

PROGRAM = """
    import forkful, os, sys, time
    import tests.programs.deeds as deeds

    def main():
        with forkful.get_context({method!r}).Pool(2) as pool:
            for p in pool._pool:
                print(p.pid)
            first = pool.apply_async(deeds.{deed}, ({arrived!r} + "1",))
            second = pool.apply_async(deeds.{deed}, ({arrived!r} + "2",))
            for n in "12":
                deeds.wait_for_file({arrived!r} + n)
            print("ready", flush=True)
            pool.map(deeds.square, range(10))

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def program(start_method: str, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Start a program with a busy pool in a process group of its own; give it and the workers."""
    started = []

    def start(deed: str) -> tuple[subprocess.Popen[str], list[int]]:
        file = tmp_path / "program.py"
        file.write_text(
            textwrap.dedent(PROGRAM).format(
                method=start_method, deed=deed, arrived=str(tmp_path / "there")
            )
        )
        p = subprocess.Popen(
            [sys.executable, str(file)],
            env=os.environ | {"PYTHONPATH": os.getcwd()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(p)
        assert p.stdout is not None
        pids = []
        while (line := p.stdout.readline()) != "ready\n":
            assert line, p.communicate()
            pids.append(int(line))
        return p, pids

    yield start
    for p in started:
        p.kill()
        p.communicate()


@pytest.mark.parametrize("deed", ["sleep_long", "sleep_in_c"])
def test_an_interrupt_of_the_group_is_one_keyboard_interrupt(program: Any, deed: str) -> None:
    parent, workers = program(deed)
    os.killpg(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=LONG)
    assert parent.returncode == -signal.SIGINT  # as plain Python: a shell says 130
    assert err.count("KeyboardInterrupt") == 1
    assert err.count("Traceback") == 1
    until(lambda: all(map(is_gone, workers)))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("deed", ["sleep_long", "sleep_in_c"])
def test_the_workers_end_with_their_parent(program: Any, deed: str, signum: int) -> None:
    parent, workers = program(deed)
    assert not any(map(is_gone, workers))
    parent.send_signal(signum)
    parent.communicate(timeout=LONG)
    until(lambda: all(map(is_gone, workers)))


def test_a_pool_works_on_after_an_interrupt(own_pool: Any, tmp_path: Path) -> None:
    def interrupt() -> None:
        deeds.wait_for_file(str(tmp_path / "there"))
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        own_pool.apply(deeds.arrive_and_wait, (str(tmp_path / "there"), str(tmp_path / "go")))
    thread.join()
    (tmp_path / "go").touch()
    assert own_pool.map(deeds.square, range(20), 1) == [x * x for x in range(20)]
    own_pool.close()
    own_pool.join()


# Python prints and drops what is raised in __del__, and an iterator may be interrupted there.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.stress
def test_interrupts_at_any_moment_leave_the_pool_whole(rand: random.Random) -> None:
    """Whatever Ctrl-C cuts short: later calls are right, and the pool comes to its end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    pool = forkful.get_context("fork").Pool(2)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(90):
            try:
                signal.setitimer(signal.ITIMER_REAL, rand.uniform(0.0005, 0.02))
                if i % 3 == 0:
                    pool.map(deeds.square, range(5000), 1)
                elif i % 3 == 1:
                    for _ in pool.imap(deeds.square, range(5000)):
                        pass
                else:
                    for _ in pool.outcomes(deeds.square, range(5000)):
                        pass
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            results = pool.map_async(deeds.square, range(10), 1)
            assert results.get(LONG) == [x * x for x in range(10)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pool.close()
    pool.join()


def test_a_program_that_leaves_its_pool_open_ends_quietly(
    start_method: str, tmp_path: Path
) -> None:
    file = tmp_path / "program.py"
    text = f"""
        import forkful
        import tests.programs.deeds as deeds
        if __name__ == "__main__":
            pool = forkful.get_context({start_method!r}).Pool(2)
            assert pool.map(deeds.square, range(3)) == [0, 1, 4]
            pool.apply_async(deeds.sleep_long, ({str(tmp_path / "there")!r},))
            deeds.wait_for_file({str(tmp_path / "there")!r})
    """
    file.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, str(file)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_pool_needs_no_context(start_method: str) -> None:
    forkful.set_start_method(start_method, force=True)
    try:
        with forkful.pool.Pool(1) as pool:
            assert pool.apply(deeds.method_here) == start_method
            pool.terminate()
            pool.join()
    finally:
        forkful.set_start_method(None, force=True)


def test_workers_that_have_retired_can_be_replaced_at_once(ctx: Any) -> None:
    with ctx.Pool(2, maxtasksperchild=1) as pool:
        before = {worker.pid for worker in pool._pool}
        pool.map(deeds.square, range(2), chunksize=1)

        def replaced() -> bool:
            pool._repopulate_pool()
            return {worker.pid for worker in pool._pool} != before

        until(replaced)
        assert pool.map(deeds.square, range(2), chunksize=1) == [0, 1]
        pool.terminate()
        pool.join()
