"""What happened between two states, in words."""

from __future__ import annotations

from tests.model.automaton import DEAD, RUNS, SLEEPS, Place
from tests.model.machine import Machine, State, name
from tests.model.steps import LOAD, LOADS


def told(machine: Machine, before: State, after: State, n: int) -> str:
    """What happened between two states, in words."""
    words = list(machine.words)
    changed = [f"{words[w]} = {after[w]}" for w in range(machine.at) if before[w] != after[w]]
    who = [
        j for j in range(len(machine.automata)) if before[machine.at + j] != after[machine.at + j]
    ]
    # Of several that changed place, one woke the others.
    actor = next((j for j in who if _place(machine, before, j).kind == RUNS), who[0] if who else 0)
    was, now = _place(machine, before, actor), _place(machine, after, actor)
    what = f"{was.where}: {was.step}"
    if now.kind == DEAD:
        what = f"KILLED before {what}"
    elif now.kind == SLEEPS:
        what += ", sleeps"
    elif was.kind == SLEEPS:
        what += ": the sleep ends by itself"
    woken = [name(j) for j in who if j != actor]
    notes = changed + ([f"wakes {', '.join(woken)}"] if woken else [])
    if was.step is not None and was.step.kind == LOADS and now.kind != DEAD:
        notes.append(f"sees {', '.join(str(before[machine.words[w]]) for w in was.step.a)}")
    if was.step is not None and was.step.kind == LOAD and now.kind != DEAD:
        notes.append(f"sees {before[machine.words[was.step.word]]}")
    return f"{n:4} {name(actor)}  {what}" + (f"   -> {'; '.join(notes)}" if notes else "")


def _place(machine: Machine, state: State, j: int) -> Place:
    return machine.automata[j].places[state[machine.at + j]]
