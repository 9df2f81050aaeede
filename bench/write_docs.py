"""Put the figures of a run into the documentation, so that nobody types a number.

    python bench/write_docs.py build/bench.json docs/benchmarks.md
    python bench/write_docs.py docs/benchmarks.json docs/benchmarks.md

Replaces what stands between the marks of the page, draws the curves into `plots` beside it, and keeps the run with
every single value as the page's JSON, from which the second command does the same again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import curves
from tables import machine_lines, markdown


def between_marks(page: str, what: str, text: str) -> str:
    """Return the page with `text` between its marks for `what`.

    Raises:
        ValueError: The page lacks a mark.
    """
    begin, end = f"<!-- {what}: begin -->", f"<!-- {what}: end -->"
    before, has_begin, rest = page.partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise ValueError(f"the page must have the lines {begin} and {end}, in this order")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def figures(run: dict[str, Any]) -> str:
    """Return a run's command, machine and tables as Markdown."""
    quick = ["", "A quick run: fewer operations and rounds than usual."] * run["quick"]
    facts = ["```text", f"$ {run['command']}", *machine_lines(run["machine"]), "```", *quick]
    sections = "\n".join(map(markdown, run["answers"]))
    return ("\n".join(facts) + f"\n\n{sections}").rstrip()


def kept(run: dict[str, Any]) -> str:
    """Return a run as JSON in little room: a line for each question, so that a diff shows what has changed."""
    head = {key: value for key, value in run.items() if key != "answers"}
    answers = ",\n".join(map(_compact, run["answers"]))
    return f'{_compact(head)[:-1]},"answers":[\n{answers}\n]}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, target = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    page = between_marks(target.read_text(), "results", figures(run))
    plots = [plot.relative_to(target.parent) for plot in curves.main(run, target.parent / "plots")]
    pictures = "\n\n".join(f"![{plot.stem}]({plot})" for plot in plots)
    target.write_text(between_marks(page, "plots", pictures or "No run has been drawn yet."))
    target.with_suffix(".json").write_text(kept(run))
