"""What crosses for one exception: plain data only, so that reading it cannot fail half way.

Whatever needs code of others to be rebuilt is a pickle of its own in a cell; one that fails costs
that value and nothing else.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from forkful.remote.frames import Runs

Reference = int | tuple[str, str]
"""Another exception: its number; or, if it was left behind, its type's name and its text."""

Cell = Any
"""A value: itself if its type is one of ``PLAIN``, otherwise a tag and what the tag says."""

Tag = Literal["argument", "exception", "pickle", "text"]
"""What follows: the number of the argument that it is; a reference; a pickle; what to say of it."""

PLAIN = frozenset({type(None), bool, int, float, str, bytes})


class Node(NamedTuple):
    """One exception, in the order of what is tried to rebuild it."""

    own: bytes | None
    """Its pickle, if its class has a say in that. Other exceptions in it are references."""
    place: tuple[str, str] | None
    """Module and qualified name of its class; ``None`` if it cannot be found by them."""
    kind: bytes | None
    """Its class itself by cloudpickle, if it has no place and that is possible."""
    args: tuple[Cell, ...] | None
    """``None`` for a group whose arguments are its message and its exceptions."""
    attributes: dict[str, Cell]
    slots: dict[str, Cell]
    group: tuple[str, list[Reference], bool] | None
    """Message and members of a group, and whether its arguments show the members as a list."""
    name: str
    """Full name of its type."""
    text: str | None
    """What ``str()`` of it gives; ``None`` if its class is sure to be found."""
    runs: Runs
    cause: Reference | None
    context: Reference | None
    suppress: bool
    notes: list[str] | None
    losses: list[str]
    """Notes on what could not be packed."""
