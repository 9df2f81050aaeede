"""The benchmarks say what they compare with, what they left out, and keep what the page was written from."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from bench.question import Answer, Bound, Entry, Figures, Question
from tests.house.imports import ROOT


def unpinned(requirements: list[str]) -> list[str]:
    return [each for each in requirements if each.count("==") != 1]


def test_each_peer_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert unpinned(project["optional-dependencies"]["bench"]) == []


def test_a_peer_that_is_not_pinned_is_found() -> None:
    assert unpinned(["a==1", "b", "c>=2", "d~=1.0"]) == ["b", "c>=2", "d~=1.0"]


def answer(ours: Figures) -> Answer:
    """One to a question with a bound on ours."""
    question = Question(
        name="file.question",
        title="How quick?",
        unit="us",
        per="call",
        fair="The same for all.",
        entries={name: Entry() for name in ("forkful", "multiprocessing")},
        count=10,
        quick=1,
        bounds=[Bound("forkful", 2, "multiprocessing")],
    )
    return Answer(question, {"forkful": ours, "multiprocessing": Figures(10, values=[4, 6])}, 10, 2)


def verdict(ours: Figures) -> str:
    (bound,) = answer(ours).as_json()["bounds"]
    return str(bound["text"]).removeprefix("goal: forkful at least 2x multiprocessing: ")


def test_what_was_left_out_on_purpose_has_not_failed() -> None:
    left_out = "cannot be told, forkful was not measured (left out: no room)"
    assert verdict(Figures(10, absent="left out: no room")) == left_out
    assert verdict(Figures(10, failure="hung")) == "cannot be told, forkful has failed"
    assert verdict(Figures(10, values=[2, 3])) == "2.00x, kept"


def run(*answers: Answer) -> dict[str, Any]:
    facts = {"date": "today", "cpu": "some", "cpus": 2, "memory_gib": 1, "kernel": "6"}
    facts |= {"huge_pages": "never", "python": "3", "versions": {"forkful": "1"}}
    return {
        "command": 'make bench ARGS="--rounds 2"',
        "quick": False,
        "machine": facts | {"commit": None, "load_at_start": 0},
        "answers": [each.as_json() for each in answers],
    }


def test_the_page_is_written_again_from_the_run_that_it_keeps(tmp_path: Path) -> None:
    page, file = tmp_path / "page.md", tmp_path / "run.json"
    marks = [
        f"<!-- {what}: {edge} -->" for what in ("plots", "results") for edge in ("begin", "end")
    ]
    page.write_text("\n".join(["Ours.", *marks, "Also ours."]))
    file.write_text(json.dumps(run(answer(Figures(10, absent="no room")), answer(Figures(10)))))

    def write(source: Path) -> str:
        program = [sys.executable, "bench/write_docs.py", str(source), str(page)]
        subprocess.run(program, cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
        return page.read_text()

    written = write(file)
    assert '$ make bench ARGS="--rounds 2"' in written
    assert "| forkful | - | - | - | - | - | no room |" in written
    kept = page.with_suffix(".json")
    assert json.loads(kept.read_text()) == json.loads(file.read_text())
    page.write_text("\n".join(marks))
    before = kept.read_text()
    assert f"Ours.\n{write(kept)}\nAlso ours." == written
    assert kept.read_text() == before
