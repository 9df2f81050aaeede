"""Answers as text: for a terminal with rich where it is installed, else plain, and as Markdown.

A run's JSON is all that is needed, so an old run can be shown again.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from question import Answer

try:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    RICH = True
except ModuleNotFoundError:
    RICH = False

Row = Sequence[str]


def show_machine(facts: Mapping[str, Any]) -> None:
    print("\n".join(machine_lines(facts)))


def machine_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"{facts['date']}  {facts['cpu']}, {facts['cpus']} CPUs, {facts['memory_gib']} GiB"
    yield f"Linux {facts['kernel']} (huge pages: {facts['huge_pages']}), {facts['python']}"
    yield "  ".join(f"{name} {version or '-'}" for name, version in facts["versions"].items())
    load = facts["load_at_start"]
    busy = "; others are using it, so expect wide ranges" if load > facts["cpus"] / 2 else ""
    yield f"commit {facts['commit'] or 'unknown'}, load average at start {load}{busy}"


def show(answer: Answer) -> None:
    """Print one answer."""
    known = answer.as_json()
    print(f"\n{known['title']}  [{known['name']}]")
    text = f"{known['fair']} {_effort(known)}"
    print(textwrap.fill(text, 100, initial_indent="  ", subsequent_indent="  "))
    head, rows = _columns(known), list(_rows(known))
    if RICH:
        table = Table(*head[:1], box=SIMPLE, show_edge=False, pad_edge=False)
        for title in head[1:-1]:
            table.add_column(title, justify="right")
        table.add_column(head[-1], overflow="fold")
        for row in rows:
            ours = row[0].startswith("forkful")
            table.add_row(*(_literal(cell) for cell in row), style="bold" if ours else None)
        screen = Console(highlight=False)
        (screen if screen.is_terminal else Console(highlight=False, width=140)).print(table)
    else:
        print("\n".join(_plain([head, *rows])))
    for bound in known["bounds"]:
        print(f"  {bound['text']}")


def markdown(known: Mapping[str, Any]) -> str:
    """Return one answer of a run's JSON as a Markdown section."""
    text = f"`{known['name']}`. {known['fair']} {_effort(known)}"
    lines = [f"### {known['title']}", "", text, ""]
    head, rows = _columns(known), list(_rows(known))
    if not any(row[-1] for row in rows):  # no notes, no column
        head, rows = head[:-1], [row[:-1] for row in rows]
    lines += [_bar(head), _bar(["---", *["---:"] * 5, "---"][: len(head)])]
    lines += [_bar(row) for row in rows]
    lines += [""] + [f"- {bound['text']}" for bound in known["bounds"]]
    return "\n".join(lines).rstrip() + "\n"


def _effort(known: Mapping[str, Any]) -> str:
    return f"Count: {known['count']:,}; rounds: {known['rounds']}."


def _columns(known: Mapping[str, Any]) -> list[str]:
    unit = f"{known['unit']} / {known['per']}" if known["per"] else known["unit"]
    return ["", unit, "min", "max", f"x {known['baseline']}", "x best peer", ""]


def _rows(known: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, each in known["entries"].items():
        notes = [each["aside"]] if each["aside"] else []
        if name == known["best_peer"]:
            notes.append("best peer")
        if each["count"] != known["count"]:
            notes.append(f"count {each['count']:,}")
        if each["absent"]:
            notes.append(each["absent"])
        if each["failure"]:
            notes.append(f"after {len(each['values'])}: " * bool(each["values"]) + each["failure"])
        figures = [_figure(each.get(key)) for key in ("median", "min", "max")]
        ratios = [_ratio(each[key]) for key in ("times_baseline", "times_best_peer")]
        yield [name, *figures, *ratios, "; ".join(notes)]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:,.{digits}f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.1g}"


def _plain(rows: Sequence[Row]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *middle, last in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(middle, widths[1:-1], strict=True)]
        yield "  ".join([f"  {first:{widths[0]}}", *cells, last]).rstrip()


def _literal(cell: str) -> str:
    return cell.replace("[", r"\[")


def _bar(cells: Row) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
