"""What is explored, what its properties see, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.model.automaton import Process, Remember, nothing
from tests.model.steps import Step


@dataclass(frozen=True, slots=True)
class View:
    """A state, as properties see it. Processes are numbered from 1, as their owner words are."""

    memory: dict[str, Any]
    steps: dict[int, Step]  # of those that live and have not ended: what they do next
    asleep: frozenset[int]
    values: dict[int, Any]  # of those that have ended: what they returned
    dead: dict[int, Any]  # of those that were killed: what `remember` made of it


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
