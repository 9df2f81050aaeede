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
from itertools import pairwise

from tests.model.machine import Machine, State, name
from tests.model.scenario import Result, Scenario
from tests.model.trace import told

LIMIT = 4_000_000  # states: a few GB of memory


class Explorer:
    """One search: states in the order in which they were found, and the moves between them."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.machine = Machine(scenario)
        self.states: list[State] = [self.machine.start]
        self.found_from = array("l", [-1])
        self.moves_from, self.moves_to = array("l"), array("l")  # a death is no move to an end
        self.ends: list[int] = []  # all that live have ended
        self.stuck: list[int] = []  # or nobody moves
        self.transitions = 0

    def run(self) -> Result:
        fault = self._search()
        if fault is None and (at := self._without_end()) is not None:
            asleep = sorted(self.machine.view(self.states[at]).asleep)
            names = ", ".join(name(p - 1) for p in asleep) or "nobody"
            fault = f"no end can be reached; asleep: {names}", at
        stuck = [self.machine.view(self.states[i]) for i in self.stuck]
        result = Result(len(self.states), self.transitions, stuck=stuck)
        if fault is not None:
            result.fault, result.trace = fault[0], self._trace(fault[1])
        return result

    def _search(self) -> tuple[str, int] | None:
        """Find all states, or the first that is faulty."""
        machine, states = self.machine, self.states
        number = {machine.start: 0}
        i = 0
        while i < len(states):
            if i > LIMIT:
                raise AssertionError(f"more than {LIMIT} states: make the scenario smaller")
            state = states[i]
            over = machine.is_over(state)
            moves, deaths = machine.moves(state)
            if fault := machine.fault or self._complaint(state, over):
                return fault, i
            if over:
                self.ends.append(i)
            elif not moves:
                self.stuck.append(i)
            self.transitions += len(moves) + len(deaths)
            for to in (*moves, *deaths):
                j = number.setdefault(to, len(states))
                if j == len(states):
                    states.append(to)
                    self.found_from.append(i)
                self.moves_to.append(j)
            self.moves_from.extend([i] * len(moves))
            if deaths:
                del self.moves_to[-len(deaths) :]
            i += 1
        return None

    def _complaint(self, state: State, over: bool) -> str | None:
        invariant, final = self.scenario.invariant, self.scenario.final
        if not invariant and not (over and final):
            return None
        view = self.machine.view(state)
        return (invariant(view) if invariant else None) or (final(view) if over and final else None)

    def _without_end(self) -> int | None:
        """The first state from which no end can be reached; if there are such, one that is stuck."""
        n = len(self.states)
        # The moves again, by where they lead: those to j are before[first[j] : first[j + 1]].
        first = array("l", [0]) * (n + 1)
        for j in self.moves_to:
            first[j + 1] += 1
        for j in range(n):
            first[j + 1] += first[j]
        free, before = array("l", first), array("l", self.moves_from)
        for i, j in zip(self.moves_from, self.moves_to, strict=True):
            before[free[j]] = i
            free[j] += 1
        good, todo = bytearray(n), list(self.ends)
        for i in todo:
            good[i] = 1
        while todo:
            j = todo.pop()
            for i in before[first[j] : first[j + 1]]:
                if not good[i]:
                    good[i] = 1
                    todo.append(i)
        bad = next((i for i in range(n) if not good[i]), None)
        return bad if bad is None or not self.stuck else self.stuck[0]

    def _trace(self, i: int) -> list[str]:
        way = [i]
        while (i := self.found_from[i]) >= 0:
            way.append(i)
        steps = enumerate(pairwise(reversed(way)), 1)
        return [told(self.machine, self.states[a], self.states[b], n) for n, (a, b) in steps]


def explore(scenario: Scenario) -> Result:
    """Visit every state of the scenario; the result says whether it is sound."""
    return Explorer(scenario).run()
