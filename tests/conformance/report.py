"""Judgements as people read them."""

from __future__ import annotations

import sys

from tests.conformance.hosts import Pair
from tests.conformance.judge import STATUSES, Judgement

CLEAR = "\r\x1b[K" if sys.stdout.isatty() else ""
_LONGEST = 60  # lines of one test's report


class Progress:
    """One line on a terminal that counts; else a line now and then."""

    def __init__(self, method: str, total: int, verbose: bool) -> None:
        self._method, self._total, self._verbose = method, total, verbose
        self._done = 0

    def show(self, pair: Pair) -> None:
        self._done += 1
        if self._verbose:
            print(f"{self._method:10} {pair.stdlib.status:4} {pair.forkful.status:4} {pair.test}")
        elif CLEAR:
            print(f"{CLEAR}{self._method}: {self._done} of {self._total}", end="", flush=True)
        elif self._done % 100 == 0 or self._done == self._total:
            print(f"{self._method}: {self._done} of {self._total}", flush=True)

    def end(self) -> None:
        print(end=CLEAR, flush=True)


def summary(judgements: list[Judgement]) -> str:
    """Everything to know at the end."""
    head = f"{'start method':14}" + "".join(f"{s:>7}" for s in STATUSES) + "   on the stdlib: "
    lines = ["", head + " ".join(f"{s:>6}" for s in STATUSES)]
    for j in judgements:
        ours = "".join(f"{j.forkful[s]:7}" for s in STATUSES)
        theirs = " ".join(f"{j.stdlib[s]:6}" for s in STATUSES)
        lines.append(f"{j.method:14}{ours}{'':18}{theirs}")
    for j in judgements:
        lines += _of(j)
    bad = sum(len(j.regressions) for j in judgements)
    on_purpose = sum(len(j.on_purpose) for j in judgements)
    lines += ["", f"regressions: {bad}; different on purpose: {on_purpose}"]
    return "\n".join(lines)


def as_json(pair: Pair) -> dict[str, object]:
    """A pair with all that is known of it."""
    both = {"stdlib": pair.stdlib._asdict(), "forkful": pair.forkful._asdict()}
    return {**both, "tries": pair.tries, "before": pair.before}


def _of(j: Judgement) -> list[str]:
    lines = []
    if j.on_purpose:
        lines.append(f"\nUnder {j.method}, on purpose:")
    lines += [f"  {p.forkful.status:4} {p.test}: {row.reason}" for p, row in j.on_purpose]
    for pair in j.no_claim:
        lines.append(f"Under {j.method} the stdlib itself fails {pair.test}: {pair.stdlib.reason}")
    for pair in j.again:
        lines.append(f"Under {j.method} {pair.test} passed when tried again: {pair.before}")
    for pair in j.left:
        lines.append(f"LEFT BEHIND under {j.method} by {pair.test}: {pair.forkful.left} processes")
    for row in j.stale:
        lines.append(f"STALE under {j.method}: {row.test} passes: take it from the table")
    told: set[str] = set()
    for pair in j.regressions:
        lines.append(f"REGRESSION under {j.method}: {pair.test}: {pair.forkful.reason}")
        if pair.forkful.reason not in told:  # a class whose set-up fails has many
            lines += _detail(pair)
        told.add(pair.forkful.reason)
    return lines


def _detail(pair: Pair) -> list[str]:
    detail = pair.forkful.detail.rstrip().splitlines()
    if len(detail) > _LONGEST:
        detail[_LONGEST // 2 : -_LONGEST // 2] = ["..."]
    return [f"    {line}" for line in detail]
