"""Small objects of builtin types, written and read without pickle."""

from __future__ import annotations

import pickle
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forkful._native import dumps_plain, rebuild, write_plain
from tests.unit.plain_objects import INTS, NESTS, OTHERS, STRINGS, objects, same


@pytest.mark.parametrize("obj", [*INTS, *STRINGS, *OTHERS, *NESTS], ids=repr)
def test_it_comes_back_as_what_it_was(obj: Any) -> None:
    data = write_plain(obj)
    assert data is not None
    assert data[:1] != pickle.dumps(obj)[:1]
    assert same(rebuild(data), obj)
    assert same(rebuild(b"before" + data, 6), obj)
    assert write_plain(obj, b"before") == b"before" + data


@pytest.mark.parametrize("size", [1, 5_000], ids=["small", "large"])
def test_a_pickle_is_rebuilt_as_well(size: int) -> None:
    data = pickle.dumps({"x": size}) + b"?" * size
    assert rebuild(data) == rebuild(b"before" + data, 6) == {"x": size}


@given(objects)
def test_whatever_is_written_comes_back(obj: Any) -> None:
    data = write_plain(obj)
    assert data is None or same(rebuild(data, 0), obj)


class Int(int):
    pass


@pytest.mark.parametrize(
    "obj",
    [2**63, -(2**63) - 1, "x" * 256, b"x" * 256, [0] * 256, ["x" * 200] * 3, "€" * 256, 1j, {1}]
    + [Int(1), (Int(1),), {Int(1): 1}, {1: Int(1)}, [[[[[[[[[]]]]]]]]], object(), len],
    ids=lambda obj: repr(obj)[:30],
)
def test_what_is_large_or_of_another_type_is_left_to_pickle(obj: Any) -> None:
    assert write_plain(obj) is None


@given(objects, st.binary(max_size=9))
def test_either_way_it_stands_behind_the_head(obj: Any, head: bytes) -> None:
    data = dumps_plain(obj, head)
    assume(data is not None)  # nested too deep
    assert data.startswith(head)
    assert same(rebuild(data, len(head)), obj)
    assert same(rebuild(dumps_plain(obj) or b""), obj)


def test_what_is_not_of_builtin_types_is_neither() -> None:
    for obj in (Int(1), [Int(1)], 1j, {1}, object(), b"x" * (1 << 18)):
        assert dumps_plain(obj, b"head") is None
    with pytest.raises(TypeError):
        dumps_plain(1, "head")  # type: ignore[arg-type]


def test_what_stands_in_it_twice_is_left_to_pickle() -> None:
    part = [1]
    assert write_plain([part, part]) is None
    assert write_plain({1: part, 2: (part,)}) is None
    part.append(part)  # type: ignore[arg-type]
    assert write_plain(part) is None


def test_what_somebody_else_holds_is_written() -> None:
    part = [1]
    assert rebuild(write_plain((part, 2)) or b"", 0) == ([1], 2)


def test_bytes_that_were_not_written_are_refused(rand: Random) -> None:
    with pytest.raises(RuntimeError, match="never writes"):
        rebuild(b"", 0)
    with pytest.raises(RuntimeError, match="never writes"):
        rebuild((write_plain(1) or b"") + b"N", 0)
    with pytest.raises(TypeError):
        rebuild(b"N", 2)
    with pytest.raises(TypeError):
        rebuild(b"N", -2)
    all_of_them = [write_plain(obj) or b"?" for obj in [*INTS, *STRINGS, *OTHERS, *NESTS]]
    refused = 0
    for _ in range(20_000):
        data = bytearray(rand.choice(all_of_them))
        for _ in range(rand.randrange(3)):
            data[rand.randrange(len(data))] = rand.randrange(256)
        del data[rand.randrange(len(data) + 1) :]
        if data[:1] == b"\x80":  # a pickle
            continue
        try:
            rebuild(bytes(data), 0)
        except (RuntimeError, TypeError):  # TypeError: a list as a key
            refused += 1
    assert refused
