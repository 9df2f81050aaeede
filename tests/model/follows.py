"""The tie between the model and the C source: what a modelled function does, it does in C too.

`@follows("lock.c", "load l->word", "call fk_futex_wait", ...)` says: the C function of the same name in
native/core/lock.c has exactly these steps, in this order in its text. A test compares; so whoever
changes a step in C has to look at the model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.house import csource

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Followed:
    """A C function and the steps that the model gives it."""

    file: str
    name: str
    steps: tuple[str, ...]


FOLLOWED: list[Followed] = []


def follows(file: str, *steps: str, name: str = "") -> Callable[[F], F]:
    """Declare what the C function of this name (or ``name``) does, step by step."""

    def register(function: F) -> F:
        FOLLOWED.append(Followed(file, name or function.__name__, steps))
        return function

    return register


_NAMES = {
    "load": "load",
    "store": "store",
    "exchange": "swap",
    "compare_exchange_weak": "cas",
    "compare_exchange_strong": "cas",
    "fetch_add": "add",
    "fetch_sub": "sub",
    "fetch_or": "or",
    "fetch_and": "and",
}
_ATOMIC = r"atomic_(?P<verb>%s)(?:_explicit)?\s*\(\s*&?(?P<word>[^,()]+(?:\([^()]*\))?[^,()]*)[,)]"
_STEP = re.compile(
    _ATOMIC % "|".join(sorted(_NAMES, key=len, reverse=True))
    + r'|fk_point\("(?P<point>[^"]*)"\)'
    + r"|(?P<call>\b[a-z_]+)\s*\("
)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def body_of(file: str, name: str) -> str:
    """The text of a C function's body, without comments."""
    text = _COMMENT.sub("", (csource.NATIVE / "core" / file).read_text())
    head = re.search(rf"^[a-zA-Z_][^;{{}}#]*\b{name}\([^;{{}}]*\)\s*\{{", text, re.MULTILINE)
    if head is None:
        raise LookupError(f"native/core/{file} has no function {name}")
    depth, end = 1, head.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return text[head.end() : end]


def steps_of(body: str, calls: frozenset[str]) -> tuple[str, ...]:
    """The atomic operations, kill points and calls of ``calls`` in a function, as they stand."""
    found = []
    for m in _STEP.finditer(body):
        if m["verb"]:
            found.append(f"{_NAMES[m['verb']]} {m['word'].strip()}")
        elif m["point"]:
            found.append(f"point {m['point']}")
        elif m["call"] in calls:
            found.append(f"call {m['call']}")
    return tuple(found)


# Calls that are steps of their own, or whose functions are followed.
STEPS_IN_C = {"fk_futex_wait", "fk_futex_wake", "fk_slot_alive"}


def complaints(followed: list[Followed]) -> list[str]:
    """Where the C source does something else than the model says."""
    calls = frozenset(STEPS_IN_C | {f.name for f in followed})
    found = []
    for f in followed:
        try:
            there = steps_of(body_of(f.file, f.name), calls)
        except LookupError as error:
            found.append(str(error))
            continue
        if there != f.steps:
            found.append(f"{f.file}: {f.name}\n   C:     {there}\n   model: {f.steps}")
    return found
