"""Large objects through a pipe: written and read without copies, and yet a pickle for any Python."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import connection as stdlib
from typing import Any

import numpy as np
import pytest

from tests.contract.children import LONG, Page, blocked, kill, running, unread, until
from tests.kit import procs

LARGE = 1_000_000


@pytest.fixture(params=[True, False], ids=["duplex", "one-way"])
def ends(request: pytest.FixtureRequest, fork: Any) -> Iterator[Any]:
    """A receiving and a sending end."""
    reader, writer = fork.Pipe(request.param)
    with contextlib.closing(reader), contextlib.closing(writer):
        yield reader, writer


@contextlib.contextmanager
def sending(send: Callable[[Any], None], *items: Any) -> Iterator[Future[None]]:
    """Send meanwhile: no pipe holds a large object."""
    with ThreadPoolExecutor(1) as thread:

        def all_of_them() -> None:
            for item in items:
                send(item)

        sent = thread.submit(all_of_them)
        yield sent
        sent.result(LONG)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return bool(a == b)


def objects() -> list[Any]:
    array = np.arange(LARGE // 8)
    square = array[:90_000].reshape(300, 300)
    shared = b"s" * LARGE
    return [
        array,
        np.asfortranarray(square),
        square[::2, ::2],
        b"x" * LARGE,
        bytearray(LARGE),
        "t" * LARGE,
        "\N{GREEK SMALL LETTER ALPHA}" * LARGE,
        ("https://example.org", 200, b"y" * LARGE),
        {"a": array, "b": [square, square], "c": bytearray(b"z") * LARGE},
        [shared, shared, array],
        [b"x" * 65_535, b"x" * 65_536, b"x" * 65_537] * 40,
        [str(i) for i in range(LARGE // 10)],
        np.zeros(LARGE, dtype="V3,f8"),
    ]


def echo(conn: Any, count: int) -> None:
    for _ in range(count):
        conn.send(conn.recv())


def echo_one_way(reader: Any, writer: Any, count: int) -> None:
    for _ in range(count):
        writer.send(reader.recv())


def test_large_objects_travel_both_ways(either: Any) -> None:
    items = objects()
    one, other = either.Pipe()
    with one, other, running(either, echo, other, len(items)):
        for item in items:
            one.send(item)
            assert same(one.recv(), item)


def test_large_objects_travel_through_one_way_pipes(ctx: Any) -> None:
    items = objects()
    (its_reader, writer), (reader, its_writer) = ctx.Pipe(False), ctx.Pipe(False)
    with (
        its_reader,
        writer,
        reader,
        its_writer,
        running(ctx, echo_one_way, its_reader, its_writer, len(items)),
    ):
        for item in items:
            writer.send(item)
            assert same(reader.recv(), item)


def test_what_arrives_may_be_written_to_as_what_was_sent(ends: Any) -> None:
    reader, writer = ends
    array, fixed = np.ones(LARGE), np.ones(LARGE)
    fixed.flags.writeable = False
    with sending(writer.send, array, fixed):
        got = reader.recv()
        got += 1
        assert got.sum() == 2 * LARGE
        assert not reader.recv().flags.writeable


def test_what_stands_in_an_object_twice_arrives_as_one(ends: Any) -> None:
    reader, writer = ends
    array, data = np.ones(LARGE), bytearray(LARGE)
    with sending(writer.send, [array, data, array, data]):
        got = reader.recv()
    assert got[0] is got[2]
    assert got[1] is got[3]


def test_bytes_of_it_are_its_pickle(ends: Any) -> None:
    reader, writer = ends
    for item in objects():
        with sending(writer.send, item):
            data = reader.recv_bytes()
        assert same(pickle.loads(data), item)
        with sending(writer.send_bytes, data):
            assert same(reader.recv(), item)


def test_the_standard_librarys_connection_may_be_at_either_end(ends: Any) -> None:
    reader, writer = ends
    with (
        stdlib.Connection(os.dup(reader.fileno()), writable=False) as plain_reader,
        stdlib.Connection(os.dup(writer.fileno()), readable=False) as plain_writer,
    ):
        items = objects()
        with sending(writer.send, *items):
            assert all(same(plain_reader.recv(), item) for item in items)
        with sending(plain_writer.send, *items):
            assert all(same(reader.recv(), item) for item in items)


# ---- what goes wrong -----------------------------------------------------------------------------


class Refusing:
    """Raises where it is made again, between two large parts."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Nested:
    """Receives from the pipe that it comes through."""

    def __init__(self, conn: Any = None) -> None:
        self.got = conn.recv() if conn else None

    def __reduce__(self) -> Any:
        return receive_nested, ()


nested_from: list[Any] = []


def receive_nested() -> Nested:
    return Nested(nested_from[0])


@pytest.mark.parametrize("part", [np.ones(LARGE), b"x" * LARGE], ids=["array", "bytes"])
def test_an_error_amid_an_object_leaves_the_pipe_at_the_next_message(ends: Any, part: Any) -> None:
    reader, writer = ends
    with sending(writer.send, (part, Refusing(), part), "next"):
        with pytest.raises(ValueError, match="no number"):
            reader.recv()
        assert reader.recv() == "next"
        assert not reader.poll()


def test_no_code_of_the_object_runs_before_all_of_it_is_there(ends: Any) -> None:
    """It might wait for what the sender does next."""
    reader, writer = ends
    nested_from[:] = [reader]
    array = np.ones(LARGE)
    with sending(writer.send, (array, Nested(), array), "next"):
        first, nested, second = reader.recv()
    assert nested.got == "next"
    assert same(first, array)
    assert same(second, array)


class Shrinking:
    def __init__(self, data: bytearray) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        self.data.clear()
        return int, ()


def test_what_would_change_its_size_meanwhile_is_refused(ends: Any) -> None:
    reader, writer = ends
    data = bytearray(LARGE)
    with pytest.raises(BufferError):
        writer.send([data, Shrinking(data)])
    writer.send("next")
    assert reader.recv() == "next"
    data.clear()  # nobody has it any more


def test_nobody_has_what_could_not_be_sent(ends: Any) -> None:
    _, writer = ends
    data = bytearray(LARGE)
    try:
        writer.send([data, lambda: 0])
    except (AttributeError, pickle.PicklingError):
        data.append(1)
    assert len(data) == LARGE + 1


def test_nobody_has_what_was_sent(ends: Any) -> None:
    reader, writer = ends
    data = bytearray(LARGE)
    with sending(writer.send, data, Page(data)):
        reader.recv()
        reader.recv()
    data.clear()
    reader.close()
    data.extend(bytes(LARGE))
    with pytest.raises(BrokenPipeError):
        writer.send(data)
    data.clear()


def test_an_end_that_does_not_block_says_that_there_is_no_room(ends: Any) -> None:
    _, writer = ends
    os.set_blocking(writer.fileno(), False)
    with pytest.raises(BlockingIOError):
        writer.send(np.ones(LARGE))


# ---- who is killed -------------------------------------------------------------------------------


def framed(obj: Any) -> bytes:
    data = pickle.dumps(obj, 5)
    return struct.pack("!i", len(data)) + data


def write_part_and_pause(writer: Any, written: Any, data: bytes) -> None:
    with open(writer.fileno(), "wb", closefd=False) as file:
        file.write(data)
    written.set()
    signal.pause()


@pytest.mark.parametrize("cut", [4, 10, 5_000, LARGE, -1])
def test_who_reads_is_told_that_the_writer_is_killed_amid_a_large_object(
    ctx: Any, ends: Any, cut: int
) -> None:
    (reader, writer), written = ends, ctx.Event()
    data = framed(np.ones(LARGE))[:cut]
    with ThreadPoolExecutor(1) as thread:
        with running(ctx, write_part_and_pause, writer, written, data) as child:
            writer.close()
            got = thread.submit(reader.recv)
            assert written.wait(LONG)
            until(lambda: not unread(reader) and blocked(os.getpid()) == ["Connection.recv"])
            kill(child)
        with pytest.raises(OSError, match="end of file during message"):
            got.result(LONG)
    assert blocked(os.getpid()) == []
    with pytest.raises(EOFError):
        reader.recv()


def send_ones(writer: Any) -> None:
    writer.send(np.ones(LARGE))


def test_a_writer_that_is_killed_while_it_waits_for_room_is_an_end(ctx: Any, ends: Any) -> None:
    reader, writer = ends
    with running(ctx, send_ones, writer) as child:
        writer.close()
        until(lambda: blocked(child.pid) == ["Connection.send"])
        kill(child)
    with pytest.raises(OSError, match="end of file during message"):
        reader.recv()


def read_part_and_pause(reader: Any) -> None:
    os.read(reader.fileno(), 100)
    signal.pause()


def test_who_writes_is_told_that_the_reader_is_killed_amid_a_large_object(
    ctx: Any, ends: Any
) -> None:
    reader, writer = ends
    with ThreadPoolExecutor(1) as thread:
        with running(ctx, read_part_and_pause, reader) as child:
            reader.close()
            sent = thread.submit(writer.send, np.ones(LARGE))
            until(lambda: blocked(os.getpid()) == ["Connection.send"] or sent.done())
            assert not sent.done()
            kill(child)
        with pytest.raises(BrokenPipeError):
            sent.result(LONG)
    assert blocked(os.getpid()) == []


# ---- signals -------------------------------------------------------------------------------------


def is_asleep(child: Any, reader: Any) -> bool:
    """Whether it has read all that is there, and waits for more."""
    found = procs.look(child.pid)
    return (
        not unread(reader)
        and blocked(child.pid) == ["Connection.recv"]
        and found is not None
        and found.state == "S"
    )


def be_signalled(reader: Any, noticed: Any) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: noticed.set())
    assert reader.recv().sum() == LARGE
    with pytest.raises(KeyboardInterrupt):
        reader.recv()


def test_a_signal_amid_a_large_object_ends_nothing_unless_it_raises(ctx: Any, ends: Any) -> None:
    reader, writer = ends
    data, noticed = framed(np.ones(LARGE)), ctx.Event()
    with (
        running(ctx, be_signalled, reader, noticed) as child,
        open(writer.fileno(), "wb", closefd=False) as file,
    ):
        file.write(data[: LARGE // 2])
        file.flush()
        until(lambda: is_asleep(child, reader))
        os.kill(child.pid, signal.SIGUSR1)
        assert noticed.wait(LONG)
        file.write(data[LARGE // 2 :] + data[: LARGE // 2])
        file.flush()
        until(lambda: is_asleep(child, reader))
        os.kill(child.pid, signal.SIGINT)
        child.join(LONG)
        assert child.exitcode == 0
