"""Draw how the cost grows, from the figures of a run.

    python bench/curves.py build/bench.json docs/plots

Writes an SVG for each curve that the run has at least two numbers of.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import growth
import many
from question import OURS, Curve

CURVES = growth.CURVES + many.CURVES

_NAME = re.compile(r"\w+\.(\w+)\.(\d+)")

Points = dict[int, tuple[float, float, float]]
"""By the number: median, least and most."""


def points(answers: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Points]]:
    """Return the figures by curve and entry."""
    found: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(dict))
    for answer in answers:
        if match := _NAME.fullmatch(answer["name"]):
            curve, number = match[1], int(match[2])
            for name, each in answer["entries"].items():
                if each["values"]:
                    found[curve][name][number] = each["median"], each["min"], each["max"]
    return found


def draw(curve: Curve, lines: Mapping[str, Points], unit: str, target: Path) -> None:
    """Write one plot: both axes logarithmic, the range of the rounds as a band."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = curve.name  # the same figures, the same file
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, by_number in lines.items():
        numbers = sorted(by_number)
        middle, least, most = zip(*(by_number[n] for n in numbers), strict=True)
        (line,) = axes.plot(
            numbers, middle, marker="o", lw=2.5 if name.startswith(OURS) else 1.2, label=name
        )
        axes.fill_between(numbers, least, most, color=line.get_color(), alpha=0.15)
    axes.set(xscale="log", yscale="log", xlabel=curve.number, ylabel=unit, title=curve.title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)


def main(run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw every curve that the run has; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    found, drawn = points(run["answers"]), []
    for curve in CURVES:
        lines = found.get(curve.name, {})
        if max(map(len, lines.values()), default=0) < 2:
            continue
        question = curve.at(curve, curve.numbers[0])
        target = folder / f"{curve.name}.svg"
        draw(curve, lines, f"{question.unit} / {question.per}", target)
        drawn.append(target)
    return drawn


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    written = main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    print(*written or ["the run has no curve: see growth.py and many.py"], sep="\n")
