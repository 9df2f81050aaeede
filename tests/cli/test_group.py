"""The `forkful` command itself."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest


def forkful(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forkful", *args]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_version() -> None:
    ran = forkful("--version")

    assert (ran.returncode, ran.stdout) == (0, f"forkful {metadata.version('forkful')}\n")


def test_help_names_the_commands() -> None:
    ran = forkful("--help")

    assert ran.returncode == 0
    assert "map  Run a function over many inputs, on every CPU." in ran.stdout


def test_no_command_shows_the_help_and_fails() -> None:
    ran = forkful()

    assert ran.returncode == 2
    assert "Usage: forkful" in ran.stderr


def test_an_unknown_command_is_refused_in_one_line() -> None:
    ran = forkful("mop")

    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert "No such command 'mop'" in ran.stderr


@pytest.mark.parametrize("words", [("--files",), ("jobs:work", "--timeout")])
def test_an_option_without_its_argument_is_refused_in_the_commands_name(
    words: tuple[str, ...],
) -> None:
    ran = forkful("map", *words)

    assert ran.returncode == 2
    assert ran.stderr == (
        f"forkful map: Option {words[-1]!r} requires an argument. (see forkful map --help)\n"
    )


def test_the_help_of_map_begins_with_examples() -> None:
    out = forkful("map", "--help").stdout

    assert out.index("forkful map mymodule:check") < out.index("Options:")


DEAR = {
    *("rich", "psutil", "numpy", "asyncio", "sqlite3", "concurrent.futures"),
    *("forkful.pool", "forkful.snapshot", "forkful.report"),
}
"""What a run or a look may need, and help does not."""


def imported_by(*words: str) -> set[str]:
    script = f"""
import sys
from forkful.cli.group import run
sys.stdout, stdout = sys.stderr, sys.stdout
try: run({[*words]})
except SystemExit: pass
print(*sys.modules, file=stdout)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr[:14]) == (0, "Usage: forkful")
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "words", [["--help"], ["map", "--help"], ["run", "--help"], ["why", "--help"]], ids=" ".join
)
def test_help_imports_nothing_dear(words: list[str]) -> None:
    assert imported_by(*words) & DEAR == set()
