"""The steps that a modelled process is made of: what C does to shared memory in one piece.

A modelled process is a generator that yields steps and is sent their results. Between two steps any
other process may go on, and before each step the process may be killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# What a call of the core ends with; the names of fk_status.
OK, AGAIN, TIMEOUT, INTR, OWNER_DIED = "OK", "AGAIN", "TIMEOUT", "INTR", "OWNER_DIED"
OVERFLOW, SHUTDOWN = "OVERFLOW", "SHUTDOWN"

# How a call waits: for ever, until a deadline that may pass at any time, or not at all.
NEVER, TIMED, TRY = "NEVER", "TIMED", "TRY"
FORCE = "FORCE"  # for ever, and slices do not end it

LOAD, LOADS, STORE, CAS, SWAP, ADD, OR, AND, WAIT, WAKE, ALIVE, PAUSE, JOIN, LOCK = range(14)
_VERBS = [
    "load",
    "load",
    "store",
    "cas",
    "swap",
    "add",
    "or",
    "and",
    "wait",
    "wake",
    "alive",
    "pause",
    "join",
    "lock",
]
EVERYBODY = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One indivisible step; made by the functions below, which say what it results in."""

    kind: int
    word: str
    a: Any = None
    b: Any = None

    def __str__(self) -> str:
        if self.kind == LOADS:
            return f"load {self.word}"
        args = ", ".join(str(x) for x in (self.a, self.b) if x is not None)
        return f"{_VERBS[self.kind]} {self.word}" + (f" ({args})" if args else "")


def load(word: str) -> Step:
    """Result: the word's value. As of all that follow, but ``store``: its value before the step."""
    return Step(LOAD, word)


def loads(*words: str) -> Step:
    """Several words at once. Only for words that nobody else writes meanwhile: the lock is held."""
    return Step(LOADS, " ".join(words), words)


def store(word: str, value: Any) -> Step:
    return Step(STORE, word, value)


def cas(word: str, expected: Any, value: Any) -> Step:
    """The value seen: the step has stored if that is what was expected."""
    return Step(CAS, word, expected, value)


def swap(word: str, value: Any) -> Step:
    return Step(SWAP, word, value)


def add(word: str, n: int) -> Step:
    return Step(ADD, word, n)


def or_(word: str, bits: int) -> Step:
    return Step(OR, word, bits)


def and_(word: str, mask: int) -> Step:
    return Step(AND, word, mask)


def futex_wait(word: str, expected: Any, how: str) -> Step:
    """``fk_futex_wait``: OK (woken, or the word differs), TIMEOUT if ``how`` is TIMED, INTR."""
    return Step(WAIT, word, expected, how)


def futex_wake(word: str, n: int) -> Step:
    """``fk_futex_wake``: how many were woken. The explorer tries every choice of sleepers."""
    return Step(WAKE, word, n)


def alive(process: int) -> Step:
    """``fk_slot_alive``. Process 0 is nobody, and not alive."""
    return Step(ALIVE, "life", process)


def lock(word: str, how: str) -> Step:
    """A whole acquire of a lock that was shown to be sound by itself: OK, OWNER_DIED (and taken over),
    TIMEOUT, INTR. Until it is free or its owner is dead this step waits. Released by ``unlock``.
    """
    return Step(LOCK, word, how)


def unlock(word: str) -> Step:
    return Step(STORE, word, 0)


def join(process: int) -> Step:
    """Go on when that process has ended. Result: whether it was killed."""
    return Step(JOIN, "process", process)


def pause(name: str) -> Step:
    """Nothing: a place where a process may be found, or killed."""
    return Step(PAUSE, name)
