"""One modelled process as an automaton: its generator's places, each of them run into once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from tests.model.steps import Step

Process = Generator[Step, Any, Any]
RUNS, SLEEPS, ENDED, DEAD = range(4)


@dataclass(slots=True)
class Place:
    """Where a process is: all it knows, and what it does next."""

    kind: int
    where: str  # the functions it is in
    step: Step | None = None
    value: Any = None
    history: tuple[Any, ...] = ()  # a way to get here: the results sent so far
    known: dict[str, Any] = field(default_factory=dict)  # the variables of its outermost function
    after: dict[Any, int] = field(default_factory=dict)
    sleeping: int = -1
    killed: int = -1


class Automaton:
    """The places of one process, found by running its generator; each is found once only."""

    def __init__(self, program: Callable[..., Process], me: int, remember: Remember) -> None:
        self.places: list[Place] = []
        self._program, self._me, self._remember = program, me, remember
        self._known: dict[Any, int] = {}
        self.first = self._enter(())

    def after(self, at: int, result: Any) -> int:
        """The place that this result leads to."""
        place = self.places[at]
        if (to := place.after.get(result, -1)) < 0:
            to = place.after[result] = self._enter((*place.history, result))
        return to

    def sleeping(self, at: int) -> int:
        """The same place, asleep in its step."""
        place = self.places[at]
        if place.sleeping < 0:
            asleep = Place(SLEEPS, place.where, place.step, at, place.history, place.known)
            place.sleeping = self._add(("asleep", at), asleep)
        return place.sleeping

    def killed(self, at: int) -> int:
        """Where one is that was killed at this place."""
        place = self.places[at]
        if place.killed < 0:
            memory = self._remember(place)
            place.killed = self._add(("dead", memory), Place(DEAD, "", None, memory))
        return place.killed

    def _enter(self, history: tuple[Any, ...]) -> int:
        process = self._program(self._me)
        try:
            step = next(process)
            for result in history:
                step = process.send(result)
        except StopIteration as end:
            return self._add(("ended", end.value), Place(ENDED, "", None, end.value))
        key, where = _frames(process)
        known = dict(process.gi_frame.f_locals)
        at = self._add(key, Place(RUNS, where, step, None, history, known))
        assert self.places[at].step == step, (
            f"{where} keeps something that its variables do not say"
        )
        process.close()
        return at

    def _add(self, key: Any, place: Place) -> int:
        if key not in self._known:
            self._known[key] = len(self.places)
            self.places.append(place)
        return self._known[key]


def _frames(process: Process) -> tuple[Any, str]:
    """All that a suspended generator knows: where it and those it delegates to are, and their
    variables. Programs keep nothing elsewhere: a result is assigned before the next step.
    """
    key, names = [], []
    inner: Any = process
    while inner is not None:
        frame = inner.gi_frame
        key.append((frame.f_code, frame.f_lasti, tuple(frame.f_locals.items())))
        names.append(frame.f_code.co_name)
        inner = inner.gi_yieldfrom
    return tuple(key), " > ".join(names[1:] or names)


Remember = Callable[[Place], Any]


def nothing(place: Place) -> Any:
    """One death is like another."""
    return ()
