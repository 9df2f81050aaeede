"""Small objects of builtin types through a pipe: pickles that no pickler has made, and that no unpickler reads.

The standard library's pickle is the oracle of both.
"""

from __future__ import annotations

import copy
import gc
import pickle
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forkful import _native
from forkful.connection import Connection, Pipe
from tests.unit.plain_objects import INTS, NESTS, OTHERS, STRINGS, objects, same

Ends = tuple[Connection, Connection]

# Hypothesis calls a test many times with one pair of ends, which each call leaves empty.
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def ends() -> Iterator[Ends]:
    a, b = Pipe()
    with a, b:
        yield a, b


@pytest.mark.parametrize(
    "obj",
    [*INTS, *filter(str.isascii, STRINGS), *OTHERS, *NESTS, "x" * 255, b"x" * 255],
    ids=repr,
)
def test_what_is_sent_is_a_pickle(ends: Ends, obj: Any) -> None:
    assert _native.stream_send(ends[0].fileno(), obj)
    assert same(pickle.loads(ends[1].recv_bytes()), obj)
    assert _native.stream_send(ends[0].fileno(), obj)
    assert same(ends[1].recv(), obj)


@many
@given(objects)
def test_all_else_is_sent_as_well(ends: Ends, obj: Any) -> None:
    ends[0].send(obj)
    assert same(pickle.loads(ends[1].recv_bytes()), obj)
    ends[0].send(obj)
    assert same(ends[1].recv(), obj)


@many
@given(objects, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_pickles_of_others_are_read(ends: Ends, obj: Any, protocol: int) -> None:
    ends[0].send_bytes(pickle.dumps(obj, protocol))
    assert same(ends[1].recv(), obj)


@pytest.mark.parametrize("through", ["pipe", "socket"])
def test_both_kinds_of_pipe_carry_it(through: str) -> None:
    reader, writer = Pipe(duplex=through == "socket")
    with reader, writer:
        for size in (0, 1, 200, 247, 248, 252, 253, 255, 256, 300, 505, 506, 512, 513, 5_000):
            for obj in ("x" * size, b"x" * size, [7] * size):
                writer.send(obj)
                assert same(reader.recv(), obj)


# ---- what is not written so --------------------------------------------------------------------


class Int(int):
    pass


@pytest.mark.parametrize(
    "obj",
    [2**63, -(2**63) - 1, "x" * 256, b"x" * 256, ["x" * 200] * 3, "é", 1j, {1}, object(), len]
    + [Int(1), (Int(1),), {Int(1): 1}, [[[[[[[[[]]]]]]]]]],
    ids=lambda obj: repr(obj)[:30],
)
def test_nothing_is_sent_of_what_is_left_to_the_pickler(ends: Ends, obj: Any) -> None:
    assert _native.stream_send(ends[0].fileno(), obj) is False
    assert not ends[1].poll()


def test_what_stands_in_it_twice_is_one_thing_on_the_other_side(ends: Ends) -> None:
    part: list[Any] = [1]
    ends[0].send([part, part, {"a": part}])
    first, second, third = ends[1].recv()
    assert first is second is third["a"]
    part.append(part)
    ends[0].send(part)
    back = ends[1].recv()
    assert back[1] is back


def test_the_senders_object_is_left_alone(ends: Ends) -> None:
    obj = {"a": [1, (2.5, b"x")], "b": {}}
    before = copy.deepcopy(obj)
    ends[0].send(obj)
    back = ends[1].recv()
    back["a"].append(3)
    assert obj == before


# ---- what is no good pickle --------------------------------------------------------------------

PARTS = [
    *(b"N", b"\x88", b"\x89", b"K\x05", b"M\x05\x01", b"J\xff\xff\xff\xff", b"\x8a\x02\x00\xff"),
    *(b"\x8a\x00", b"\x8a\x08" + b"\x80" * 8, b"\x8a\x09" + b"\x80" * 9, b"G" + b"?" * 8),
    *(b"\x8c\x01a", b"\x8c\x02\xc3\xa9", b"\x8c\x01\xff", b"C\x01\xff", b"C\x05x"),
    *(b"(", b"(", b"(", b")", b"t", b"\x85", b"\x86", b"\x87", b"]", b"e", b"a", b"}", b"u", b"s"),
    *(b"\x94", b"h\x00", b"0", b"1", b"2", b".", b"\x80\x05", b"\x95" + b"\x00" * 8),
    *(b"]N", b"]N", b"(NN", b"](N", b"}(NN", b"}NN", b"(]", b"(}"),
]


def outcome(read: Any) -> tuple[type[BaseException] | None, str]:
    try:
        return None, repr(read())
    except Exception as error:
        return type(error), ""


def check_as_pickle_does(ends: Ends, data: bytes) -> None:
    ends[0].send_bytes(data)
    assert outcome(ends[1].recv) == outcome(lambda: pickle.loads(data)), data
    assert not ends[1].poll()


@settings(many, max_examples=2_000)
@given(st.lists(st.sampled_from(PARTS), max_size=12), st.sampled_from([b".", b".", b".", b""]))
def test_what_pickle_refuses_is_refused(ends: Ends, parts: list[bytes], end: bytes) -> None:
    check_as_pickle_does(ends, b"\x80\x05" + b"".join(parts) + end)


@settings(many, max_examples=1_000)
@given(objects, st.data())
def test_a_pickle_cut_short_is_refused(ends: Ends, obj: Any, data: st.DataObject) -> None:
    whole = pickle.dumps(obj)
    check_as_pickle_does(ends, whole[: data.draw(st.integers(0, len(whole)))])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x05",
        b"\x80\x06N.",
        b"\x80\x04N.",
        b"N.",
        b"\x80\x05N.rest",
        b"\x80\x05.",
    ]
    + [b"\x80\x05\x95\x02\0\0\0\0\0\0\0N.", b"\x80\x05\x95\x09\0\0\0\0\0\0\0N."]
    + [b"\x80\x05" + b"N" * 509 + b".", b"\x80\x05" + b"(" * 509 + b"."]
    + [
        b"\x80\x05" + p + b"."
        for p in (
            b"}(Nu",
            b"}(NNNu",
            b"](Nae",
            b"}(NNsu",
            b"N(\x85t",
            b"NN(\x86t",
            b"t",
            b"e",
            b"u",
        )
    ]
    + [
        b"\x80\x05" + p + b"."
        for p in (
            b"(N",
            b"NN",
            b"]a",
            b"}Ns",
            b"}}s",
            b"}]Ns",
            b"N(e",
            b"](u",
            b"}(e",
            b"\x94",
            b"(N\x94t",
        )
    ]
    + [b"\x80\x05(" + b"N" * 508 + b"t.", b"\x80\x05](" + b"N" * 507 + b"e."],
    ids=lambda data: repr(data)[:40],
)
def test_odd_ones(ends: Ends, data: bytes) -> None:
    check_as_pickle_does(ends, data)


def test_a_class_that_is_not_there_is_told_of(ends: Ends) -> None:
    ends[0].send_bytes(b"cno_such_module\nThing\n.")
    with pytest.raises(ModuleNotFoundError) as caught:
        ends[1].recv()
    assert "top level of a module" in "".join(caught.value.__notes__)


def test_no_object_is_left_behind(ends: Ends) -> None:
    """Neither of what is read, nor where reading breaks off."""
    text = "not interned"
    whole = [pickle.dumps(part) for part in ([text], (text, 1.5), {text: b"x"})]
    broken = [b"(" + p for p in (b"G" * 9, b"](G" + b"?" * 8, b"}(" + b"\x8c\x02ab]")]
    before = 0
    for turn in range(400):
        if turn == 100:  # by then all is there that is made once
            gc.collect()
            before = sys.getallocatedblocks()
        for data in (*whole, *(b"\x80\x05" + p + b"." for p in broken)):
            ends[0].send_bytes(data)
            outcome(ends[1].recv)
    gc.collect()
    assert sys.getallocatedblocks() - before < 300


# ---- the descriptor ----------------------------------------------------------------------------


def test_one_that_does_not_block_says_that_nothing_is_there() -> None:
    a, b = socket.socketpair()
    with a, b:
        b.setblocking(False)
        with Connection(a.detach()) as writer, Connection(b.detach()) as reader:
            with pytest.raises(BlockingIOError):
                reader.recv()
            writer.send((1, 2))
            assert reader.recv() == (1, 2)


def test_no_descriptor_at_all() -> None:
    for call in (lambda: _native.stream_recv(-1), lambda: _native.stream_send(-1, 1)):
        with pytest.raises(OSError):
            call()
    with pytest.raises(TypeError):
        _native.stream_send(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        _native.stream_send("1", 1)  # type: ignore[arg-type]


def test_nobody_is_there_to_read(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        ends[0].send(1)
    with pytest.raises(EOFError):
        ends[0].recv()
