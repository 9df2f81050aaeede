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


_HEAD = re.compile(
    r"^[a-zA-Z_][^;{}#=]*?\b(?P<name>[a-z_0-9]+)\((?P<args>[^;{}]*)\)\s*\{", re.MULTILINE
)

Source = dict[str, dict[str, str]]  # file: function: its body


def functions(text: str) -> dict[str, str]:
    """The bodies of a C file's functions, without comments."""
    text, found, end = _COMMENT.sub("", text), {}, 0
    while head := _HEAD.search(text, end):
        depth, end = 1, head.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found[head["name"]] = text[head.end() : end]
    return found


def source() -> Source:
    return {path.name: functions(path.read_text()) for path in csource.files("core")}


def touching(source: Source) -> set[tuple[str, str]]:
    """The functions (file, name) that touch shared memory, themselves or by what they call."""
    found = {
        (file, name)
        for file, bodies in source.items()
        for name, body in bodies.items()
        if re.search(r"\batomic_|\bsyscall\(", body)
    }
    while True:
        more = {
            (file, name)
            for file, bodies in source.items()
            for name, body in bodies.items()
            if any(
                m["call"] and _callee(source, file, m["call"]) in found
                for m in _STEP.finditer(body)
            )
        }
        if more <= found:
            return found
        found |= more


def _callee(source: Source, file: str, name: str) -> tuple[str, str] | None:
    """Where the function is that a call in this file means: there, or in the file that offers it."""
    for other in (file, *source):
        if name in source[other] and (other == file or name.startswith("fk_")):
            return other, name
    return None


def steps_of(source: Source, touch: set[tuple[str, str]], file: str, name: str) -> tuple[str, ...]:
    """The atomic operations, kill points and calls that touch shared memory, as they stand in C."""
    found = []
    for m in _STEP.finditer(source[file][name]):
        if m["verb"]:
            found.append(f"{_NAMES[m['verb']]} {m['word'].strip()}")
        elif m["point"]:
            found.append(f"point {m['point']}")
        elif _callee(source, file, m["call"]) in touch:
            found.append(f"call {m['call']}")
    return tuple(found)


def complaints(followed: list[Followed], source: Source) -> list[str]:
    """Where the C source does something else than the model says."""
    touch = touching(source)
    found = []
    for f in followed:
        if f.name not in source.get(f.file, {}):
            found.append(f"native/core/{f.file} has no function {f.name}")
        elif (there := steps_of(source, touch, f.file, f.name)) != f.steps:
            found.append(f"{f.file}: {f.name}\n   C:     {there}\n   model: {f.steps}")
    return found
