"""joblib on forkful's contexts: its own pool, over forkful's processes, locks and pipes.

Each test is a program of its own: joblib keeps processes that clean up after it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ecosystem.conftest import FORKFUL_RUN, Run

pytest.importorskip("joblib")

HEAD = """
import json, os, sys, warnings
import numpy
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
import forkful

def square(x):
    return x * x, os.getpid()

def total(array):
    return array.sum(), type(array).__name__

def fail(x):
    raise LookupError(f"no {x}")

def squares(backend):
    results = Parallel(2, backend=backend)(delayed(square)(x) for x in range(20))
    return [value for value, _ in results], len({pid for _, pid in results} - {os.getpid()})

def squares_by_loky():
    try:
        return Parallel(2, backend="loky")(delayed(pow)(x, 2) for x in range(20))
    finally:
        get_reusable_executor().shutdown()  # its threads keep their process alive otherwise

def squares_and_warnings():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return *squares("multiprocessing"), [str(warning.message) for warning in said]

if __name__ == "__main__":
    ctx = forkful.get_context(sys.argv[1])
"""

SQUARES = [x * x for x in range(20)]


@pytest.fixture
def answer(run_program: Run, start_method: str) -> Any:
    """``answer(code)``: what the program above goes on to dump."""

    def answer(code: str) -> Any:
        return json.loads(run_program(f"{HEAD}\n    {code}", start_method).stdout)

    return answer


def test_results_come_in_the_order_of_the_calls(answer: Any) -> None:
    values, processes = answer("json.dump(squares(ctx), sys.stdout)")
    assert values == SQUARES
    assert processes in (1, 2)


def test_large_arrays_are_mapped_and_not_copied(answer: Any) -> None:
    totals = answer(
        "json.dump(Parallel(2, backend=ctx)([delayed(total)(numpy.ones(1_000_000))] * 3), sys.stdout)"
    )
    assert totals == [[1_000_000, "memmap"]] * 3


def test_what_a_call_raises_reaches_the_caller(run_program: Run, start_method: str) -> None:
    ended = run_program(
        f"""{HEAD}
    try:
        Parallel(2, backend=ctx)([delayed(fail)(7)] * 3)
    except LookupError as error:
        print(error)
""",
        start_method,
    )
    assert "no 7" in ended.stdout


def test_its_own_workers_run_below_a_process_of_forkful(answer: Any) -> None:
    values = answer(
        "p = ctx.Process(target=squares_by_loky); p.start(); json.dump(p.result(), sys.stdout)"
    )
    assert values == SQUARES


def test_within_a_worker_of_a_pool_it_works_alone_and_says_so(answer: Any) -> None:
    """It asks whether its process is daemonic, and as with the standard library's pool it is."""
    values, processes, said = answer(
        "json.dump(ctx.Pool(1).apply(squares_and_warnings), sys.stdout)"
    )
    assert values == SQUARES
    assert processes == 0
    assert any("cannot be nested" in text for text in said)


PLAIN = """
import multiprocessing, os, sys
import numpy
from joblib import Parallel, delayed

def look(array):
    kind = type(multiprocessing.current_process()).__module__
    return int(array.sum()), type(array).__name__, kind, os.getpid() != parent

parent = os.getpid()
if __name__ == "__main__":
    for answer in Parallel(2, backend=sys.argv[1])([delayed(look)(numpy.ones(1_000_000))] * 3):
        print(*answer)
"""


def test_a_program_that_uses_it_runs_on_forkful(run_program: Run) -> None:
    """Its pool has queues of its own: they are there, over forkful's processes."""
    ended = run_program(PLAIN, "multiprocessing", start=FORKFUL_RUN)
    assert ended.stdout == "1000000 memmap forkful.process True\n" * 3


def test_a_program_that_uses_its_own_workers_runs_on_forkful(run_program: Run) -> None:
    """They are started by a context that it adds to those of `multiprocessing`."""
    ended = run_program(PLAIN, "loky", start=FORKFUL_RUN)
    lines = ended.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["1000000", "memmap"]] * 3
    assert all(line.endswith(" True") for line in lines)


def test_contexts_that_others_add_are_found(run_program: Run) -> None:
    ended = run_program("import joblib, forkful; print(type(forkful.get_context('loky')).__name__)")
    assert ended.stdout == "LokyContext\n"
