"""Put the figures of a run into the documentation, so that nobody types a number.

    python bench/write_docs.py build/bench.json docs/benchmarks.md

Replaces what stands between the two marks of the page.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tables import machine_lines, markdown

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def page_with(page: str, run: dict[str, Any]) -> str:
    """Return the page with a run's tables between its marks.

    Raises:
        ValueError: The page lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must have the lines {BEGIN} and {END}, in this order")
    quick = ["", "A quick run: fewer operations and rounds than usual."] * run["quick"]
    facts = ["```text", *machine_lines(run["machine"]), "```", *quick]
    sections = "\n".join(map(markdown, run["answers"]))
    return f"{before}{BEGIN}\n\n" + "\n".join(facts) + f"\n\n{sections}\n{END}{after}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, target = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    target.write_text(page_with(target.read_text(), run))
