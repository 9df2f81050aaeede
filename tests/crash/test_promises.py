"""Each row of docs/failure-model.md names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "failure-model.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows(page: str) -> list[str]:
    """The rows that promise something: those of the tables with a column for the test."""
    found = []
    for table in re.findall(r"^\|.*\| test \|\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE):
        found += table.splitlines()
    return found


def faults(page: str) -> list[str]:
    found = []
    for row in rows(page):
        what = row.split("|")[1].strip()
        tests = TEST.findall(row.rsplit("|", 2)[1])
        if not tests:
            found.append(f"{what}: no test")
        for file, name in tests:
            path = ROOT / file
            tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
            if name not in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}:
                found.append(f"{what}: {file}::{name} is not there")
    return found


def test_each_row_names_tests_that_are_there() -> None:
    text = PAGE.read_text()
    assert len(rows(text)) > 30
    assert faults(text) == []


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("", "it dies: no test"),
        ("`tests/crash/test_promises.py::test_that`", "is not there"),
        ("`tests/crash/test_nothing.py::test_that`", "is not there"),
    ],
)
def test_a_promise_without_its_test_is_found(cell: str, fault: str) -> None:
    (found,) = faults(f"| what | test |\n|---|---|\n| it dies | {cell} |\n")
    assert fault in found
