"""The consumer that nobody tells to stop: `python` waits for ever, `forkful run` says who waits for what."""

from __future__ import annotations

import os
import signal

import pytest

from tests.examples.conftest import EXAMPLES, Runner, ended

NAME = "producer_forgotten_end.py"
BUNS = "ate bun 1\nate bun 2\nate bun 3\n"


def line_of(code: str) -> str:
    """Where some code stands in the example, as `file:line`."""
    lines = (EXAMPLES / NAME).read_text().splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if code in line)
    return f"{NAME}:{number}"


@pytest.mark.parametrize("runner", ["python"], indirect=True)
def test_with_the_standard_library_it_waits_until_it_is_interrupted(runner: Runner) -> None:
    process = runner.start(NAME)
    assert process.stdout is not None
    assert "".join(process.stdout.readline() for _ in range(3)) == BUNS

    os.killpg(process.pid, signal.SIGINT)
    ran = ended(process)

    assert (ran.status, ran.out) == (-signal.SIGINT, "")


@pytest.mark.parametrize("runner", ["forkful run"], indirect=True)
def test_with_forkful_it_ends_by_an_error_that_names_who_waits_for_what(runner: Runner) -> None:
    ran = runner.run(NAME)

    assert (ran.status, ran.out) == (1, BUNS)
    error = ran.err.partition("forkful.DeadlockError: ")[2]
    for name, wait in {"eater": "counter.get()", "MainProcess": "eater.join()"}.items():
        (said,) = (line for line in error.splitlines() if line_of(wait) in line)
        assert f"{name} (pid " in said
