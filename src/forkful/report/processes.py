"""The account of a program's processes: who started whom, how each ended, what it used and what failed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from signal import SIGTERM, Signals
from typing import Any

from forkful.report.text import duration, shortened

_NAME, _TEXT = 40, 160
"""How many characters of a name and of an error are shown."""

_MOST_ERRORS = 5
"""And how many errors of a process; of the others only the number."""


@dataclass
class Told:
    """One process. What nobody told is None."""

    pid: int
    name: str = "?"
    parent: int | None = None
    method: str | None = None
    exitcode: int | None = None
    cpu: float | None = None  # seconds
    peak: int | None = None  # bytes
    errors: int = 0
    texts: list[str] = field(default_factory=list)  # of the first errors
    children: list[Told] = field(default_factory=list)


def read(text: str, root: int, code: int, cpu: float, peak: int) -> Told:
    """Read what the processes of a program have told.

    Args:
        text: Lines of JSON, as `forkful.ledger` writes them, in the order in which they came.
        root: The program's first process; what follows of it is what its parent knows.
        code: How it ended, as a `Process` has it.
        cpu: Its CPU time in seconds.
        peak: Its peak memory in bytes.

    Returns:
        The first process; the others are its descendants.
    """
    living: dict[int, Told] = {root: Told(root, "MainProcess")}
    for line in text.splitlines():
        fact = json.loads(line)
        _take(living, root, fact)
    first = living[root]
    first.exitcode = code
    if first.cpu is None:
        first.cpu, first.peak = cpu, peak
    return first


def _take(living: dict[int, Told], root: int, fact: dict[str, Any]) -> None:
    """Add one fact. A pid may be used again, so each fact is of who had it last."""
    pid = fact["pid"]
    if fact["event"] == "began":
        if pid == root:
            return
        told = living[pid] = Told(pid, fact["name"], fact["parent"], fact["method"])
        living.get(told.parent or root, living[root]).children.append(told)
        return
    known = living.get(pid)
    if known is None:  # killed before it could tell that it began
        known = living[pid] = Told(pid)
        living[root].children.append(known)
    if fact["event"] == "ended":
        known.cpu, known.peak = fact["cpu"], fact["peak"]
    elif fact["event"] == "failed":
        known.errors += 1
        if known.errors <= _MOST_ERRORS:
            known.texts.append(fact["text"])
    else:
        known.exitcode = fact["exitcode"]
        if known.cpu is None:
            known.cpu, known.peak = fact.get("cpu"), fact.get("peak")


def lines(root: Told) -> list[str]:
    """Return the account as lines without line ends."""
    rows = [_HEAD, *_rows(root, "", "")]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    table = [
        "  ".join(
            cell.ljust(width) if i in _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    everybody = list(_all(root))
    bad = sum(told.exitcode not in (0, None, -SIGTERM) for told in everybody)
    number = f"{len(everybody):,} process{'es' if len(everybody) > 1 else ''}"
    first = f"forkful run: {number}, {bad:,} ended with a failure"
    return [first, *table, *_errors(everybody)]


_HEAD = ["process", "pid", "ended", "cpu", "peak", "errors"]
_LEFT = (0, 2)


def _rows(told: Told, lead: str, below: str) -> list[list[str]]:
    row = [
        lead + shortened(told.name, _NAME),
        str(told.pid),
        _ending(told.exitcode),
        "?" if told.cpu is None else duration(told.cpu),
        "?" if told.peak is None else f"{told.peak / (1 << 20):,.0f} MiB",
        str(told.errors) if told.errors else "",
    ]
    rows = [row]
    for i, child in enumerate(told.children, 1):
        last = i == len(told.children)
        rows += _rows(child, below + ("`- " if last else "|- "), below + ("   " if last else "|  "))
    return rows


def _ending(exitcode: int | None) -> str:
    if exitcode is None:
        return "nobody saw it end"
    if exitcode >= 0:
        return f"exit {exitcode}"
    try:
        return Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def _errors(everybody: list[Told]) -> list[str]:
    said = []
    for told in everybody:
        for text in told.texts:
            said.append(f"  {told.name} (pid {told.pid}): {shortened(text, _TEXT)}")
        if told.errors > len(told.texts):
            said.append(f"  {told.name} (pid {told.pid}): {told.errors - len(told.texts):,} more")
    return ["errors:", *said] if said else []


def _all(told: Told) -> list[Told]:
    return [told, *(one for child in told.children for one in _all(child))]
