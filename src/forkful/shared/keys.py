"""Which key of a shared dict an object is, where its type does not tell (native/bind/key.c has the others).

Processes do not agree on hashes: those of strings differ in each. So keys are compared by bytes that are
equal when the keys are. Objects for which there are none are *odd*: what they are equal to is found out
by `==`, with each odd key of the dict in turn. An odd key is never taken for one that is not: what is
equal to a str, bytes, tuple or None and is not one (`UserString`, `memoryview`) is another key here.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from numbers import Complex
from typing import Any

from forkful import wire

_ODD = object()
_DEEPEST = 50  # levels of tuples: add_any() in native/bind/key.c has the same

_PLAIN = (str, int, bytes, bool, type(None))

_EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda key: bytes.__getitem__(key, slice(None))),
    (tuple, lambda key: tuple.__getitem__(key, slice(None))),
)


def resolve(key: Any, snapshot: Callable[[], tuple[int, list[bytes]]]) -> tuple[Any, Any]:
    """Return which key of a dict `key` is.

    Args:
        key: The object.
        snapshot: Returns how many odd keys the dict has been given so far, and the bytes of those there.

    Returns:
        An equal object of a plain type and None; or the bytes of an odd key, and whether it is there
        together with that number.

    Raises:
        TypeError: It cannot be hashed, or holds shared objects, which are only equal to themselves.
    """
    hash(key)
    plain = _plain(key)
    if plain is not _ODD:
        return plain, None
    added, there = snapshot()
    for known in there:
        other = wire.loads(known[9:])
        if other == key and hash(other) == hash(key):
            return known, (True, added)
    with wire.collecting() as handles:
        data = wire.dumps(key, "key")
    if handles:
        raise TypeError(f"a key of a shared dict must not hold shared objects: {key!r}")
    return b"o" + os.urandom(8) + data, (False, added)


def _plain(key: Any, depth: int = 0) -> Any:
    """Return an object of exact builtin types that is equal to `key`, or _ODD."""
    kind = type(key)
    if kind in _PLAIN:
        return key
    if kind is tuple:
        if depth == _DEEPEST:
            return _ODD
        parts = tuple(_plain(part, depth + 1) for part in key)
        return _ODD if _ODD in parts else parts
    if kind is float:
        return _ODD if key != key else key
    for base, exact in _EXACT:
        if isinstance(key, base):
            same = exact(key)
            return _plain(same, depth) if _is_same(same, key) else _ODD
    return _number(key)


def _number(key: Any) -> Any:
    """Return the int or float that is the same key: not numbers alone are equal to one."""
    if isinstance(key, Complex) and key.imag == 0:
        key = key.real
    for kind in (operator.index, int, float):
        try:
            same = kind(key)
            if _is_same(same, key):
                return same
        except Exception:  # as its class likes: then it is none
            pass
    return _ODD


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other) and hash(one) == hash(other)
