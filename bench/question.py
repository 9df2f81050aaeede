"""What is asked, of whom, and what counts as an answer: plain data and the arithmetic on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

PER_SECOND = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}
"""Units that are times. A measurement returns seconds for them; for any other unit, the figure."""

BEST_PEER = "the best peer"
"""As the `than` of a `Bound`: whichever peer has the best median in this run."""

OURS = "forkful"


@dataclass(frozen=True)
class Entry:
    """One line of a question's table.

    Attributes:
        measure: Called in a fresh process with the number of operations; returns seconds (or the
            unit's figure) per operation. Functions that take long to import are imported inside.
        count: Operations for this entry alone, where the question's number would take minutes.
        aside: What it is if it is not a peer: a floor, or calls that the peers do not have. It is
            shown and never counts as the best peer.
        absent: Why there is nothing to measure. Shown in place of the figures.
    """

    measure: Callable[[int], float] | None = None
    count: int | None = None
    aside: str = ""
    absent: str = ""


@dataclass(frozen=True)
class Bound:
    """A claim about medians of one run.

    Attributes:
        of: The entry that must be good enough.
        at_least: How many times better than `than`; without `than`, the figure itself in the
            question's unit (at least for rates, at most for times and sizes).
        than: An entry's name, or `BEST_PEER`.
        must: Whether ``--check`` fails when it is missed; else it is a goal, and only shown.
    """

    of: str
    at_least: float
    than: str = ""
    must: bool = False


@dataclass(frozen=True)
class Question:
    """Attributes say all that a reader needs to repeat and to doubt the figures.

    Attributes:
        name: ``file.question``.
        title: The question in words.
        unit: A key of `PER_SECOND`, or any other word.
        per: What one operation is.
        fair: Why the same work is measured for all.
        entries: By name, in the order of the table.
        count: Operations in one measurement; `quick` is the number under ``--quick``.
        baseline: The entry that the first ratio refers to.
        more_is_better: For rates.
        rounds: Measurements of each entry.
        limit: Seconds after which a measurement is ended and reported as hung.
    """

    name: str
    title: str
    unit: str
    per: str
    fair: str
    entries: Mapping[str, Entry]
    count: int
    quick: int
    bounds: Sequence[Bound] = ()
    baseline: str = "multiprocessing"
    more_is_better: bool = False
    rounds: int = 5
    limit: float = 60.0

    def times_better(self, figure: float, other: float) -> float:
        """Return how many times better `figure` is than `other`; below 1 is worse."""
        better, worse = (figure, other) if self.more_is_better else (other, figure)
        return better / worse if worse else float("inf")


@dataclass
class Figures:
    """What the rounds gave for one entry: values in the question's unit, and why there are no more.

    Attributes:
        absent: Why it was never asked: nobody's failure.
        failure: How a measurement of it failed; none came after it.
    """

    count: int
    aside: str = ""
    absent: str = ""
    values: list[float] = field(default_factory=list)
    failure: str = ""

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None

    def as_json(self) -> dict[str, Any]:
        known: dict[str, Any] = {"count": self.count, "aside": self.aside}
        known |= {"absent": self.absent, "failure": self.failure}
        if self.values:
            known |= {"median": self.median, "min": min(self.values), "max": max(self.values)}
        return known | {"values": self.values}


def _readable(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1000 else f"{figure:.4g}"


@dataclass
class Answer:
    """A question with the figures of one run, which used `count` operations and `rounds`."""

    question: Question
    figures: dict[str, Figures]
    count: int
    rounds: int

    def best_peer(self) -> str | None:
        """Return the peer with the best median, or None if no peer gave one."""
        peers = {
            name: each.median
            for name, each in self.figures.items()
            if each.median is not None and not each.aside and not name.startswith(OURS)
        }
        choose = max if self.question.more_is_better else min
        return choose(peers, key=lambda name: peers[name]) if peers else None

    def ratio(self, of: str, than: str | None) -> float | None:
        """Return how many times better one median is than another; None if either is missing."""
        if than is None or not {of, than} <= self.figures.keys():
            return None
        this, other = self.figures[of].median, self.figures[than].median
        if this is None or other is None:
            return None
        return self.question.times_better(this, other)

    def judge(self, bound: Bound) -> tuple[bool | None, str]:
        """Return whether a bound is kept (None: there are no figures to tell), and a sentence."""
        kind = "must" if bound.must else "goal"
        unit = self.question.unit
        if bound.than:
            than = self.best_peer() if bound.than == BEST_PEER else bound.than
            have = self.ratio(bound.of, than)
            who = f"{bound.than} ({than})" if bound.than == BEST_PEER and than else bound.than
            within = bound.at_least < 1  # read the other way round: may be so many times worse
            factor = 1 / bound.at_least if within else bound.at_least
            claim = f"{kind}: {bound.of} {'within' if within else 'at least'} {factor:.3g}x"
            claim += f" of {who}" if within else f" {who}"
            said = f"{1 / have if within else have:.2f}x" if have else ""
            kept = have is not None and have >= bound.at_least
        else:
            have = self.figures[bound.of].median
            more = self.question.more_is_better
            edge = "at least" if more else "at most"
            claim = f"{kind}: {bound.of} {edge} {bound.at_least:,g} {unit}"
            said = f"{_readable(have)} {unit}" if have is not None else ""
            kept = have is not None and (have >= bound.at_least if more else have <= bound.at_least)
        if absent := self.figures[bound.of].absent:
            return None, f"{claim}: cannot be told, {bound.of} was not measured ({absent})"
        if self.figures[bound.of].failure:
            return None, f"{claim}: cannot be told, {bound.of} has failed"
        if have is None:
            return None, f"{claim}: cannot be told, figures are missing"
        return kept, f"{claim}: {said}, {'kept' if kept else 'MISSED'}"

    def as_json(self) -> dict[str, Any]:
        q = self.question
        judged = [(bound, *self.judge(bound)) for bound in q.bounds]
        return {
            "name": q.name,
            "title": q.title,
            "unit": q.unit,
            "per": q.per,
            "fair": q.fair,
            "count": self.count,
            "rounds": self.rounds,
            "baseline": q.baseline,
            "best_peer": self.best_peer(),
            "more_is_better": q.more_is_better,
            "entries": {
                name: each.as_json()
                | {
                    "times_baseline": self.ratio(name, q.baseline),
                    "times_best_peer": self.ratio(name, self.best_peer()),
                }
                for name, each in self.figures.items()
            },
            "bounds": [{"must": b.must, "kept": kept, "text": text} for b, kept, text in judged],
        }


@dataclass(frozen=True)
class Curve:
    """Questions that differ in one number, with which their names end.

    Attributes:
        name: Its short name.
        title: What grows, and what it is measured by.
        number: What the number is.
        numbers: In growing order.
        at: The question for a number.
    """

    name: str
    title: str
    number: str
    numbers: tuple[int, ...]
    at: Callable[["Curve", int], Question]

    def questions(self) -> list[Question]:
        return [self.at(self, number) for number in self.numbers]
