"""Every interleaving of a few processes, with a death before every step: does a property ever fail?

A `Scenario` says what lies in shared memory, which processes there are, how many of them may be
killed and what must be true. `explore` visits every state that can be reached, breadth first, so
that the trace of a fault is a shortest one. Checked are

* in every state: ``invariant``;
* in every state in which all that live have ended: ``final``;
* of every state: the end can be reached from it. A process that nobody will ever wake is a fault, and
  so are two that keep each other running for ever. (There are finitely many states, so whoever
  schedules by fair chance reaches the end with probability 1.)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tests.model.steps import (
    ADD,
    ALIVE,
    AND,
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

Process = Generator[Step, Any, Any]
RUNS, SLEEPS, ENDED, DEAD = range(4)


@dataclass(frozen=True, slots=True)
class View:
    """A state, as properties see it. Processes are numbered from 1, as their owner words are."""

    memory: dict[str, Any]
    steps: dict[int, Step]  # of those that live and have not ended: what they do next
    asleep: frozenset[int]
    values: dict[int, Any]  # of those that have ended: what they returned
    dead: dict[int, Any]  # of those that were killed: what `remember` made of it


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
        assert self.places[at].step == step, f"{where} keeps something that its variables do not say"
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


@dataclass(frozen=True)
class Scenario:
    memory: dict[str, Any]
    programs: list[Callable[[int], Process]]
    deaths: int = 0  # how many may be killed
    mortal: tuple[int, ...] = ()  # who; (): all
    slices: bool = False  # whether a sleep ends by itself
    invariant: Callable[[View], str | None] | None = None
    final: Callable[[View], str | None] | None = None
    guarded: dict[str, str] = field(default_factory=dict)  # word: the lock it is touched under
    remember: Remember = nothing  # what is known of a dead process


@dataclass
class Result:
    states: int
    transitions: int
    fault: str | None = None
    trace: list[str] = field(default_factory=list)
    stuck: list[View] = field(default_factory=list)  # nobody moves, and not all have ended

    def __str__(self) -> str:
        if self.fault is None:
            return f"sound: {self.states} states, {self.transitions} transitions"
        return "\n".join([f"{self.fault}, after {len(self.trace)} steps:", *self.trace])


State = tuple[Any, ...]  # the words' values, then each process's place
Move = tuple[int, str, State]  # who, what, to where


class Explorer:
    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.words = {word: i for i, word in enumerate(scenario.memory)}
        self.automata = [
            Automaton(program, i + 1, scenario.remember)
            for i, program in enumerate(scenario.programs)
        ]
        n = len(self.automata)
        self.mortal = {i for i in range(n) if not scenario.mortal or i + 1 in scenario.mortal}
        self.guarded = {self.words[w]: self.words[l] for w, l in scenario.guarded.items()}
        self.fault: str | None = None
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

    # ---- what can happen in a state ----

    def moves(self, state: State) -> tuple[list[State], list[State]]:
        """Every state that a step or an end of a sleep leads to, and every one that a death does."""
        found: list[State] = []
        killed: list[State] = []
        at, deaths = self.at, 0
        if (i := self._unseen(state)) >= 0:
            # Nobody can see this step or hinder it, but by a death: it may as well come first.
            here = state[at + i]
            self._run(state, i, here, self.automata[i].places[here], found)
            if i in self.mortal and self._deaths(state) < self.scenario.deaths:
                killed.append(self._with(state, i, self.automata[i].killed(here)))
            return found, killed
        for i, automaton in enumerate(self.automata):
            here = state[at + i]
            place = automaton.places[here]
            if place.kind == RUNS:
                self._run(state, i, here, place, found)
            elif place.kind == SLEEPS:
                for result in self._ends_of_sleep(place):
                    found.append(self._with(state, i, automaton.after(place.value, result)))
            elif place.kind == DEAD:
                deaths += 1
        if deaths < self.scenario.deaths:
            for i in self.mortal:
                here = state[at + i]
                if self.automata[i].places[here].kind <= SLEEPS:
                    killed.append(self._with(state, i, self.automata[i].killed(here)))
        return found, killed

    def _deaths(self, state: State) -> int:
        places = (a.places[p] for a, p in zip(self.automata, state[self.at :], strict=True))
        return sum(place.kind == DEAD for place in places)

    def _unseen(self, state: State) -> int:
        """A process whose next step touches only what its lock keeps the others from, or -1."""
        if not self.guarded:
            return -1
        for i, automaton in enumerate(self.automata):
            place = automaton.places[state[self.at + i]]
            if place.kind != RUNS or (step := place.step) is None:
                continue
            words = step.a if step.kind == LOADS else (step.word,)
            locks = {self.guarded.get(self.words.get(word, -1), -1) for word in words}
            if locks != {-1}:
                if -1 in locks or any(state[lock] != i + 1 for lock in locks):
                    if any(lock >= 0 and state[lock] != i + 1 for lock in locks):
                        self.fault = f"{_name(i)} does not hold the lock for: {step}"
                    continue
                return i
        return -1

    def _with(self, state: State, i: int, place: int) -> State:
        i += self.at
        return (*state[:i], place, *state[i + 1 :])

    def _ends_of_sleep(self, place: Place) -> Iterator[str]:
        assert place.step is not None
        if self.scenario.slices:
            yield INTR
        if place.step.b == TIMED:
            yield TIMEOUT

    def _run(self, state: State, i: int, here: int, place: Place, found: list[State]) -> None:
        automaton, step = self.automata[i], place.step
        assert step is not None
        kind, here_at = step.kind, self.at + i
        if kind == PAUSE:
            found.append(self._with(state, i, automaton.after(here, None)))
            return
        if kind == ALIVE:
            found.append(self._with(state, i, automaton.after(here, self._lives(state, step.a))))
            return
        if kind == JOIN:
            if self.automata[step.a - 1].places[state[self.at + step.a - 1]].kind >= ENDED:
                dead = not self._lives(state, step.a)
                found.append(self._with(state, i, automaton.after(here, dead)))
            return
        if kind == LOADS:
            seen = tuple(state[self.words[word]] for word in step.a)
            found.append(self._with(state, i, automaton.after(here, seen)))
            return
        word = self.words[step.word]
        was = state[word]
        if kind == LOCK:
            self._lock(state, i, here, step, found)
            return
        if kind == LOAD:
            found.append(self._with(state, i, automaton.after(here, was)))
            return
        if kind == WAIT:
            if step.b == TIMED:
                found.append(self._with(state, i, automaton.after(here, TIMEOUT)))
            to = automaton.sleeping(here) if was == step.a else automaton.after(here, OK)
            found.append(self._with(state, i, to))
            return
        if kind == WAKE:
            self._wake(state, i, here, step, found)
            return
        new = list(state)
        if kind == STORE:
            new[word], result = step.a, None
        else:
            result = was
            if kind == CAS:
                new[word] = step.b if was == step.a else was
            elif kind == SWAP:
                new[word] = step.a
            elif kind == ADD:
                new[word] = was + step.a
            elif kind == OR:
                new[word] = was | step.a
            else:
                assert kind == AND
                new[word] = was & step.a
        new[here_at] = automaton.after(here, result)
        found.append(tuple(new))

    def _lock(self, state: State, i: int, here: int, step: Step, found: list[State]) -> None:
        word = self.words[step.word]
        owner, after = state[word], self.automata[i].after
        if owner == 0 or not self._lives(state, owner):
            new = list(state)
            new[word] = i + 1
            new[self.at + i] = after(here, OWNER_DIED if owner else OK)
            found.append(tuple(new))
        if owner and step.a == TIMED:
            found.append(self._with(state, i, after(here, TIMEOUT)))
        if owner and step.a != FORCE and self.scenario.slices:
            found.append(self._with(state, i, after(here, INTR)))

    def _lives(self, state: State, process: int) -> bool:
        if process == 0:
            return False
        return self.automata[process - 1].places[state[self.at + process - 1]].kind != DEAD

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
                of = automaton.places[state[self.at + j]].value
                new[self.at + j] = automaton.after(of, OK)
            new[self.at + i] = self.automata[i].after(here, n)
            found.append(tuple(new))

    # ---- the search ----

    def run(self, limit: int = 3_000_000) -> Result:
        number = {self.start: 0}
        states, parents = [self.start], array("l", [-1])
        sources, targets = array("l"), array("l")
        ended: list[int] = []
        stuck: list[int] = []
        i = transitions = 0
        while i < len(states):
            state = states[i]
            kinds = {a.places[p].kind for a, p in zip(self.automata, state[self.at :], strict=True)}
            over = not kinds & {RUNS, SLEEPS}
            fault = self._complaint(state, over)
            if fault:
                return Result(len(states), transitions, fault, self._trace(states, parents, i))
            moves, killed = self.moves(state)
            if self.fault:
                trace = self._trace(states, parents, i)
                return Result(len(states), transitions, self.fault, trace)
            transitions += len(moves) + len(killed)
            if over:
                ended.append(i)
            elif not moves:
                stuck.append(i)
            for to in moves:
                j = number.setdefault(to, len(states))
                if j == len(states):
                    states.append(to)
                    parents.append(i)
                sources.append(i)  # a death is no way to come to an end
                targets.append(j)
            for to in killed:
                if number.setdefault(to, len(states)) == len(states):
                    states.append(to)
                    parents.append(i)
            i += 1
            if i > limit:
                raise AssertionError(f"more than {limit} states: make the scenario smaller")
        result = Result(len(states), transitions, stuck=[self.view(states[j]) for j in stuck])
        lost = self._cannot_end(len(states), sources, targets, ended)
        if lost is not None:
            asleep = sorted(self.view(states[lost]).asleep)
            names = ", ".join(_name(j - 1) for j in asleep)
            result.fault = f"no end can be reached; asleep: {names or 'nobody'}"
            result.trace = self._trace(states, parents, lost)
        return result

    def _complaint(self, state: State, over: bool) -> str | None:
        scenario = self.scenario
        if scenario.invariant and (fault := scenario.invariant(self.view(state))):
            return fault
        return scenario.final(self.view(state)) if over and scenario.final else None

    @staticmethod
    def _cannot_end(n: int, sources: array[int], targets: array[int], ended: list[int]) -> int | None:
        """The first state from which no end can be reached. It is the nearest to the start, and of
        those that nobody can leave one is what a reader wants to see: so these are preferred."""
        count = array("l", bytes(8 * (n + 1)))
        for j in targets:
            count[j + 1] += 1
        for j in range(n):
            count[j + 1] += count[j]
        place, before = array("l", count), array("l", bytes(8 * len(sources)))
        for i, j in zip(sources, targets, strict=True):
            before[place[j]] = i
            place[j] += 1
        good, todo = bytearray(n), list(ended)
        for j in todo:
            good[j] = 1
        while todo:
            j = todo.pop()
            for i in before[count[j] : count[j + 1]]:
                if not good[i]:
                    good[i] = 1
                    todo.append(i)
        bad = [j for j in range(n) if not good[j]]
        if not bad:
            return None
        leavable = {i for i, j in zip(sources, targets, strict=True) if i != j}
        return next((j for j in bad if j not in leavable), bad[0])

    def _trace(self, states: list[State], parents: array[int], i: int) -> list[str]:
        way = [i]
        while parents[way[-1]] >= 0:
            way.append(parents[way[-1]])
        way.reverse()
        return [
            self._told(states[a], states[b], n) for n, (a, b) in enumerate(zip(way, way[1:]), 1)
        ]

    def _told(self, before: State, after: State, n: int) -> str:
        """What happened between two states, in words."""
        words = list(self.words)
        changed = [
            f"{words[w]} = {after[w]}" for w in range(self.at) if before[w] != after[w]
        ]
        who = [j for j in range(len(self.automata)) if before[self.at + j] != after[self.at + j]]
        # Of several that changed place, one woke the others.
        actor = next((j for j in who if self._place(before, j).kind == RUNS), who[0] if who else 0)
        was, now = self._place(before, actor), self._place(after, actor)
        what = f"{was.where}: {was.step}"
        if now.kind == DEAD:
            what = f"KILLED before {what}"
        elif now.kind == SLEEPS:
            what += ", sleeps"
        elif was.kind == SLEEPS:
            what += ": the sleep ends by itself"
        woken = [_name(j) for j in who if j != actor]
        notes = changed + ([f"wakes {', '.join(woken)}"] if woken else [])
        if was.step is not None and was.step.kind == LOADS and now.kind != DEAD:
            notes.append(f"sees {', '.join(str(before[self.words[w]]) for w in was.step.a)}")
        if was.step is not None and was.step.kind == LOAD and now.kind != DEAD:
            notes.append(f"sees {before[self.words[was.step.word]]}")
        return f"{n:4} {_name(actor)}  {what}" + (f"   -> {'; '.join(notes)}" if notes else "")

    def _place(self, state: State, j: int) -> Place:
        return self.automata[j].places[state[self.at + j]]


def _name(j: int) -> str:
    return chr(ord("A") + j)


def explore(scenario: Scenario) -> Result:
    """Visit every state of the scenario; the result says whether it is sound."""
    return Explorer(scenario).run()
