"""Pickles in parts, and pickles whose large bytes are lifted out as they come.

The standard library's pickle is the oracle of both.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forkful import wire
from forkful.connection import Connection, Pipe
from tests.unit.plain_objects import objects, same

Ends = tuple[Connection, Connection]

# Hypothesis calls a test many times with one pair of ends, which each call leaves empty.
many = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=40,
)

EDGES = [0, 255, 256, 4_095, 4_096, 65_534, 65_535, 65_536, 65_537, 70_000, 300_000]
sizes = st.sampled_from(EDGES)
fills = st.binary(min_size=1, max_size=3)


def filled(fill: bytes, size: int) -> bytes:
    return (fill * size)[:size]


datas = st.builds(filled, fills, sizes)
leaves = st.one_of(
    datas,
    datas.map(bytearray),
    st.builds(lambda size: "t" * size, sizes),
    st.builds(lambda size: "\N{EURO SIGN}" * size, sizes),
    objects,
)
larges = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.integers() | st.text(), inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.fixture
def ends() -> Iterator[Ends]:
    a, b = Pipe()
    with a, b:
        yield a, b


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    """Sends meanwhile: no pipe holds a large message."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@many
@given(larges)
def test_parts_make_the_pickle(obj: Any) -> None:
    parts = wire.dumps_parts(obj)
    data = b"".join(parts)
    assert same(pickle.loads(data), obj)
    if len(data) < 1_000_000:
        pickletools.dis(data, io.StringIO())
    assert data == pickle.dumps(obj, 5)


@many
@given(larges)
def test_what_is_sent_is_a_pickle_and_arrives(
    ends: Ends, thread: ThreadPoolExecutor, obj: Any
) -> None:
    for receive in (lambda: pickle.loads(ends[1].recv_bytes()), ends[1].recv):
        sent = thread.submit(ends[0].send, obj)
        assert same(receive(), obj)
        sent.result()


@many
@given(larges, st.integers(0, pickle.HIGHEST_PROTOCOL), st.binary(max_size=5))
def test_large_pickles_of_others_are_read(
    ends: Ends, thread: ThreadPoolExecutor, obj: Any, protocol: int, behind: bytes
) -> None:
    sent = thread.submit(ends[0].send_bytes, pickle.dumps(obj, protocol) + behind)
    assert same(ends[1].recv(), obj)
    sent.result()
    assert not ends[1].poll()


@many
@given(st.lists(datas.map(bytearray) | datas, max_size=5), st.integers(4, 5))
def test_pickles_of_the_pickler_in_python_are_read(
    ends: Ends, thread: ThreadPoolExecutor, obj: Any, protocol: int
) -> None:
    sent = thread.submit(ends[0].send_bytes, pickle._dumps(obj, protocol))  # type: ignore[attr-defined]
    assert same(ends[1].recv(), obj)
    sent.result()


def test_large_parts_are_what_they_were_made_of() -> None:
    data = b"x" * 100_000
    changed = bytearray(100_000)
    parts = wire.dumps_parts([data, changed, pickle.PickleBuffer(changed)])
    assert any(part is data for part in parts)
    changed[0] = 1
    assert [part[0] for part in parts if type(part) is memoryview] == [1, 1]
    with pytest.raises(BufferError):
        changed.clear()


@pytest.mark.parametrize("size", EDGES)
def test_a_message_cut_short_is_refused_as_pickle_does_and_the_next_one_is_read(
    ends: Ends, thread: ThreadPoolExecutor, size: int
) -> None:
    whole = pickle.dumps([b"a" * 100_000, b"b" * size], 5)
    for cut in (66_000, 100_000, len(whole) - size // 2 - 1, len(whole) - 1):
        with pytest.raises(Exception) as expected:
            pickle.loads(whole[:cut])
        for message in (whole[:cut], whole):
            thread.submit(ends[0].send_bytes, message)
            if message is whole:
                assert ends[1].recv() == [b"a" * 100_000, b"b" * size]
                continue
            with pytest.raises(type(expected.value)) as caught:
                ends[1].recv()
            assert str(caught.value) == str(expected.value)


def test_a_pickle_that_refers_to_what_travels_beside_it_is_refused(ends: Ends) -> None:
    data = pickle.dumps([pickle.PickleBuffer(b"x")], 5, buffer_callback=lambda _: False)
    ends[0].send_bytes(data + bytes(100_000))
    with pytest.raises(pickle.UnpicklingError):
        ends[1].recv()
