"""Threads by the same names: `forkful.dummy`, `ThreadPool`."""

from __future__ import annotations

import multiprocessing.dummy
import threading
from typing import Any

import pytest

import forkful
from forkful import dummy
from forkful.dummy.connection import Pipe
from forkful.pool import ThreadPool
from tests.contract.children import LONG


def thread_name(_: object = None) -> str:
    return threading.current_thread().name


def fail(x: object) -> None:
    raise LookupError(f"no {x}")


@pytest.fixture(params=["ThreadPool", "dummy.Pool"])
def make(request: pytest.FixtureRequest) -> Any:
    return {"ThreadPool": ThreadPool, "dummy.Pool": dummy.Pool}[request.param]


def test_tasks_run_in_threads_of_this_process(make: Any) -> None:
    seen: list[object] = []
    with make(2) as pool:
        assert isinstance(pool, ThreadPool)
        pool.map(seen.append, range(10))
        assert sorted(map(str, seen)) == sorted(map(str, range(10)))
        assert pool.apply(thread_name) != thread_name()
        assert list(pool.imap(abs, [-1, -2])) == [1, 2]
        assert sorted(pool.imap_unordered(abs, [-1, -2])) == [1, 2]
        assert pool.starmap(divmod, [(7, 2)]) == [(3, 1)]
        pool.close()
        pool.join()


def test_callbacks_and_exceptions(make: Any) -> None:
    good: list[object] = []
    bad: list[BaseException] = []
    pool = make(1)
    good_result = pool.apply_async(abs, (-5,), callback=good.append, error_callback=bad.append)
    bad_result = pool.apply_async(fail, (5,), callback=good.append, error_callback=bad.append)
    assert good_result.get(LONG) == 5
    with pytest.raises(LookupError, match="no 5"):
        bad_result.get(LONG)
    pool.close()
    pool.join()
    assert good == [5]
    assert [repr(error) for error in bad] == ["LookupError('no 5')"]
    with pytest.raises(ValueError, match="not running"):
        pool.apply(abs, (1,))


def test_an_initializer_runs_in_each_thread(make: Any) -> None:
    names: list[str] = []
    with make(3, lambda: names.append(thread_name())) as pool:
        pool.map(abs, range(10))
        pool.close()
        pool.join()
    assert len(set(names)) == 3


def test_terminate_ends_it_with_work_undone(make: Any) -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(_: object) -> None:
        started.set()
        go_on.wait(LONG)

    pool = make(1)
    pool.map_async(work, range(1000), chunksize=1)
    assert started.wait(LONG)
    go_on.set()
    pool.terminate()
    pool.join()


def test_a_program_that_knows_processes_runs_with_threads() -> None:
    q, lock, values = dummy.Queue(), dummy.Lock(), dummy.Manager().dict()

    def work(n: int) -> None:
        with lock:
            values[n] = thread_name()
        q.put(n)

    processes = [dummy.Process(target=work, args=(n,)) for n in range(3)]
    for p in processes:
        p.start()
    assert set(dummy.active_children()) <= set(processes)
    for p in processes:
        p.join()
        assert p.exitcode == 0
    assert sorted(q.get() for _ in processes) == [0, 1, 2]
    assert len(values) == len(set(values.values())) == 3
    assert dummy.Value("i", 3).value == 3
    assert list(dummy.Array("i", [1, 2])) == [1, 2]
    assert dummy.active_children() == []


def test_pipes_between_threads() -> None:
    mine, its = Pipe()
    thread = dummy.Process(target=lambda: its.send([its.recv()]))
    thread.start()
    mine.send("hello")
    assert mine.recv() == ["hello"]
    thread.join()


def test_its_names_are_the_standard_librarys() -> None:
    assert {name: getattr(dummy, name) for name in multiprocessing.dummy.__all__} == {
        name: getattr(multiprocessing.dummy, name) for name in multiprocessing.dummy.__all__
    }
    assert forkful.dummy is dummy
    assert dummy.DummyProcess is dummy.Process  # type: ignore[attr-defined]
