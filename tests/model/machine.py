"""Memory and a few processes: which states follow on a state."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from tests.model.automaton import DEAD, ENDED, RUNS, SLEEPS, Automaton, Place
from tests.model.scenario import Scenario, View
from tests.model.steps import (
    ADD,
    ALIVE,
    CAS,
    FORCE,
    INTR,
    JOIN,
    LOAD,
    LOADS,
    LOCK,
    OK,
    OR,
    OWNER_DIED,
    PAUSE,
    STORE,
    SWAP,
    TIMED,
    TIMEOUT,
    WAIT,
    WAKE,
    Step,
)

State = tuple[Any, ...]  # the words' values, then each process's place


class Machine:
    """A scenario in motion."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.words = {word: i for i, word in enumerate(scenario.memory)}
        self.automata = [
            Automaton(program, i + 1, scenario.remember)
            for i, program in enumerate(scenario.programs)
        ]
        n = len(self.automata)
        mortal = scenario.mortal or tuple(range(1, n + 1))
        self.mortal = [p - 1 for p in mortal] if scenario.deaths else []
        self.guarded = {self.words[w]: self.words[lock] for w, lock in scenario.guarded.items()}
        self.fault: str | None = None  # somebody touches what it does not hold the lock for
        self.at = len(self.words)  # where the processes begin in a state
        self.start: State = (*scenario.memory.values(), *(a.first for a in self.automata))

    def view(self, state: State) -> View:
        view = View(dict(zip(self.words, state, strict=False)), {}, frozenset(), {}, {})
        asleep = set()
        for i, automaton in enumerate(self.automata):
            place = automaton.places[state[self.at + i]]
            if place.kind == ENDED:
                view.values[i + 1] = place.value
            elif place.kind == DEAD:
                view.dead[i + 1] = place.value
            else:
                assert place.step is not None
                view.steps[i + 1] = place.step
                if place.kind == SLEEPS:
                    asleep.add(i + 1)
        return View(view.memory, view.steps, frozenset(asleep), view.values, view.dead)

    def is_over(self, state: State) -> bool:
        """Whether all that live have ended."""
        return all(
            automaton.places[state[self.at + i]].kind >= ENDED
            for i, automaton in enumerate(self.automata)
        )

    # ---- what can happen in a state ----

    def moves(self, state: State) -> tuple[list[State], list[State]]:
        """Every state that a step or an end of a sleep leads to, and every one that a death does."""
        found: list[State] = []
        killed: list[State] = []
        at = self.at
        if (i := self._unseen(state)) >= 0:
            # Nobody can see this step or hinder it, but by a death: it may as well come first.
            here = state[at + i]
            self._run(state, i, here, self.automata[i].places[here], found)
            if i in self.mortal and self._dead(state) < self.scenario.deaths:
                killed.append(self._at(state, i, self.automata[i].killed(here)))
            return found, killed
        for i, automaton in enumerate(self.automata):
            here = state[at + i]
            place = automaton.places[here]
            if place.kind == RUNS:
                self._run(state, i, here, place, found)
            elif place.kind == SLEEPS:
                for result in self._ends_of_sleep(place):
                    found.append(self._at(state, i, automaton.after(place.value, result)))
        if self.mortal and self._dead(state) < self.scenario.deaths:
            for i in self.mortal:
                here = state[at + i]
                if self.automata[i].places[here].kind <= SLEEPS:
                    killed.append(self._at(state, i, self.automata[i].killed(here)))
        return found, killed

    def _dead(self, state: State) -> int:
        return sum(
            automaton.places[state[self.at + i]].kind == DEAD
            for i, automaton in enumerate(self.automata)
        )

    def _unseen(self, state: State) -> int:
        """A process whose next step touches only what its lock keeps the others from, or -1."""
        if not self.guarded:
            return -1
        for i, automaton in enumerate(self.automata):
            place = automaton.places[state[self.at + i]]
            if place.kind != RUNS or (step := place.step) is None:
                continue
            words = step.a if step.kind == LOADS else (step.word,)
            locks = [self.guarded[w] for word in words if (w := self._number(word)) in self.guarded]
            if any(state[lock] != i + 1 for lock in locks):
                self.fault = f"{name(i)} does not hold the lock for: {step}"
            elif locks and len(locks) == len(words):
                return i
        return -1

    def _number(self, word: str) -> int:
        return self.words.get(word, -1)

    def _at(self, state: State, i: int, place: int) -> State:
        """The same, with process i at another place."""
        i += self.at
        return (*state[:i], place, *state[i + 1 :])

    def _ends_of_sleep(self, place: Place) -> Iterator[str]:
        assert place.step is not None
        if self.scenario.slices:
            yield INTR
        if place.step.b == TIMED:
            yield TIMEOUT

    def _run(self, state: State, i: int, here: int, place: Place, found: list[State]) -> None:
        """All that process i's next step may do."""
        step, after = place.step, self.automata[i].after
        assert step is not None
        kind = step.kind
        if kind == WAKE:
            self._wake(state, i, here, step, found)
        elif kind == LOCK:
            self._lock(state, i, here, step, found)
        elif kind == WAIT:
            if step.b == TIMED:
                found.append(self._at(state, i, after(here, TIMEOUT)))
            asleep = state[self.words[step.word]] == step.a
            to = self.automata[i].sleeping(here) if asleep else after(here, OK)
            found.append(self._at(state, i, to))
        elif kind == JOIN:
            if self._kind(state, step.a) >= ENDED:
                killed = self._kind(state, step.a) == DEAD
                found.append(self._at(state, i, after(here, killed)))
        elif kind == ALIVE:
            lives = step.a != 0 and self._kind(state, step.a) != DEAD
            found.append(self._at(state, i, after(here, lives)))
        elif kind == LOADS:
            seen = tuple(state[self.words[word]] for word in step.a)
            found.append(self._at(state, i, after(here, seen)))
        elif kind == PAUSE:
            found.append(self._at(state, i, after(here, None)))
        else:
            word = self.words[step.word]
            was = state[word]
            to = after(here, None if kind == STORE else was)
            new = list(state)
            new[word] = _changed(step, was)
            new[self.at + i] = to
            found.append(tuple(new))

    def _kind(self, state: State, process: int) -> int:
        return self.automata[process - 1].places[state[self.at + process - 1]].kind

    def _wake(self, state: State, i: int, here: int, step: Step, found: list[State]) -> None:
        sleepers = []
        for j, automaton in enumerate(self.automata):
            place = automaton.places[state[self.at + j]]
            if place.kind == SLEEPS and place.step is not None and place.step.word == step.word:
                sleepers.append(j)
        n = min(step.a, len(sleepers))
        for chosen in combinations(sleepers, n):
            new = list(state)
            for j in chosen:
                automaton = self.automata[j]
                awake = automaton.places[state[self.at + j]].value
                new[self.at + j] = automaton.after(awake, OK)
            new[self.at + i] = self.automata[i].after(here, n)
            found.append(tuple(new))

    def _lock(self, state: State, i: int, here: int, step: Step, found: list[State]) -> None:
        word, after = self.words[step.word], self.automata[i].after
        owner = state[word]
        if owner == 0 or self._kind(state, owner) == DEAD:
            new = list(state)
            new[word] = i + 1
            new[self.at + i] = after(here, OWNER_DIED if owner else OK)
            found.append(tuple(new))
        if owner and step.a == TIMED:
            found.append(self._at(state, i, after(here, TIMEOUT)))
        if owner and step.a != FORCE and self.scenario.slices:
            found.append(self._at(state, i, after(here, INTR)))


def _changed(step: Step, was: Any) -> Any:
    """What a step makes of its word."""
    kind = step.kind
    if kind == LOAD:
        return was
    if kind == CAS:
        return step.b if was == step.a else was
    if kind in (STORE, SWAP):
        return step.a
    if kind == ADD:
        return was + step.a
    return was | step.a if kind == OR else was & step.a


def name(i: int) -> str:
    """Processes are called A, B, ... in traces."""
    return chr(ord("A") + i)
