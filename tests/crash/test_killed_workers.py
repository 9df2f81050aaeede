"""Workers of a pool, and clients of a shared dict, are killed at random instructions."""

from __future__ import annotations

import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import forkful
from tests.contract.children import LONG, running
from tests.crash.ledger import Ledger
from tests.crash.timer import die_in_batches, kill_after
from tests.programs import deeds

FULL = os.environ.get("FORKFUL_CRASH") == "full"
TASKS = 10_000 if FULL else 500
CLIENTS = 80 if FULL else 16
RUN, SET = 0, 0  # kinds of deeds

pytestmark = [pytest.mark.limit(900 if FULL else 120), pytest.mark.stress, pytest.mark.slow]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger", max(TASKS, CLIENTS + 1), 0)
    yield made
    made.close()


_ledger: Ledger


def keep(ledger: Ledger) -> None:
    global _ledger
    _ledger = ledger


def work(task: tuple[int, float | None]) -> tuple[int, bytes]:
    """Square a number; sometimes set the timer that will kill its worker, now or some tasks later."""
    x, seconds = task
    _ledger.begin(x, RUN)
    if seconds is not None:
        kill_after(seconds)
    result = x * x, bytes(x % 3 * 9000)
    _ledger.end(x, RUN)
    return result


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_each_task_has_one_outcome_and_none_runs_twice_whenever_workers_are_killed(
    method: str, rand: random.Random, ledger: Ledger, deaths: Callable[[int], None]
) -> None:
    tasks = [(x, rand.random() * 0.001 if rand.random() < 0.3 else None) for x in range(TASKS)]
    seen = set()
    failed = 0
    with forkful.get_context(method).Pool(3, keep, (ledger,)) as pool:
        for outcome in pool.outcomes(work, tasks):
            assert outcome.seq not in seen, "a task has two outcomes"
            seen.add(outcome.seq)
            x = outcome.seq
            if outcome.ok:
                assert outcome.value == (x * x, bytes(x % 3 * 9000))
                assert (ledger.begun(x, RUN), ledger.done(x, RUN)) == (1, 1)
            else:
                assert isinstance(outcome.error, forkful.WorkerDied)
                assert outcome.error.signal == signal.SIGKILL
                assert ledger.begun(x, RUN) <= 1
                failed += 1
        assert len(seen) == TASKS
        died = pool.statistics().died
        assert died > 0
        deaths(died)
        # On a busy machine the timer of one of the last tasks may end its worker only now.
        squares = pool.map_async(deeds.square, range(50), 1, retries=3).get(LONG)
        assert squares == [x * x for x in range(50)]
        pool.terminate()
        pool.join()
    assert failed < TASKS


def set_for_ever(shared: Any, ledger: Ledger, life: int, seconds: float) -> None:
    kill_after(seconds)
    while True:
        shared[life] = ledger.begin(life, SET)
        ledger.end(life, SET)


def set_and_look(shared: Any, ledger: Ledger, life: int) -> None:
    """A survivor: what it has set is there."""
    for number in itertools.count():
        shared[life] = number
        assert shared[life] == number
        ledger.end(life, SET)
        if ledger.stop:
            return


def test_a_shared_dict_keeps_what_survivors_of_killed_clients_set(
    ctx: Any, rand: random.Random, ledger: Ledger, deaths: Callable[[int], None]
) -> None:
    with ctx.Manager() as manager:
        shared = manager.dict()
        with running(ctx, set_and_look, shared, ledger, CLIENTS) as survivor:
            calls = ((shared, ledger, life, rand.random() * 0.01) for life in range(CLIENTS))
            die_in_batches(ctx, 2, set_for_ever, calls)
            deaths(CLIENTS)
            ledger.stop = True
            survivor.join(LONG)
            assert survivor.exitcode == 0
        assert shared.pop(CLIENTS) == ledger.done(CLIENTS, SET) - 1
        for life, number in shared.copy().items():
            done, begun = ledger.done(life, SET), ledger.begun(life, SET)
            assert done - 1 <= number <= begun - 1
        done = sum(ledger.done(life, SET) for life in range(CLIENTS))
        assert done > CLIENTS, "the storm has hardly begun"
        shared["works"] = on = object
        assert shared["works"] is on
