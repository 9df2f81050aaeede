"""Each example prints what it should, to the byte, however it is run and its processes are started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.conftest import EXAMPLES, Runner

EXPECTED = Path(__file__).with_name("expected")
STATUS = {"directories": 1}  # one of its directories is not there
TELLS_ON_STDERR = {"directories", "exceptions_forkful", "process_life"}

# What they print depends on who talks to them: each has tests of its own in this folder.
TESTED_ELSEWHERE = {
    "crawler",
    "producer_forgotten_end",
    "tcp_client",
    "tcp_prefork_forkful",
    "tcp_upper_pool",
    "tcp_upper_processes",
}
FUNCTIONS = {"stdlib_report"}  # for `forkful map`, which `make demo` runs over it


def test_every_example_is_tested() -> None:
    expected = {path.stem for path in EXPECTED.glob("*.txt")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == expected | TESTED_ELSEWHERE | FUNCTIONS
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in TESTED_ELSEWHERE if f'"{name}.py"' not in tests] == []


@pytest.mark.limit(240)
@pytest.mark.parametrize("name", sorted(path.stem for path in EXPECTED.glob("*.txt")))
def test_an_example_prints_what_it_should(runner: Runner, name: str) -> None:
    ran = runner.run(f"{name}.py")

    assert ran.out == (EXPECTED / f"{name}.txt").read_text(), ran.err
    assert ran.status == STATUS.get(name, 0)
    if name not in TELLS_ON_STDERR:
        assert "Traceback" not in ran.err
        assert "Error" not in ran.err
