"""What is judged, and that the table of differences is what the documents say."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.differences import Row, Table, load
from tests.conformance.hosts import Pair
from tests.conformance.judge import judge
from tests.conformance.orders import Answer

ROOT = Path(__file__).parents[2]


def pair(test: str, stdlib: str, forkful: str, **of_forkful: int) -> Pair:
    return Pair(test, Answer(stdlib), Answer(forkful, **of_forkful))  # type: ignore[arg-type]


NO_ROWS = Table([], [])


def test_what_passes_on_the_stdlib_only_is_a_regression() -> None:
    pairs = [pair(end, "ok", end) for end in ("fail", "hang", "ok", "skip")]
    judgement = judge("fork", pairs, NO_ROWS)
    assert [p.test for p in judgement.regressions] == ["fail", "hang", "skip"]
    assert not judgement.ok


def test_what_the_stdlib_does_not_pass_is_no_claim() -> None:
    pairs = [pair(end, end, "fail") for end in ("fail", "hang", "skip")]
    judgement = judge("fork", pairs, NO_ROWS)
    assert judgement.ok
    assert [p.test for p in judgement.no_claim] == ["fail", "hang"]


def test_a_row_lets_a_test_fail_under_its_methods_only() -> None:
    row = Row("A.test_*", "better", ("spawn",))
    pairs = [pair("A.test_x", "ok", "fail")]
    spawn, fork = (judge(method, pairs, Table([row], [])) for method in ("spawn", "fork"))
    assert spawn.ok
    assert spawn.on_purpose == [(pairs[0], row)]
    assert fork.regressions == pairs


def test_a_row_all_of_whose_tests_pass_is_stale() -> None:
    table = Table([Row("A.*", "better"), Row("B.*", "better"), Row("C.*", "better")], [])
    pairs = [
        pair("A.x", "ok", "ok"),
        pair("A.y", "skip", "skip"),
        pair("B.x", "ok", "ok"),
        pair("B.y", "ok", "fail"),
        pair("C.x", "skip", "skip"),
    ]
    judgement = judge("fork", pairs, table)
    assert judgement.stale == [table.differences[0]]
    assert not judgement.ok


def test_a_process_that_only_forkful_leaves_behind_is_a_fault() -> None:
    assert not judge("fork", [pair("A.x", "ok", "ok", left=1)], NO_ROWS).ok


def test_the_table_is_short_and_gives_reasons() -> None:
    rows = load().differences
    assert 0 < len(rows) <= 15
    assert all(row.reason for row in rows)
    assert len({row.test for row in rows}) == len(rows)
    assert not any(row.test.startswith("*") for row in rows), "a row names its class"


def test_the_documents_list_the_same_differences() -> None:
    text = (ROOT / "docs/porting.md").read_text()
    section = text.partition("\n## CPython's own tests that fail here, on purpose\n")[2]
    section = section.partition("\n## ")[0]
    told = re.findall(r"^\| `([^`]+)`(?: \(([^)]+)\))? \| (.+) \|$", section, re.MULTILINE)
    assert told == [(row.test, ", ".join(row.methods), row.reason) for row in load().differences]
