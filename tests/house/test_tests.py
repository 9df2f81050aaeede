"""Tests order events by state, never by time, and never assert that something was quick.

A ``sleep`` is let pass by a comment that gives its reason, on its own line: ``# sleep: ...``, in C
``/* sleep: ... */``.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.house import csource
from tests.house.imports import ROOT

CLOCK = re.compile(r"\b(monotonic|perf_counter|time)(_ns)?\(\)")
SLEEP_IN_C = re.compile(r"\b(u|nano|clock_nano|thrd_)?sleep\s*\(")
DURATION = re.compile(r"(^|_|\b)(elapsed|took|duration|spent)(_|\b|$)")


def complaints(text: str) -> list[str]:
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and re.search(r"(^|\.)sleep$", ast.unparse(node.func)):
            if not any("# sleep: " in line for line in lines[node.lineno - 1 : node.end_lineno]):
                found.append(f"line {node.lineno}: a sleep without its reason")
        elif isinstance(node, ast.Assert) and any(map(_is_maximum, ast.walk(node.test))):
            found.append(f"line {node.lineno}: asserts a maximum time")
    return found


def complaints_of_c(text: str) -> list[str]:
    lines = zip(text.splitlines(), csource.code(text).splitlines(), strict=True)
    return [
        f"line {number}: a sleep without its reason"
        for number, (line, code) in enumerate(lines, 1)
        if SLEEP_IN_C.search(code) and "/* sleep: " not in line
    ]


def _is_maximum(node: ast.AST) -> bool:
    """Whether something that looks like a duration stands on the small side of a comparison."""
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
        small = {ast.Lt: left, ast.LtE: left, ast.Gt: right, ast.GtE: right}.get(type(op))
        if small is not None:
            words = ast.unparse(small)
            if DURATION.search(words) or (isinstance(small, ast.BinOp) and CLOCK.search(words)):
                return True
    return False


def test_tests_do_not_sleep_and_are_no_races() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for complaint in complaints(path.read_text())
    ]
    assert found == []


def test_tests_in_c_do_not_sleep() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {complaint}"
        for path in csource.files("tests")
        for complaint in complaints_of_c(path.read_text())
    ]
    assert found == []


# ---- the lint can fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "time.sleep(1)",
        "import time\nfor _ in x:\n    time.sleep(0.1)",
        "from time import sleep\nsleep(1)  # because",
        "await asyncio.sleep(\n    1,\n)",
    ],
)
def test_a_bare_sleep_is_found(text: str) -> None:
    assert any("a sleep" in complaint for complaint in complaints(text))


@pytest.mark.parametrize(
    "text",
    [
        "usleep(1000);",
        "while (!done) sleep (1); /* because */",
        "#define WAIT \\\n    nanosleep(&t, NULL)",
        "/* sleep: the line before */\nclock_nanosleep(0, 0, &t, NULL);",
    ],
)
def test_a_bare_sleep_in_c_is_found(text: str) -> None:
    assert any("a sleep" in complaint for complaint in complaints_of_c(text))


@pytest.mark.parametrize(
    "text",
    [
        "usleep(1000); /* sleep: nothing tells when the kernel has done it */",
        "/* sleep(1) */ look();",
        'puts("sleep(1)");',
        "CHECK(is_asleep(m)); sleeps(1); fk_sleeps_for(2);",
    ],
)
def test_what_is_fine_in_c_is_not_found(text: str) -> None:
    assert complaints_of_c(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "assert elapsed < 1",
        "assert time.monotonic() - start <= 0.5",
        "assert 2 > perf_counter() - start",
        "assert ok and 0.1 < took_s < 3",
    ],
)
def test_a_maximum_time_is_found(text: str) -> None:
    assert complaints(text) == ["line 1: asserts a maximum time"]


@pytest.mark.parametrize(
    "text",
    [
        "time.sleep(1)  # sleep: nothing tells when the kernel has done it",
        "code = 'time.sleep(1)'",
        "assert elapsed >= 1",
        "assert time.monotonic() - start > 0.5",
        "assert len(found) < 3",
        "while time.monotonic() < until: look()",
    ],
)
def test_what_is_fine_is_not_found(text: str) -> None:
    assert complaints(text) == []
