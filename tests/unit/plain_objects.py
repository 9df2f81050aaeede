"""Objects of exact builtin types, for the tests of what writes and reads such."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

INTS = [
    0,
    1,
    -1,
    127,
    128,
    -128,
    -129,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**63 - 1,
    -(2**63),
]
STRINGS = ["", "a", "é", "forkful", "ü" * 20, "€" * 9, "\U0001f600x", "\ud800", "x" * 255]
OTHERS = [None, True, False, 0.0, 1.5, -math.inf, b"", b"abc", b"\x80" * 255]
NESTS: list[Any] = [
    (),
    [],
    {},
    (1, (2, [3])),
    [1, [2, {3: 4}]],
    {"id": 12345, "name": "forkful", "price": 9.75},
    {1: "a", (2, "b"): [None, {}], b"c": ()},
    [[[[[[[[]]]]]]]],
    ((), (), (1,)),
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
keys = st.recursive(scalars, lambda of: st.tuples(of, of), max_leaves=3)
objects = st.recursive(
    scalars,
    lambda of: st.lists(of) | st.lists(of).map(tuple) | st.dictionaries(keys, of),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types, in the same order; nan is itself, and -0.0 is not 0.0."""
    return type(a) is type(b) and repr(a) == repr(b)
