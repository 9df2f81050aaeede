"""A pool in a process that was forked from the one that made it: it keeps its hands off."""

from __future__ import annotations

import gc
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.children import LONG, Hang, until
from tests.programs import deeds

NOT_OURS = r"in the process that made it \(pid \d+\), and this is another one \(pid \d+\)"


def refused(what: Callable[[], object]) -> str:
    """What a ValueError says."""
    try:
        return f"returned {what()!r}"
    except ValueError as e:
        return str(e)


def in_child(fork: Any, what: Callable[[], Any]) -> Any:
    """What this returns in a child, which has ended then."""
    child = fork.Process(target=what)
    child.start()
    value = child.result(LONG)
    child.join()
    return value


def test_an_answer_is_its_parents(fork: Any, tmp_path: Path) -> None:
    """A child that waits for a result would take the answer that its parent waits for."""
    with fork.Pool(1) as pool:
        result = pool.apply_async(deeds.wait_for_file, (str(tmp_path / "go"),))

        def child() -> list[str]:
            (tmp_path / "go").touch()
            return [
                refused(lambda: result.get(LONG)),
                refused(lambda: result.wait(LONG)),
                refused(result.ready),
                refused(result.successful),
                refused(pool.statistics),
                refused(pool.join),
                refused(lambda: pool.apply(deeds.square, (3,))),
            ]

        said = in_child(fork, child)
        assert result.get(LONG) == str(tmp_path / "go")
        assert pool.apply(deeds.square, (3,)) == 9
    assert all(re.search(NOT_OURS, line) for line in said), said


def test_what_is_there_can_be_read(fork: Any) -> None:
    with fork.Pool(1) as pool:
        result = pool.apply_async(deeds.square, (3,))
        result.wait(LONG)
        assert in_child(fork, lambda: (result.ready(), result.get(), result.cancel())) == (
            True,
            9,
            False,
        )


def test_a_child_ends_nothing(fork: Any) -> None:
    with fork.Pool(2) as pool:

        def child() -> None:
            pool.__exit__(KeyError, KeyError(), None)
            pool.__exit__(None, None, None)
            pool.close()
            pool.terminate()

        in_child(fork, child)
        assert pool.map(deeds.square, range(4), 1) == [0, 1, 4, 9]
        assert pool.statistics().died == 0


@pytest.mark.parametrize("way", ["imap", "imap_unordered", "outcomes"])
def test_an_iteration_goes_on_in_the_parent_alone(fork: Any, way: str) -> None:
    with fork.Pool(1) as pool:
        iterator = getattr(pool, way)(deeds.square, range(1000))
        first = [next(iterator) for _ in range(10)]

        def child() -> str:
            return refused(lambda: sum(1 for _ in iterator))

        said = in_child(fork, child)
        both = first + list(iterator)
        values = [one.value if way == "outcomes" else one for one in both]
        assert sorted(values) == [x * x for x in range(1000)]
        # Nor has the child sent inputs of its own.
        assert pool.apply(deeds.square, (3,)) == 9
        assert pool.statistics().waiting == 0
    assert re.search(NOT_OURS, said), said


def test_a_lock_that_a_thread_held_at_the_fork(fork: Any) -> None:
    """That thread is not in the child: what is dropped there must not wait for it."""
    with fork.Pool(1) as pool:
        iterators = [pool.imap(deeds.square, range(100)), pool.outcomes(deeds.square, range(100))]
        assert [next(iterators[0]), next(iterators[1]).value] == [0, 0]
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with pool._engine.lock:
                held.set()
                release.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(LONG)

        def child() -> str:
            iterators.clear()
            gc.collect()
            pool.terminate()
            return refused(lambda: pool.map(deeds.square, [1]))

        try:
            said = in_child(fork, child)
        finally:
            release.set()
            thread.join()
        assert len(list(iterators[0])) == 99
    assert re.search(NOT_OURS, said), said


def test_callbacks_are_called_in_the_parent(fork: Any) -> None:
    hang, called = Hang(), list[int]()
    with fork.Pool(1) as pool:
        hung = pool.apply_async(deeds.square, (3,), callback=hang)
        assert hang.entered.wait(LONG)
        due = pool.apply_async(deeds.square, (4,), callback=lambda _: called.append(os.getpid()))

        def child() -> list[str]:
            return [*(refused(lambda r=r: r.get(LONG)) for r in (hung, due)), *map(str, called)]

        said = in_child(fork, child)
        hang.release.set()
        assert (hung.get(LONG), due.get(LONG)) == (9, 16)
        assert called == [os.getpid()]
    assert len(said) == 2
    assert all(re.search(NOT_OURS, line) for line in said), said


@pytest.mark.parametrize(("how", "code"), [("return", 0), ("exit", 3), ("raise", 1)])
@pytest.mark.parametrize("way", ["apply", "map", "outcomes"])
def test_a_process_that_a_task_forks_does_not_answer(
    ctx: Any, way: str, how: str, code: int
) -> None:
    with ctx.Pool(1) as pool:
        calls: dict[str, Callable[[], Any]] = {
            "apply": lambda: pool.apply(deeds.fork_and_come_out, (how,)),
            "map": lambda: pool.map(deeds.fork_and_come_out, [how])[0],
            "outcomes": lambda: next(pool.outcomes(deeds.fork_and_come_out, [how])).value,
        }
        assert calls[way]() == code
        assert pool.map(deeds.square, range(10), 1) == [x * x for x in range(10)]
        assert pool.statistics().died == 0


def test_terminated_amid_a_callback(fork: Any) -> None:
    """The value is there when its callback has returned, as it was before the pool was terminated."""
    hang, got = Hang(), list[int]()
    pool = fork.Pool(1)
    result = pool.apply_async(deeds.square, (3,), callback=hang)
    assert hang.entered.wait(LONG)
    pool.terminate()
    waiter = threading.Thread(target=lambda: got.append(result.get()))
    waiter.start()
    until(lambda: pool._engine.bells)  # it waits
    hang.release.set()
    waiter.join(LONG)
    pool.join()
    assert got == [9]
