"""What follows from how the tests ended: each that passes on the standard library is to pass here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tests.conformance.differences import Row, Table
from tests.conformance.hosts import Pair

STATUSES = ("ok", "skip", "fail", "hang")


class Judgement(NamedTuple):
    """Of all tests under one start method."""

    method: str
    stdlib: Counter[str]
    forkful: Counter[str]
    regressions: list[Pair]
    on_purpose: list[tuple[Pair, Row]]
    no_claim: list[Pair]  # the standard library itself fails
    again: list[Pair]  # passed when tried again
    left: list[Pair]  # they leave processes behind, and not with the standard library
    stale: list[Row]  # of which every test passes

    @property
    def ok(self) -> bool:
        return not (self.regressions or self.left or self.stale)


def is_regression(pair: Pair) -> bool:
    """Whether the test passes on the standard library only."""
    return pair.stdlib.status == "ok" != pair.forkful.status


def judge(method: str, pairs: Iterable[Pair], table: Table) -> Judgement:
    pairs = sorted(pairs)
    regressions, on_purpose, passing = [], [], []
    for pair in pairs:
        row = table.difference(pair.test, method)
        if is_regression(pair):
            if row:
                on_purpose.append((pair, row))
            else:
                regressions.append(pair)
        elif row and pair.stdlib.status == "ok":
            passing.append(row)
    failing = {row for _, row in on_purpose}
    return Judgement(
        method,
        Counter(p.stdlib.status for p in pairs),
        Counter(p.forkful.status for p in pairs),
        regressions,
        on_purpose,
        [p for p in pairs if p.stdlib.status in ("fail", "hang")],
        [p for p in pairs if p.tries > 1 and not is_regression(p)],
        [p for p in pairs if p.forkful.left > p.stdlib.left],
        [row for row in dict.fromkeys(passing) if row not in failing],
    )
