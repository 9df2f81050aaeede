"""tqdm: bars over a pool's results, its process_map, and its lock, shared by forkful."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.contract.children import LONG, several

tqdm = pytest.importorskip("tqdm").tqdm
concurrent = pytest.importorskip("tqdm.contrib.concurrent")


def square(x: int) -> int:
    return x * x


def fail(x: int) -> int:
    raise LookupError(f"no {x}")


def draw(lock: Any, path: str, name: str) -> None:
    """Advance a bar under the common lock, and leave a trace of who was inside it."""
    tqdm.set_lock(lock)
    with open(path, "a", buffering=1) as trace:
        for _ in tqdm(range(20), desc=name, file=io.StringIO()):
            with tqdm.get_lock():
                trace.write(f"{name} in\n")
                trace.write(f"{name} out\n")


@pytest.fixture(autouse=True)
def _no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread outlives the bars."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_a_bar_over_the_results_of_a_pool(ctx: Any, method: str) -> None:
    drawn = io.StringIO()
    with ctx.Pool(2) as pool:
        results = getattr(pool, method)(square, range(30))
        assert sorted(tqdm(results, total=30, file=drawn)) == [x * x for x in range(30)]
    assert "30/30" in drawn.getvalue()


def test_process_map(ctx: Any, capfd: pytest.CaptureFixture[str]) -> None:
    tqdm.set_lock(ctx.RLock())
    try:
        results = concurrent.process_map(square, range(30), max_workers=2, mp_context=ctx)
        with pytest.raises(LookupError, match="no 0"):
            concurrent.process_map(fail, range(3), max_workers=2, mp_context=ctx)
    finally:
        del tqdm._lock
    assert results == [x * x for x in range(30)]
    assert "30/30" in capfd.readouterr().err


def test_a_lock_of_forkfuls_keeps_the_bars_of_several_processes_apart(
    ctx: Any, tmp_path: Any
) -> None:
    trace = tmp_path / "trace"
    lock = ctx.RLock()
    with several(ctx, *((draw, lock, str(trace), name) for name in "ab")) as children:
        for child in children:
            assert child.result(LONG) is None
    lines = trace.read_text().splitlines()
    assert len(lines) == 80
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin[2:], end) == ("in", f"{begin[0]} out")


def test_the_lock_reaches_the_workers_of_a_pool(ctx: Any) -> None:
    """As its documentation has it: `Pool(initializer=tqdm.set_lock, initargs=(RLock(),))`."""
    lock = ctx.RLock()
    with ctx.Pool(2, initializer=tqdm.set_lock, initargs=(lock,)) as pool:
        assert pool.apply(type_of_lock) == "forkful.synchronize"
        with lock:
            assert pool.apply(can_take_the_lock) is False
        assert pool.apply(can_take_the_lock) is True


def type_of_lock() -> str:
    return type(tqdm.get_lock()).__module__


def can_take_the_lock() -> bool:
    taken: bool = tqdm.get_lock().acquire(False)
    if taken:
        tqdm.get_lock().release()
    return taken
