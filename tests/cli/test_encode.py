"""JSON text of any value."""

from __future__ import annotations

import array
import collections
import enum
import json
import math
from typing import Any, NoReturn

import pytest

from forkful.cli.encode import encode


class Loud:
    def __repr__(self) -> NoReturn:
        raise RuntimeError("no repr")


class Colour(enum.IntEnum):
    RED = 3


class Lying(dict[str, int]):
    """Claims to have an item and refuses to give it."""

    def items(self) -> NoReturn:
        raise RuntimeError("no items")


def said(value: object) -> Any:
    text = encode(value)
    assert b"\n" not in text
    return json.loads(text, parse_constant=refuse)


def refuse(word: str) -> NoReturn:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "a\nb\u2028\x00", "日本語", [], {}, {"a": [1, {"b": None}]}, 10**400],
)
def test_what_json_can_say_is_said_exactly(value: object) -> None:
    assert said(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -7, 1 << 61, 1 << 62, -(1 << 62), 10**400, 1e16, 1e-7, -0.0),
        *("", 'q"\\/', "\x00\x1f\x7f\x80", "\b\f\n\r\t", "\u2028", "日本語", "\U0001f409"),
        *([1, [2.5, "x"]], {"a": {"b": [None]}, "": 0}),
    ],
)
def test_the_short_ways_say_the_same_bytes_as_the_json_module(value: object) -> None:
    assert encode(value) == json.dumps(value, ensure_ascii=False).encode()


def test_text_stays_readable() -> None:
    assert encode("日本語") == '"日本語"'.encode()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ((1, (2,)), [1, [2]]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        (Colour.RED, 3),
    ],
)
def test_what_has_a_plain_equal_is_said_by_it(value: object, told: object) -> None:
    assert said(value) == told


def test_numpy_values_are_numbers_and_arrays() -> None:
    numpy = pytest.importorskip("numpy")

    value = {"a": numpy.float32(1.5), "b": numpy.arange(3), "c": numpy.int64(7), "d": numpy.True_}

    assert said(value) == {"a": 1.5, "b": [0, 1, 2], "c": 7, "d": True}
    assert said(numpy.array([1.0, math.nan])) == [1.0, {"__repr__": "nan"}]


@pytest.mark.parametrize(
    "value",
    [b"x", {1}, math.inf, -math.inf, 1j, array.array("i", [1]), {(1,): 2}, range(3), Ellipsis],
)
def test_what_json_has_no_word_for_is_marked(value: object) -> None:
    assert said(value) == {"__repr__": repr(value)}


def test_only_the_part_that_cannot_be_said_is_marked() -> None:
    value = {"good": [1, "x"], "bad": [{"when": {1}}, math.nan], 3: (b"y",)}

    assert said(value) == {
        "good": [1, "x"],
        "bad": [{"when": {"__repr__": "{1}"}}, {"__repr__": "nan"}],
        "3": [{"__repr__": "b'y'"}],
    }


def test_bytes_of_a_file_name_survive() -> None:
    name = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")

    assert said({name: [name]}) == {name: [name]}


def test_no_value_is_so_hostile_that_it_raises() -> None:
    circle: dict[str, Any] = {}
    circle["me"] = circle
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]

    assert said(circle) == {"me": {"__repr__": "{'me': {...}}"}}
    assert "__repr__" in encode(deep).decode()
    assert said(Loud()) == {"__repr__": "<Loud whose repr() raised RuntimeError>"}
    assert said([Loud(), 1]) == [{"__repr__": "<Loud whose repr() raised RuntimeError>"}, 1]
    assert "__repr__" in said(Lying(a=1))
    assert said(10**5000) == {"__repr__": "<int whose repr() raised ValueError>"}
