"""Processes are asked to end, waited for and killed: also those that have closed their sentinels."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

from forkful.launch.stop import stop
from tests.contract.children import LONG
from tests.programs import deeds


def close_all_and_sleep(ready: str, *, mild: bool) -> None:
    """Close what this process knows nothing of, as daemons do; go on at SIGTERM, or end soon after it."""
    os.closerange(3, 1024)
    signal.signal(signal.SIGTERM, end if mild else signal.SIG_IGN)
    deeds.sleep_long(ready)


def end(*_: object) -> None:
    os._exit(7)


def shameless(folder: Path, *, mild: bool) -> Any:
    """A process of another kind than forkful's, whose sentinel is a pipe that it holds open."""
    ready = str(folder / "ready")
    child = multiprocessing.get_context("fork").Process(
        target=close_all_and_sleep, args=(ready,), kwargs={"mild": mild}
    )
    child.start()
    deeds.wait_for_file(ready)
    return child


def terminate(child: Any) -> None:
    os.kill(child.pid, signal.SIGTERM)


def test_who_has_closed_its_sentinel_and_stays_costs_no_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, waits = shameless(tmp_path, mild=False), []
    wait = connection.wait

    def counted(objects: Any, timeout: float) -> Any:
        waits.append(objects)
        return wait(objects, timeout)

    monkeypatch.setattr(connection, "wait", counted)
    stop([child], terminate, lambda child: child.kill(), time.monotonic() + 0.3)
    assert child.exitcode == -signal.SIGKILL
    assert len(waits) < 10


def test_who_has_closed_its_sentinel_and_ends_is_not_killed(tmp_path: Path) -> None:
    child = shameless(tmp_path, mild=True)
    stop([child], terminate, pytest.fail, time.monotonic() + 2 * LONG)
    assert child.exitcode == 7


def test_who_has_ended_is_neither_asked_nor_killed(ctx: Any) -> None:
    child = ctx.Process(target=int)
    child.start()
    child.join()
    stop([child], pytest.fail, pytest.fail, time.monotonic() + LONG)
    assert child.exitcode == 0


def test_those_that_end_when_asked_are_waited_for(ctx: Any, tmp_path: Path) -> None:
    children = [ctx.Process(target=deeds.sleep_long, args=(str(tmp_path / "on"),)) for _ in "abc"]
    for child in children:
        child.start()
    stop(children, lambda child: child.terminate(), pytest.fail, time.monotonic() + LONG)
    assert [child.exitcode for child in children] == [-signal.SIGTERM] * 3
