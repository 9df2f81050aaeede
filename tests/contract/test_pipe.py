"""Pipe: two ends, objects and bytes, and the end of the other side."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_sharer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forkful
from forkful import _native, connection
from tests.contract.children import LONG, blocked, kill, running, several, unread, until


@pytest.fixture(params=[True, False], ids=["duplex", "one-way"])
def ends(request: pytest.FixtureRequest, fork: Any) -> Any:
    """A receiving and a sending end."""
    reader, writer = fork.Pipe(request.param)
    yield reader, writer
    reader.close()
    writer.close()


def send_all(conn: Any, items: list[Any]) -> None:
    for item in items:
        conn.send(item)


def echo(conn: Any) -> None:
    """Until the other end is closed."""
    try:
        while True:
            conn.send(conn.recv())
    except EOFError:
        conn.close()


def echo_without(other: Any, conn: Any) -> None:
    other.close()
    echo(conn)


def send_and_pause(conn: Any, item: Any) -> None:
    conn.send(item)
    signal.pause()


def test_objects_travel(either: Any) -> None:
    one, other = either.Pipe()
    items = [None, 1, "text", {"a": [1, 2]}, b"x" * 300_000, (1.5, ())]
    with running(either, echo_without, one, other):
        other.close()
        for item in items:
            one.send(item)
            assert one.recv() == item
        one.close()


def test_arrays_travel(ends: Any) -> None:
    reader, writer = ends
    writer.send(np.arange(1000))
    got = reader.recv()
    got += 1
    assert got.sum() == 500_500


def test_a_function_without_a_name_to_find_it_by_is_refused(ends: Any) -> None:
    """At the other end may be a Python without forkful and cloudpickle."""
    reader, writer = ends
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        writer.send(lambda: 0)
    writer.send(len)
    assert reader.recv() is len


def test_an_unpicklable_object_raises_and_leaves_the_pipe_unchanged(ends: Any) -> None:
    reader, writer = ends
    with pytest.raises(TypeError, match=r"\['a'\]"):
        writer.send({"a": (x for x in ())})
    writer.send("next")
    assert reader.recv() == "next"
    assert not reader.poll()


def test_bytes_travel(module: Any) -> None:
    reader, writer = module.Pipe(False)
    writer.send_bytes(b"hello")
    assert reader.recv_bytes() == b"hello"
    writer.send_bytes(b"0123456789", 2, 5)
    assert reader.recv_bytes() == b"23456"
    writer.send_bytes(b"")
    assert reader.recv_bytes() == b""
    buffer = bytearray(10)
    writer.send_bytes(b"abc")
    assert reader.recv_bytes_into(buffer, 2) == 3
    assert buffer == b"\0\0abc" + bytes(5)
    writer.send_bytes(b"x" * 20)
    with pytest.raises(forkful.BufferTooShort) as caught:
        reader.recv_bytes_into(buffer)
    assert caught.value.args[0] == b"x" * 20
    writer.send_bytes(b"too much")
    with pytest.raises(OSError):
        reader.recv_bytes(3)
    reader.close()
    writer.close()


def test_a_one_way_pipe_has_a_direction(module: Any) -> None:
    reader, writer = module.Pipe(duplex=False)
    assert (reader.readable, reader.writable) == (True, False)
    assert (writer.readable, writer.writable) == (False, True)
    with pytest.raises(OSError):
        reader.send(1)
    with pytest.raises(OSError):
        writer.recv()
    with pytest.raises(OSError):
        writer.poll()
    reader.close()
    writer.close()


def test_poll_tells_whether_something_is_there(module: Any) -> None:
    one, other = module.Pipe()
    assert one.poll() is False
    assert one.poll(0.01) is False
    other.send(1)
    assert one.poll(None) is True
    assert one.recv() == 1
    other.close()
    assert one.poll(LONG) is True
    one.close()


def test_a_closed_end_refuses(module: Any) -> None:
    one, other = module.Pipe()
    with one:
        pass
    assert one.closed
    for call in (one.recv, one.fileno, one.poll, lambda: one.send(1)):
        with pytest.raises(OSError):
            call()
    one.close()
    other.close()


def test_the_end_comes_after_the_data(ends: Any) -> None:
    reader, writer = ends
    writer.send("last words")
    writer.close()
    assert reader.recv() == "last words"
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.recv()


def test_an_end_that_had_not_read_all_gives_the_data_then_eof(fork: Any) -> None:
    """The standard library's reader gets ConnectionResetError instead."""
    one, other = fork.Pipe()
    one.send("never read")
    other.send("last words")
    other.close()
    assert one.recv() == "last words"
    with pytest.raises(EOFError):
        one.recv()
    one.close()


def test_sending_to_nobody_is_a_broken_pipe(ends: Any) -> None:
    reader, writer = ends
    reader.close()
    with pytest.raises(BrokenPipeError):
        writer.send(1)


def test_a_sender_that_is_killed_ends_the_data(ctx: Any) -> None:
    reader, writer = ctx.Pipe(False)
    with running(ctx, send_and_pause, writer, "last words") as child:
        writer.close()
        assert reader.recv() == "last words"
        kill(child)
        with pytest.raises(EOFError):
            reader.recv()
    reader.close()


def keep(ready: Any, *_: Any) -> None:
    """Have the ends, and do nothing with them, until killed."""
    ready.set()
    signal.pause()


def receive(mine: Any) -> bool:
    with pytest.raises(EOFError):
        mine.recv()
    return True


def poll(mine: Any) -> bool:
    return mine.poll(None) is True and receive(mine)


def wait_for_one(mine: Any) -> bool:
    return connection.wait([mine]) == [mine] and receive(mine)


def send_much(mine: Any) -> bool:
    with pytest.raises(BrokenPipeError):
        mine.send(bytes(10_000_000))
    return True


@pytest.mark.parametrize(
    ("wait", "operation"),
    [
        (receive, "Connection.recv"),
        (poll, "Connection.poll"),
        (wait_for_one, "connection.wait"),
        (send_much, "Connection.send"),
    ],
)
def test_who_waits_at_a_pipe_learns_that_the_other_end_is_killed(
    ctx: Any, wait: Callable[[Any], bool], operation: str
) -> None:
    pairs, ready = [ctx.Pipe(duplex) for duplex in (True, False)], ctx.Event()
    if wait is send_much:
        pairs = [(writer, reader) for reader, writer in pairs]
    with (
        running(ctx, keep, ready, *(its for _, its in pairs)) as victim,
        ThreadPoolExecutor() as threads,
    ):
        for _, its in pairs:
            its.close()
        assert ready.wait(LONG)
        waits = [threads.submit(wait, mine) for mine, _ in pairs]
        until(lambda: blocked(os.getpid()) == [operation] * 2 or any(w.done() for w in waits))
        assert not any(w.done() for w in waits)
        kill(victim)
        assert [w.result(LONG) for w in waits] == [True, True]
    assert blocked(os.getpid()) == []
    for mine, _ in pairs:
        mine.close()


@pytest.mark.parametrize("size", [1, 1_000_000], ids=["small", "large"])
def test_a_reset_is_a_broken_pipe(fork: Any, size: int) -> None:
    one, other = fork.Pipe()
    with one:
        one.send("never read")
        other.close()
        with pytest.raises(BrokenPipeError):
            one.send(np.zeros(size))


KEY = b"key"


def stay_halfway(address: Any, stage: str, there: Any) -> None:
    """Be a client that shows that it knows the key up to some stage, until killed."""
    with connection.Client(address) as conn:
        if stage == "its challenge is there":
            conn.poll(None)
        elif stage == "it has read it":
            conn.recv_bytes()
        else:
            connection.answer_challenge(conn, KEY)
        there.set()
        signal.pause()


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
@pytest.mark.parametrize(
    "stage", ["its challenge is there", "it has read it", "it has answered and asks nothing"]
)
def test_a_client_killed_before_it_is_known_is_an_error_and_the_next_one_is_served(
    fork: Any, tmp_path: Path, family: str, stage: str
) -> None:
    address = str(tmp_path / "socket") if family == "AF_UNIX" else ("127.0.0.1", 0)
    there = fork.Event()
    with (
        connection.Listener(address, authkey=KEY) as listener,
        ThreadPoolExecutor() as threads,
    ):
        accepted = threads.submit(listener.accept)
        until(lambda: blocked(os.getpid()) == ["Listener.accept"])
        with running(fork, stay_halfway, listener.address, stage, there) as victim:
            assert there.wait(LONG)
            assert not accepted.done()
            kill(victim)
        # With what it was sent unread, its end is a reset.
        died = (ConnectionResetError if stage == "its challenge is there" else EOFError,)
        assert isinstance(accepted.exception(LONG), died)
        assert blocked(os.getpid()) == []
        accepted = threads.submit(listener.accept)
        with connection.Client(listener.address, authkey=KEY) as client:
            client.send("hello")
            with accepted.result(LONG) as conn:
                assert conn.recv() == "hello"


def test_ends_travel_through_process_arguments_and_pipes(ctx: Any) -> None:
    carrier, far = ctx.Pipe()
    with running(ctx, receive_and_use, far):
        reader, writer = ctx.Pipe(False)
        carrier.send(writer)
        writer.close()
        assert reader.recv() == "through a sent pipe"
        reader.close()
        carrier.close()
        far.close()
    resource_sharer.stop(LONG)


def receive_and_use(carrier: Any) -> None:
    with carrier.recv() as writer:
        writer.send("through a sent pipe")


def test_an_end_travels_through_a_queue(fork: Any) -> None:
    q = fork.Queue()
    reader, writer = fork.Pipe(False)
    q.put(writer)
    with running(fork, use_from_queue, q):
        assert reader.recv() == "through a queue"
    resource_sharer.stop(LONG)
    reader.close()
    writer.close()


def use_from_queue(q: Any) -> None:
    with q.get() as writer:
        writer.send("through a queue")


def test_wait_tells_which_ends_are_ready(module: Any) -> None:
    pairs = [module.Pipe(False) for _ in range(3)]
    assert connection.wait([r for r, _ in pairs], 0.01) == []
    pairs[1][1].send(1)
    assert connection.wait([r for r, _ in pairs], LONG) == [pairs[1][0]]
    for pair in pairs:
        for end in pair:
            end.close()


def test_wait_takes_process_sentinels(ctx: Any) -> None:
    with running(ctx, os.getpid) as child:
        assert connection.wait([child.sentinel], LONG) == [child.sentinel]


def test_a_large_object_waits_for_its_reader(ctx: Any) -> None:
    reader, writer = ctx.Pipe(False)
    with running(ctx, send_all, writer, [b"x" * 10_000_000, "end"]):
        assert reader.recv() == b"x" * 10_000_000
        assert reader.recv() == "end"
    reader.close()
    writer.close()


def test_a_message_cut_off_in_the_middle_is_an_end(fork: Any) -> None:
    reader, writer = fork.Pipe(False)
    os.write(writer.fileno(), b"\0\0\0\x64half")
    writer.close()
    with pytest.raises((EOFError, OSError)):
        reader.recv()
    reader.close()


# ---- on the wait board -------------------------------------------------------------------------------


def in_two_parts(reader: Any) -> None:
    assert len(reader.recv_bytes()) == 100


def accept_one(address: str) -> None:
    with connection.Listener(address) as listener, listener.accept() as conn:
        assert conn.recv() == "hello"


def test_who_waits_at_a_pipe_is_on_the_board_and_off_it_afterwards(
    fork: Any, tmp_path: Path
) -> None:
    pairs = [fork.Pipe(duplex) for duplex in (True, False, True, False, True, False)]
    (_, w0), (_, w1), (_, w2), (r3, _), (r4, _), (_, w5) = pairs
    w5.send("half")  # a wait in the middle of a message is one, too
    os.write(w5.fileno(), b"\0\0\0\x64half")
    address = str(tmp_path / "socket")
    with several(
        fork,
        (recv_and_stay, pairs[0][0]),
        (poll_and_stay, pairs[1][0]),
        (wait_and_stay, pairs[2][0]),
        (send_all, pairs[3][1], [b"x" * 300_000]),
        (send_all, pairs[4][1], [b"x" * 3_000_000]),
        (recv_and_stay, pairs[5][0], in_two_parts),
        (accept_one, address),
    ) as children:
        expected = ["recv", "poll", "wait", "send", "send", "recv", "accept"]
        for child, name in zip(children, expected, strict=True):
            until(
                lambda child=child, name=name: (
                    [op.split(".")[1] for op in blocked(child.pid)] == [name]
                )
            )
        for writer in (w0, w1, w2):
            writer.send("hello")
        assert len(r3.recv()) == 300_000
        assert len(r4.recv()) == 3_000_000
        os.write(w5.fileno(), bytes(96))
        with connection.Client(address) as conn:
            conn.send("hello")
        for child in children:
            child.join(LONG)
            assert child.exitcode == 0
    assert _native.board_snapshot() == []
    for pair in pairs:
        for end in pair:
            end.close()


def recv_and_stay(reader: Any, then: Any = None) -> None:
    assert reader.recv() in ("hello", "half")
    if then:
        then(reader)


def poll_and_stay(reader: Any) -> None:
    assert reader.poll(None) is True
    assert reader.poll(LONG) is True


def wait_and_stay(reader: Any) -> None:
    assert connection.wait([reader]) == [reader]


def test_a_signal_that_raises_nothing_does_not_end_a_wait_at_a_pipe_and_ctrl_c_does(
    fork: Any,
) -> None:
    (reader, writer), noticed = fork.Pipe(), fork.Event()
    with running(fork, be_interrupted, reader, noticed) as child:
        until(lambda: blocked(child.pid) == ["Connection.recv"])
        os.kill(child.pid, signal.SIGUSR1)
        assert noticed.wait(LONG)
        until(lambda: blocked(child.pid) == ["Connection.recv"])
        os.kill(child.pid, signal.SIGINT)
        child.join(LONG)
        assert child.exitcode == 0
    reader.close()
    writer.close()


def be_interrupted(reader: Any, noticed: Any) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: noticed.set())
    with pytest.raises(KeyboardInterrupt):
        reader.recv()


def test_an_end_that_does_not_block_says_that_nothing_is_there(module: Any) -> None:
    for duplex in (True, False):
        reader, writer = module.Pipe(duplex)
        os.set_blocking(reader.fileno(), False)
        with pytest.raises(BlockingIOError):
            reader.recv()
        writer.send("hello")
        assert reader.recv() == "hello"
        reader.close()
        writer.close()


def test_an_end_goes_through_any_pickler(fork: Any, request: pytest.FixtureRequest) -> None:
    """Libraries have picklers of their own, which know nothing of multiprocessing's."""
    request.addfinalizer(resource_sharer.stop)
    mine, its = fork.Pipe()
    with mine, its, pickle.loads(pickle.dumps(its)) as again:
        assert again.fileno() != its.fileno()
        again.send("hello")
        assert mine.recv() == "hello"


# ---- a length in pieces ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\0\0", b"\0\x04\x80\x05N."],
        [b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\x04", b"\x80\x05N."],
    ],
    ids=["short", "long"],
)
def test_who_waits_for_the_rest_of_a_length_stops_no_other_thread(
    ends: Any, pieces: list[bytes]
) -> None:
    """Its writer may be stopped, or be another thread of the same process: the standard library writes the length of
    a message of 2 GiB in two steps."""
    reader, writer = ends
    with ThreadPoolExecutor(1) as executor:
        got = executor.submit(reader.recv)
        for piece in pieces:
            os.write(writer.fileno(), piece)
            until(lambda: not unread(reader))
        assert got.result(LONG) is None


def write_half_a_length_and_pause(writer: Any) -> None:
    os.write(writer.fileno(), b"\0\0")
    signal.pause()


def test_who_waits_for_the_rest_of_a_length_is_told_when_its_writer_is_killed(
    fork: Any, ends: Any
) -> None:
    reader, writer = ends
    with ThreadPoolExecutor(1) as executor:
        with running(fork, write_half_a_length_and_pause, writer) as child:
            writer.close()
            until(lambda: unread(reader) == 2)
            got = executor.submit(reader.recv)
            until(lambda: blocked(os.getpid()))
            assert not unread(reader)
            kill(child)
        with pytest.raises(OSError, match="end of file during message"):
            got.result(LONG)


def test_the_end_in_the_midst_of_a_length_is_no_end_between_messages(ends: Any) -> None:
    reader, writer = ends
    os.write(writer.fileno(), b"\0\0")
    writer.close()
    with pytest.raises(OSError, match="end of file during message"):
        reader.recv()
    with pytest.raises(EOFError):
        reader.recv()
