"""What is the matter with a family: its processes, as they were seen, become one sentence and an advice."""

from __future__ import annotations

from dataclasses import dataclass

from forkful.deadlock import ADVICE
from forkful.report import outside
from forkful.report.text import count
from forkful.snapshot import OF_PIPES, Member, Wait

_WORKER = "PoolWorker-"


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes:
        kind: `deadlocked`, `stopped`, `starved`, `busy`, `io`, `timed` (the first to go on is one that
            gives up), `moving`, `unknown`.
        text: One sentence.
        advice: What to do; empty where there is nothing to be done.
        pids: The processes that it is about.
    """

    kind: str
    text: str
    advice: str
    pids: tuple[int, ...]


def judge(family: tuple[Member, ...]) -> Verdict:
    """Decide. Dead members count as absent.

    Args:
        family: As `snapshot.take` returns it.
    """
    living = [m for m in family if m.state != "X"]
    found = (
        _knot(living)
        or _stopped(living)
        or _standstill(living)
        or _starved(living)
        or _busy(living)
        or _outside(living)
        or _timed(living)
    )
    return found or _fallback(living)


def _fallback(living: list[Member]) -> Verdict:
    hidden = tuple(m.pid for m in living if m.state == "?")
    if hidden:
        who_hides = "1 process is" if len(hidden) == 1 else f"{len(hidden)} processes are"
        text = f"not known: {who_hides} in another PID namespace, of which /proc tells nothing here"
        return Verdict("unknown", text, "", hidden)
    return Verdict("moving", "going on: no wait was seen that could be for ever", "", ())


def who(member: Member) -> str:
    """Name a process: `Process-1 (pid 17)`."""
    return f"{member.name} (pid {member.pid})" if member.pid else f"{member.name} (no pid yet)"


# -- deadlocks -------------------------------------------------------------------------------------------


def _is_stuck(member: Member) -> bool:
    """Whether its main thread, and each other one on the board, waits without an end for what has not come."""
    waits = member.waits
    main = any(w.thread == member.pid for w in waits)
    rests = main and all(w.at_rest and w.left is None for w in waits)
    return rests and not member.active and member.state not in "Tt?"


def _idle_server(member: Member) -> bool:
    return member.server and not member.active and member.state == "S"


def _is_elsewhere(member: Member, family: list[Member]) -> bool:
    """Whether a thread of it runs, or waits for what others than the family may bring about."""
    pids = {m.pid: m for m in family}
    return bool(member.unlisted) or any(outside.reaches_out(w, pids) for w in member.waits)


def _ends_it(wait: Wait) -> int | None:
    """The only process that can end a wait, where there is only one."""
    if wait.others is not None and len(wait.others) == 1:
        return wait.others[0]
    return wait.holder if wait.holder is not None else wait.joins


def _knot(living: list[Member]) -> Verdict | None:
    """Processes each of which waits only for others of them (or itself)."""
    knot = {m.pid: m for m in living if _is_stuck(m)}
    while loose := [p for p, m in knot.items() if any(_ends_it(w) not in knot for w in m.waits)]:
        for pid in loose:
            del knot[pid]
    if not knot:
        return None
    circle = _circle(knot)
    waits = [w for m in circle for w in m.waits]
    lock = next((w for w in waits if w.holder is not None or w.others), waits[0])
    locks = "'s locks" if all(w.holder is not None for w in waits) else ""
    if len(circle) == 1 and lock.others:
        text = f"{who(circle[0])} waits for a pipe whose other end only it itself has"
    elif len(circle) == 1:
        text = f"{who(circle[0])} waits for a lock that it holds itself"
    elif len(circle) == 2:
        text = f"{who(circle[0])} and {who(circle[1])} wait for each other{locks}"
    else:
        text = f"{', '.join(map(who, circle))} wait in a circle, each for the next{locks and ' one' + locks}"
    behind = [m for m in living if m.pid in knot and m not in circle]
    rest = [m for m in living if m.pid not in knot and not _idle_server(m)]
    text += f", and {who(behind[0])} for them" if len(behind) == 1 else ""
    text += f", and {len(behind)} others for them" if len(behind) > 1 else ""
    stuck = sum(map(_is_stuck, rest))
    if stuck:
        text += f"; {stuck} more {'process waits' if stuck == 1 else 'processes wait'}"
    if free := len(rest) - stuck:
        text += f"; {free} more {'process is' if free == 1 else 'processes are'} no part of it"
        if any(
            w.operation == "Lock.acquire" for w in waits
        ):  # as with multiprocessing, anybody may
            text += (
                f", unless {'it' if free == 1 else 'one'} releases a lock that another one holds"
            )
    text += _unless(list(knot.values()))
    return Verdict("deadlocked", f"deadlocked: {text}", _advice(lock), tuple(m.pid for m in circle))


def _circle(knot: dict[int, Member]) -> list[Member]:
    """One circle in it. Each member has a way to another one, so that a walk comes back."""
    walk: list[int] = [next(iter(knot))]
    while True:
        ends = (_ends_it(w) for w in knot[walk[-1]].waits)
        pid = next(p for p in ends if p is not None)
        if pid in walk:
            return [knot[p] for p in walk[walk.index(pid) :]]
        walk.append(pid)


def _standstill(living: list[Member]) -> Verdict | None:
    """Every thread of every process waits."""
    waiters = [m for m in living if not _idle_server(m)]
    if not all(_is_stuck(m) and not _is_elsewhere(m, living) for m in waiters):
        return None
    told = [(m, w) for m in waiters for w in m.waits if w.operation not in _INDIRECT]
    if not told:
        return None  # only joins and idle workers: nothing that could not end by itself is known
    member, wait = min(told, key=lambda pair: _ORDER.get(pair[1].operation, 9))
    joiner = next((m for m in waiters for w in m.waits if w.joins == member.pid), None)
    text = f"{who(member)} {_lacks(wait)}"
    if joiner and wait.operation == "Queue.put":
        text += (
            f", and {who(joiner)}, which joins it before it takes what is in the queue, never will"
        )
    elif len(waiters) > 1:
        text += f": all {len(waiters)} processes of the family wait"
    else:
        text += ": the family has only this process"
    pids = tuple(m.pid for m in waiters)
    advice = _DRAIN if joiner and wait.operation == "Queue.put" else _advice(wait)
    return Verdict("deadlocked", f"deadlocked: {text}{_unless(waiters)}", advice, pids)


_INDIRECT = {"Process.join", "Pool task", "Pool results", "Pool thread"}
_ORDER = {"Queue.put": 0, "Queue.get": 1, "Queue.join": 2}
_DRAIN = "take everything out of the queue before join(), or give the queue room for all of it"


_CLOSE = (
    "close each end of a pipe in every process that does not use it: then whoever reads gets EOFError when the "
    "last one that could write has gone"
)


def _lacks(wait: Wait) -> str:
    if wait.operation in OF_PIPES:
        return "waits for a pipe, whose other end only processes of the family have"
    return {
        "Queue.get": "waits for an item of an empty queue, and nobody is left who could put one",
        "Queue.put": f"waits for room in a full queue ({wait.size} of {wait.bound})",
        "Queue.join": f"waits until {count(wait.size or 0, 'item')} of a queue "
        f"{'is' if wait.size == 1 else 'are'} done, and nobody is left who could say so",
        "Event.wait": "waits for an event, and nobody is left who could set it",
        "Semaphore.acquire": "waits for a semaphore, and nobody is left who could release it",
        "Condition.wait": "waits to be notified, and nobody is left who could do that",
    }.get(wait.operation, f"waits in {wait.operation}, and nobody is left who could end that")


def _unless(members: list[Member]) -> str:
    handling = next((who(m) for m in members if m.handlers), None)
    if handling:
        return f", unless a signal handler of {handling} ends it"
    threads = next((m for m in members if m.unlisted), None)
    if threads:
        which = count(threads.unlisted, "other thread")
        return f", unless the {which} of {who(threads)}, of which forkful knows nothing, can end it"
    return ""


def _advice(wait: Wait) -> str:
    if wait.operation in OF_PIPES:
        return _CLOSE
    advice = ADVICE.get(wait.operation)
    return f"{advice}; or wait with a timeout" if advice else ""


# -- the others --------------------------------------------------------------------------------------------


def _stopped(living: list[Member]) -> Verdict | None:
    stopped = [m for m in living if m.state in ("T", "t")]
    if not stopped:
        return None
    first, more = stopped[0], len(stopped) - 1
    by = "a debugger" if first.state == "t" else "a signal"
    name = who(first) + (f" and {more} more" if more else "")
    text = f"stopped: {name} {'are' if more else 'is'} stopped by {by}"
    pids = tuple(m.pid for m in stopped)
    waiting = _waiting(living, stopped)
    advice = f"let it go on: kill -CONT {' '.join(map(str, pids))}" if first.state == "T" else ""
    return Verdict("stopped", f"{text}{waiting}", advice, pids)


def _waiting(living: list[Member], but: list[Member]) -> str:
    """`, and 3 other processes wait`."""
    n = sum(bool(m.waits) for m in living if m not in but and not m.unlisted and not m.active)
    if not n:
        return ""
    return f", and {n} other {'process waits' if n == 1 else 'processes wait'}"


def _starved(living: list[Member]) -> Verdict | None:
    """All workers of a pool are idle, and somebody else is at work or waits for something outside."""
    idle = [m for m in living if m.waits and all(w.operation == "Pool task" for w in m.waits)]
    others = [m for m in living if m not in idle and not _idle_server(m)]
    busy = [m for m in others if m.active or _is_elsewhere(m, living)]
    if not idle or not busy or any(_WORKER in m.name for m in others):
        return None
    source = next((m for m in busy if m.pid in {i.parent for i in idle}), busy[0])
    does = "computes" if source.active else f"waits for {outside.what(source)[0]}"
    workers = "the pool's only worker is" if len(idle) == 1 else f"all {len(idle)} workers are"
    text = f"starved: {workers} idle, because {who(source)}, from which tasks come, {does}"
    advice = (
        "find what keeps it from handing out tasks: reading its input, or work that could be a task"
    )
    return Verdict("starved", text, advice, (source.pid,))


def _busy(living: list[Member]) -> Verdict | None:
    running = sorted((m for m in living if m.active and m.unlisted), key=lambda m: -m.cpu)
    if not running:
        return None
    first, more = running[0], len(running) - 1
    name = who(first) + (f" and {more} more" if more else "")
    text = f"busy: {name} {'compute' if more else 'computes'}"
    advice = "if it computes too long it may be a loop without an end: see where it is, by --stacks"
    pids = tuple(m.pid for m in running)
    return Verdict("busy", f"{text}{_waiting(living, running)}", advice, pids)


def _outside(living: list[Member]) -> Verdict | None:
    """A thread that neither runs nor waits for anything that forkful knows."""
    elsewhere = [
        m for m in living if _is_elsewhere(m, living) and not m.active and not _idle_server(m)
    ]
    if not elsewhere:
        return None
    first, more = elsewhere[0], len(elsewhere) - 1
    name = who(first) + (f" and {more} more" if more else "")
    what, is_io = outside.what(first)
    kind = "waiting for I/O" if is_io else "waiting outside forkful"
    text = f"{kind}: {name} {'wait' if more else 'waits'} for {what}"
    if all(m.unlisted and _is_stuck(m) for m in elsewhere):
        text = (
            f"{kind}: every main thread waits for forkful objects, and a thread of {name} for {what}. "
            "If that is only an idle thread of a library, this is a deadlock"
        )
    pids = tuple(m.pid for m in elsewhere)
    return Verdict("io", f"{text}{_waiting(living, elsewhere)}", "", pids)


def _timed(living: list[Member]) -> Verdict | None:
    limited = [(w.left, m) for m in living for w in m.waits if w.left is not None]
    if not limited or any(m.active for m in living):
        return None
    left, member = min(limited, key=lambda pair: pair[0])
    text = f"waiting: {who(member)} gives up in {left:.1f} s, and then it goes on"
    return Verdict("timed", text, "", (member.pid,))
