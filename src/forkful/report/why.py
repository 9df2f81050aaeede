"""A family as it was seen, in words: the verdict, the tree of its processes, what to do."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from forkful.deadlock import pools_own
from forkful.report import outside
from forkful.report.text import duration, shortened
from forkful.report.verdict import Verdict, who
from forkful.snapshot import OF_PIPES, Frame, Member, Stack, Wait

_NAME = 40
_BEGINNINGS = ("/multiprocessing/process.py", "/forkful/process.py", "/threading.py")
_MACHINERY = ("multiprocessing", "forkful", "launch", "pool")


def as_json(family: tuple[Member, ...], verdict: Verdict) -> dict[str, Any]:
    """Return what `--json` prints: the verdict, and the processes with their waits."""
    return {**asdict(verdict), "processes": [_process(member) for member in family]}


def _process(member: Member) -> dict[str, Any]:
    stacks = [[frame._asdict() for frame in stack.frames] for stack in member.stacks]
    return {**asdict(member), "stacks": stacks}


def lines(family: tuple[Member, ...], verdict: Verdict) -> list[str]:
    """Return the answer as lines without line ends."""
    pids = {m.pid: m for m in family}
    roots = [m for m in family if m.parent not in pids]
    tree = [line for root in roots for line in _branch(root, family, "", "")]
    advice = [f"what to do: {verdict.advice}"] if verdict.advice else []
    return [verdict.text, *tree, *advice]


def _branch(member: Member, family: tuple[Member, ...], lead: str, below: str) -> list[str]:
    children = [m for m in family if m.parent == member.pid and m.pid != m.parent]
    state, *threads = _state(member, family)
    threads += _stacks(member)
    name = f"{shortened(member.name, _NAME)} (pid {member.pid or '?'})"
    orphan = ", an orphan" if member.orphan and member.state != "X" else ""
    said = [f"{lead}{name}{orphan}: {state}"]
    said += [f"{below}{'|' if children else ' '}    {thread}" for thread in threads]
    for i, child in enumerate(children, 1):
        last = i == len(children)
        said += _branch(
            child, family, below + ("`- " if last else "|- "), below + ("   " if last else "|  ")
        )
    return said


def _stacks(member: Member) -> list[str]:
    """Lines below it, if stacks were asked for."""
    if member.mute:
        return [f"no stack: {member.mute}"]
    if len(member.stacks) == 1:
        return ["stack, innermost first:", *_frames(member.stacks[0])]
    told = []
    for i, stack in enumerate(member.stacks, 1):
        told += [f"stack {i} of {len(member.stacks)}, innermost first:", *_frames(stack)]
    return told


def _frames(stack: Stack) -> list[str]:
    """The program's own frames; all of them if there are none."""
    own: list[Frame] = []
    for frame in stack.frames:
        if frame.function == "_bootstrap" and frame.file.endswith(_BEGINNINGS):
            break  # what a forked child has from its parent is no part of what it does
        if os.path.basename(os.path.dirname(frame.file)) not in _MACHINERY:
            own.append(frame)
    return [
        f"  {os.path.basename(f.file)}:{f.line or '?'} in {f.function}" for f in own or stack.frames
    ]


def _state(member: Member, family: tuple[Member, ...]) -> list[str]:
    """What it does, and of a process with several threads a line for each that forkful knows of."""
    waits = [_wait(wait, family) for wait in member.waits]
    fixed = {"X": "has ended", "T": "stopped by a signal", "t": "stopped by a debugger"}
    if member.state in fixed:
        return [f"{fixed[member.state]}{_holds(member, family)}", *(f"was {w}" for w in waits)]
    if not member.pid:
        return ["is being started"]
    if member.state == "?":
        return ["in another PID namespace", *waits]
    if len(waits) == 1 and not member.unlisted:
        return [f"{waits[0]}{_holds(member, family)}"]
    if not member.unlisted:
        return [f"{len(waits)} threads{_holds(member, family)}", *waits]
    return [f"{_unlisted(member)}{_holds(member, family)}", *waits]


def _unlisted(member: Member) -> str:
    if member.active:
        return f"runs, at {round(100 * min(member.cpu, 999)):.0f} % of a processor"
    if member.server:
        return "idle"
    where = f", in {member.kernel}" if member.kernel else ""
    return f"waits for {outside.what(member)[0]}{where}"


def _holds(member: Member, family: tuple[Member, ...]) -> str:
    """For whom it is an owner."""
    waiters = [m for m in family for w in m.waits if w.holder == member.pid]
    if not waiters:
        return ""
    if len(waiters) == 1:
        return f"; holds what {who(waiters[0])} waits for"
    return f"; holds what {who(waiters[0])} and {len(waiters) - 1} more wait for"


def _wait(wait: Wait, family: tuple[Member, ...]) -> str:
    seconds = f"for {duration(wait.seconds)}"
    own = pools_own(wait.operation, wait.file)
    if own is not None:
        return f"{own}, {seconds}"
    names = {m.pid: who(m) for m in family}
    parts = [
        f"in {wait.operation}"
        + (f" at {os.path.basename(wait.file)}:{wait.line}" if wait.file else "")
    ]
    if wait.holder is not None:
        taken = f" (taken at {wait.taken})" if wait.taken else ""
        parts.append(f"held by {names.get(wait.holder, wait.holder)}{taken}")
    if wait.joins is not None:
        parts.append(f"of {names.get(wait.joins, wait.joins)}")
    if wait.size is not None:
        parts.append(_queue(wait))
    if wait.operation in OF_PIPES:
        parts.append(f"for {outside.other_end(wait, names)}")
    parts.append(seconds)
    if wait.left is not None:
        parts.append(f"{duration(wait.left)} left")
    return ", ".join(parts)


def _queue(wait: Wait) -> str:
    if wait.operation == "Queue.join":
        return f"{wait.size} not done"
    bound = f" of {wait.bound}" if wait.bound else ""
    return "empty" if wait.size == 0 else f"{wait.size}{bound} inside"
