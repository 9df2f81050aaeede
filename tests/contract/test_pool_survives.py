"""A pool outlives whatever a task does: only that call fails, with the true cause, and nothing hangs."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest

import forkful
import forkful.pool
from tests.contract.children import LONG, two_workers, until
from tests.programs import deeds


@pytest.fixture
def pool(ctx: Any) -> Iterator[Any]:
    with two_workers(ctx) as pool:
        yield pool


def works(pool: Any, n: int = 50) -> None:
    """The same pool still does its work."""
    assert pool.map_async(deeds.square, range(n), 1).get(LONG) == [x * x for x in range(n)]


def among_neighbours(pool: Any, func: Callable[..., Any], *args: Any) -> BaseException:
    """Call `func` between healthy calls; return what it failed with. The others must succeed."""
    before = [pool.apply_async(deeds.square, (x,)) for x in range(10)]
    evil = pool.apply_async(func, args)
    after = [pool.apply_async(deeds.square, (x,)) for x in range(10, 20)]
    with pytest.raises(BaseException) as caught:
        evil.get(LONG)
    assert [r.get(LONG) for r in before + after] == [x * x for x in range(20)]
    assert not evil.successful()
    works(pool)
    return caught.value


# ---- one test for each row of the matrix -------------------------------------------------------


def died(error: BaseException) -> forkful.WorkerDied:
    assert isinstance(error, forkful.WorkerDied), repr(error)
    return error


def test_a_worker_killed_with_sigkill(pool: Any) -> None:
    pids = {p.pid for p in pool._pool}
    error = died(among_neighbours(pool, deeds.kill_self, "arg"))
    assert error.signal == signal.SIGKILL
    assert error.exitcode == -signal.SIGKILL
    assert error.pid in pids
    assert "SIGKILL" in str(error)
    assert "kill_self('arg')" in str(error)
    assert str(error.pid) in str(error)


def test_an_exception_that_its_class_cannot_rebuild(pool: Any) -> None:
    error = among_neighbours(pool, deeds.raise_awkward)
    assert isinstance(error, deeds.Awkward)
    assert str(error) == "cat has 9"
    assert error.number == 9


def test_an_exception_that_does_not_unpickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.raise_unrebuildable)
    assert isinstance(error, deeds.Unrebuildable) or (
        isinstance(error, forkful.RemoteError) and "Unrebuildable" in error.type_name
    )
    assert "the true cause" in str(error)


def test_an_exception_that_does_not_pickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.raise_unpicklable)
    assert isinstance(error, deeds.Unpicklable)
    assert "holds a lock" in str(error)


def test_a_base_exception(pool: Any) -> None:
    error = among_neighbours(pool, deeds.raise_base)
    assert type(error) is deeds.OwnBase
    assert str(error) == "not an Exception"


def test_a_stop_iteration_is_an_error_and_no_end(pool: Any) -> None:
    with pytest.raises(StopIteration):
        pool.map(next, [iter("a"), iter("")], chunksize=2)
    with pytest.raises(StopIteration):
        pool.starmap(next, [(iter("a"),), (iter(""),)])
    results = pool.imap(next, [iter("a"), iter(""), iter("c")])
    assert next(results) == "a"
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, StopIteration)
    assert list(results) == ["c"]


def test_a_keyboard_interrupt_raised_by_the_task(pool: Any) -> None:
    error = among_neighbours(pool, deeds.raise_keyboard_interrupt)
    assert type(error) is KeyboardInterrupt
    assert str(error) == "as if"


@pytest.mark.parametrize("code", [0, 3])
def test_system_exit(pool: Any, code: int) -> None:
    error = died(among_neighbours(pool, deeds.sys_exit, code))
    assert error.exitcode == code
    assert f"sys_exit({code})" in str(error)


@pytest.mark.parametrize("code", [0, 7])
def test_os_exit(pool: Any, code: int) -> None:
    error = died(among_neighbours(pool, deeds.exit_hard, code))
    assert error.exitcode == code
    assert error.signal is None
    assert f"exit_hard({code})" in str(error)


def test_a_segmentation_fault(pool: Any) -> None:
    error = died(among_neighbours(pool, deeds.segfault))
    assert error.signal == signal.SIGSEGV
    assert "SIGSEGV" in str(error)


def test_a_result_that_does_not_pickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.return_lock)
    assert isinstance(error, forkful.pool.MaybeEncodingError)
    assert "lock" in str(error)


def test_a_result_that_does_not_unpickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.return_not_unpickling)
    assert type(error) is ValueError
    assert str(error) == "this value does not unpickle"
    assert any("could not be unpickled" in note for note in error.__notes__)


def test_a_result_that_raises_a_base_exception_when_unpickled(pool: Any) -> None:
    error = among_neighbours(pool, deeds.return_exits)
    assert isinstance(error, SystemExit)


def test_an_argument_that_does_not_pickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.echo, deeds.DoesNotPickle())
    assert isinstance(error, Exception)
    assert "this value does not pickle" in str(error)


def test_an_argument_that_does_not_unpickle(pool: Any) -> None:
    error = among_neighbours(pool, deeds.echo, deeds.DoesNotUnpickle())
    assert type(error) is ValueError
    assert str(error) == "this value does not unpickle"


def test_an_argument_that_kills_who_unpickles_it(pool: Any) -> None:
    error = died(among_neighbours(pool, deeds.echo, deeds.KillsWhenUnpickled()))
    assert error.signal == signal.SIGKILL


def test_an_argument_that_exits_when_unpickled(pool: Any) -> None:
    error = died(among_neighbours(pool, deeds.echo, deeds.ExitsWhenUnpickled()))
    assert error.exitcode == 5


@pytest.mark.parametrize("wait_in", ["map", "apply_async", "later call", "close and join"])
def test_an_initializer_that_raises(ctx: Any, tmp_path: Path, wait_in: str) -> None:
    file = tmp_path / "attempts"
    with ctx.Pool(2, deeds.count_and_explode, (str(file),)) as pool:
        with pytest.raises(LookupError, match="the initializer's own error"):
            if wait_in == "map":
                pool.map(deeds.square, range(10))
            elif wait_in == "apply_async":
                pool.apply_async(deeds.square, (1,)).get(LONG)
            elif wait_in == "later call":
                while True:  # it reaches the first call that is made after it
                    pool.apply(deeds.square, (1,))
            else:
                pool.close()
                pool.join()
        with pytest.raises(ValueError, match="not running"):
            pool.apply(deeds.square, (1,))
    pool.join()
    assert file.stat().st_size <= 2  # one attempt of each worker: no new ones were started


def test_an_initializer_that_kills_its_worker(ctx: Any) -> None:
    with ctx.Pool(2, deeds.kill_self) as pool:
        with pytest.raises(forkful.WorkerDied, match="before they are ready"):
            pool.apply_async(deeds.square, (1,)).get(LONG)
    pool.join()


def test_a_callback_that_raises(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, tb: reported.append(error))

    def callback(value: object) -> None:
        raise KeyError(value)

    results = [pool.apply_async(deeds.square, (x,), callback=callback) for x in range(5)]
    failed = pool.apply_async(deeds.explode, ("own",), error_callback=callback)
    assert [r.get(LONG) for r in results] == [0, 1, 4, 9, 16]
    with pytest.raises(ValueError, match="own"):
        failed.get(LONG)
    assert len(reported) == 6
    assert {type(e) for e in reported} == {KeyError}
    works(pool)


def test_a_callback_that_raises_a_base_exception(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, tb: reported.append(error))

    def callback(value: object) -> None:
        sys.exit(1)

    results = [pool.apply_async(deeds.square, (x,), callback=callback) for x in range(5)]
    assert [r.get(LONG) for r in results] == [0, 1, 4, 9, 16]
    assert len(reported) == 5
    works(pool)


# ---- deaths between and below tasks ------------------------------------------------------------


def idle_workers(pool: Any) -> list[int]:
    """Wait until both workers are idle; return their pids."""
    while True:
        workers = pool.statistics().workers
        if [w.state for w in workers] == ["idle", "idle"]:
            return [w.pid for w in workers]


def test_a_worker_killed_while_idle_is_replaced(pool: Any) -> None:
    victim, other = idle_workers(pool)
    os.kill(victim, signal.SIGKILL)
    works(pool)
    while pool.statistics().died != 1:
        works(pool, 5)
    assert victim not in idle_workers(pool)
    assert other in idle_workers(pool)


def test_all_workers_killed_at_once(pool: Any) -> None:
    for _ in range(3):
        old = idle_workers(pool)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        works(pool)
        while set(idle_workers(pool)) & set(old):
            works(pool, 5)


def test_workers_killed_before_they_are_ready(ctx: Any) -> None:
    with ctx.Pool(2) as pool:
        for process in pool._pool:
            process.kill()
        works(pool)
    pool.join()


# ---- a death in calls of many inputs -----------------------------------------------------------


def test_in_map_the_call_fails_with_the_death(pool: Any) -> None:
    with pytest.raises(forkful.WorkerDied) as caught:
        pool.map_async(deeds.DieAt(7), range(20), 1).get(LONG)
    assert caught.value.signal == signal.SIGKILL
    assert "(7)" in str(caught.value)
    works(pool)


def test_in_starmap_the_call_fails_with_the_death(pool: Any) -> None:
    with pytest.raises(forkful.WorkerDied) as caught:
        pool.starmap_async(deeds.DieAt(7), [(x, 0) for x in range(20)], 1).get(LONG)
    assert caught.value.signal == signal.SIGKILL
    works(pool)


def test_in_imap_only_the_item_fails_and_the_iteration_goes_on(pool: Any) -> None:
    results = pool.imap(deeds.DieAt(7), range(20))
    for x in range(20):
        if x == 7:
            with pytest.raises(forkful.WorkerDied):
                results.next(LONG)
        else:
            assert results.next(LONG) == x * x
    with pytest.raises(StopIteration):
        results.next(LONG)
    works(pool)


def test_in_imap_only_the_chunk_fails(pool: Any) -> None:
    results = pool.imap(deeds.DieAt(7), range(20), 5)
    good, bad = [], 0
    while True:
        try:
            good.append(results.next(LONG))
        except StopIteration:
            break
        except forkful.WorkerDied:
            bad += 1
    assert bad == 1
    assert good == [x * x for x in range(20) if not 5 <= x < 10]


def test_in_imap_unordered_only_the_item_fails(pool: Any) -> None:
    results = pool.imap_unordered(deeds.DieAt(7), range(20))
    good, bad = set(), 0
    while True:
        try:
            good.add(results.next(LONG))
        except StopIteration:
            break
        except forkful.WorkerDied:
            bad += 1
    assert bad == 1
    assert good == {x * x for x in range(20) if x != 7}
    works(pool)


@pytest.mark.parametrize("ordered", [False, True])
def test_in_outcomes_each_input_has_one_outcome_and_none_runs_twice(
    pool: Any, tmp_path: Path, ordered: bool
) -> None:
    n = 600
    outcomes = list(pool.outcomes(deeds.DieAt(301, str(tmp_path)), range(n), ordered=ordered))
    if ordered:
        assert [o.seq for o in outcomes] == list(range(n))
    assert sorted(o.seq for o in outcomes) == list(range(n))
    assert deeds.runs(tmp_path) == dict.fromkeys(range(n), 1)
    (bad,) = [o for o in outcomes if not o.ok]
    assert (bad.seq, bad.input, bad.attempts) == (301, 301, 1)
    assert isinstance(bad.error, forkful.WorkerDied)
    assert "301" in str(bad.error)
    assert all(o.value == o.input**2 for o in outcomes if o.ok)
    works(pool)


def test_in_outcomes_many_deaths_lose_nothing(pool: Any, tmp_path: Path) -> None:
    """Workers are killed from outside at any moment; nothing is lost and nothing told twice."""
    n, seen = 400, []
    for outcome in pool.outcomes(functools.partial(deeds.count_run, str(tmp_path)), range(n)):
        seen.append(outcome)
        if len(seen) % 100 == 50:
            pool._pool[0].kill()
    assert sorted(o.seq for o in seen) == list(range(n))
    assert set(deeds.runs(tmp_path)) >= {o.input for o in seen if o.ok}
    assert all(isinstance(o.error, forkful.WorkerDied) for o in seen if not o.ok)
    assert max(deeds.runs(tmp_path).values()) == 1
    works(pool)


def test_an_input_that_kills_on_each_attempt_is_poison(pool: Any, tmp_path: Path) -> None:
    job = pool.outcomes(deeds.DieAt(3, str(tmp_path)), range(20), retries=2)
    outcomes = sorted(job, key=lambda o: o.seq)
    assert [o.ok for o in outcomes] == [x != 3 for x in range(20)]
    bad = outcomes[3]
    assert bad.attempts == 3
    assert isinstance(bad.error, forkful.PoisonTask)
    assert bad.error.attempts == 3
    assert isinstance(bad.error.last, forkful.WorkerDied)
    assert deeds.runs(tmp_path) == {x: 3 if x == 3 else 1 for x in range(20)}
    works(pool)


def test_inputs_that_kill_who_unpickles_them(pool: Any) -> None:
    inputs: list[Any] = list(range(20))
    inputs[4] = deeds.KillsWhenUnpickled()
    inputs[5] = deeds.DoesNotUnpickle()
    inputs[6] = deeds.DoesNotPickle()
    outcomes = sorted(pool.outcomes(deeds.echo, inputs), key=lambda o: o.seq)
    assert [o.ok for o in outcomes] == [x not in (4, 5, 6) for x in range(20)]
    assert isinstance(outcomes[4].error, forkful.WorkerDied)
    assert isinstance(outcomes[5].error, ValueError)
    assert "does not pickle" in str(outcomes[6].error)
    works(pool)


# ---- timeouts and retries ----------------------------------------------------------------------


def test_a_task_over_its_timeout_costs_only_itself(pool: Any, tmp_path: Path) -> None:
    idle_workers(pool)
    neighbour = pool.apply_async(
        deeds.arrive_and_wait, (str(tmp_path / "neighbour"), str(tmp_path / "go"))
    )
    deeds.wait_for_file(str(tmp_path / "neighbour"))
    late = pool.apply_async(deeds.sleep_long, (str(tmp_path / "late"),), timeout=0.3)
    with pytest.raises(forkful.TaskTimeout) as caught:
        late.get(LONG)
    assert caught.value.seconds == 0.3
    assert "sleep_long" in str(caught.value)
    assert isinstance(caught.value, TimeoutError)
    assert not neighbour.ready()
    (tmp_path / "go").touch()
    assert neighbour.get(LONG) == str(tmp_path / "go")
    works(pool)
    assert pool.statistics().died == 1


def test_a_timeout_reaches_what_holds_the_gil(pool: Any, tmp_path: Path) -> None:
    late = pool.apply_async(deeds.sleep_in_c, (str(tmp_path / "late"),), timeout=0.3)
    with pytest.raises(forkful.TaskTimeout):
        late.get(LONG)
    works(pool)


@pytest.mark.parametrize("deadly", [False, True], ids=["raises", "dies"])
def test_retries(pool: Any, tmp_path: Path, deadly: bool) -> None:
    file = tmp_path / "attempts"
    func = deeds.FailFirst(str(file), 2, deadly)
    kinds = (Exception,)
    if deadly:
        (outcome,) = pool.outcomes(func, [3], retries=2, retry_on=kinds)
        assert (outcome.ok, outcome.value, outcome.attempts) == (True, 9, 3)
    else:
        assert pool.apply_async(func, (3,), retries=2).get(LONG) == 9
    assert file.stat().st_size == 3
    works(pool)


@pytest.mark.parametrize("method", ["apply", "map", "starmap", "imap", "imap_unordered"])
def test_each_call_has_the_same_words_for_retries(fork: Any, tmp_path: Path, method: str) -> None:
    file = tmp_path / "attempts"
    with fork.Pool(1) as pool:
        inputs = {"apply": (3,), "starmap": [(3,)]}.get(method, [3])
        call = getattr(pool, method)
        words = {"retries": 3, "retry_on": ValueError, "backoff": 0.001}
        value = call(deeds.FailFirst(str(file), 2, False), inputs, **words)
        assert (value if method == "apply" else list(value)) in (9, [9])
        assert file.stat().st_size == 3
        file.unlink()
        with pytest.raises(ValueError, match="attempt 1"):
            list(call(deeds.FailFirst(str(file), 2, False), inputs, retries=3, retry_on=OSError))
        assert file.stat().st_size == 1
        pool.terminate()
        pool.join()


def test_a_task_is_poison_after_three_deaths_whatever_may_be_retried(
    fork: Any, tmp_path: Path
) -> None:
    file = tmp_path / "attempts"
    with fork.Pool(2) as pool:
        idle_workers(pool)
        deadly = deeds.FailFirst(str(file), 99, True)
        words = {"retries": 50, "retry_on": (Exception, forkful.WorkerDied)}
        with pytest.raises(forkful.PoisonTask, match="each of its 3 attempts") as caught:
            pool.apply(deadly, (3,), **words)
        assert isinstance(caught.value.last, forkful.WorkerDied)
        assert (caught.value.attempts, caught.value.deaths) == (3, 3)
        (bad,) = pool.outcomes(deadly, [3], **words)
        assert isinstance(bad.error, forkful.PoisonTask)
        assert file.stat().st_size == 6
        late = pool.apply_async(
            deeds.sleep_in_c, (str(tmp_path / "late"),), timeout=0.05, retries=3
        )
        with pytest.raises(forkful.TaskTimeout):  # it has killed nobody
            late.get(LONG)
        pool.terminate()
        pool.join()


def test_a_retry_waits_for_its_turn(fork: Any, tmp_path: Path) -> None:
    with fork.Pool(1) as pool:
        call = pool.apply_async(deeds.explode, retries=1, backoff=1000)
        until(lambda: pool._engine.under_way._later)  # its first attempt has failed
        assert pool.apply(deeds.square, (2,)) == 4
        assert not call.ready()
        assert call.cancel()
        with pytest.raises(CancelledError):
            call.get(0)
        pool.terminate()
        pool.join()


def test_retries_are_used_up(pool: Any, tmp_path: Path) -> None:
    file = tmp_path / "attempts"
    with pytest.raises(ValueError, match="attempt 2"):
        pool.apply_async(deeds.FailFirst(str(file), 9), (3,), retries=1).get(LONG)
    assert file.stat().st_size == 2


def test_who_drives_while_another_thread_terminates_does_not_take_it_for_a_failed_start(
    fork: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = fork.Pool(3, signal.pause)  # no worker is ever ready
    engine = pool._engine
    answers, really_end = engine._answers, forkful.pool.engine.end_processes
    waits, ended = threading.Event(), threading.Event()

    class Answers:
        def _take_bytes(self, *args: Any) -> Any:
            waits.set()
            assert ended.wait(LONG)
            return answers._take_bytes(*args)

    def end(workers: list[Any]) -> None:
        really_end(workers)
        ended.set()
        driver.join()  # it looks after workers that are dead, and not forgotten yet

    monkeypatch.setattr(engine, "_answers", Answers())
    monkeypatch.setattr(forkful.pool.engine, "end_processes", end)
    driver = threading.Thread(target=engine.poll)
    driver.start()
    assert waits.wait(LONG)
    pool.terminate()
    pool.join()


def test_a_wait_that_times_out_leaves_no_bell_behind(fork: Any) -> None:
    go = fork.Event()
    with fork.Pool(1) as pool:
        call = pool.apply_async(go.wait)
        engine = pool._engine
        driver = threading.Thread(target=call.get)
        driver.start()
        until(lambda: engine.driver == driver.ident)
        for _ in range(3):
            with pytest.raises(forkful.TimeoutError):
                call.get(0.001)
        bells = list(engine.bells)
        go.set()
        driver.join()
        pool.close()
        pool.join()
    assert bells == []
