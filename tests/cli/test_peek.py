"""A look at a family's memory: what it tells of this one, and that it survives whatever it finds there."""

from __future__ import annotations

import fcntl
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

import forkful
from forkful import _native

HEADER, SLOTS, BOARD, HEAP = 0, 0x10000, 0x1100000, 0x4000000  # as in layout.h
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def copied(source: int) -> int:
    """A copy of an arena, by its pages that are in use."""
    size = os.fstat(source).st_size
    copy = os.memfd_create("copy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(copy, size)
    for start, end in ((HEADER, SLOTS + 4096), (BOARD, BOARD + 4096), (HEAP, HEAP + 65536)):
        os.pwrite(copy, os.pread(source, end - start, start), start)
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, SEALS)
    return copy


@pytest.fixture
def waiting() -> Iterator[forkful.Queue]:
    """A queue that a thread of this process waits for."""
    queue: forkful.Queue = forkful.Queue()
    thread = threading.Thread(target=queue.get)
    thread.start()
    while not any(row[3:5] == (thread.native_id, "Queue.get") for row in _native.board_snapshot()):
        pass
    yield queue
    queue.put(None)
    thread.join()


def test_a_look_at_the_own_family_shows_what_its_board_shows(waiting: forkful.Queue) -> None:
    identity, members, waits = _native.peek(_native.fd())

    assert identity == _native.identity()
    (me,) = (row for row in members if row[0] == _native.me())
    assert me[1] == os.getpid()
    assert me[4:7] == (True, False, True)  # running, no server, alive
    board = {(row[0], row[3], row[4], row[5], row[8], row[9]) for row in _native.board_snapshot()}
    assert {(r[0], r[1], r[5], r[6], r[7], r[8]) for r in waits} == board
    assert [(r[9], r[12:]) for r in waits if r[5] == "Queue.get"] == [(True, (0, 0))]


def test_what_is_no_arena_is_refused() -> None:
    with open("/dev/null", "rb") as null, pytest.raises(RuntimeError, match="never writes"):
        _native.peek(null.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        _native.peek(-1)


LOOK = "import sys; from forkful import _native; [_native.peek(int(fd)) for fd in sys.argv[1:]]"


def test_a_look_survives_any_bytes_in_slots_board_and_heap(
    waiting: forkful.Queue, rand: random.Random
) -> None:
    copies = [copied(_native.fd()) for _ in range(30)]
    for copy in copies:
        for start, size in ((SLOTS, 1024), (BOARD, 1024), (HEAP, 8192)):
            for _ in range(rand.choice([1, 20, 400])):
                at = start + rand.randrange(0, size, 4)
                os.pwrite(copy, rand.choice([rand.randbytes(4), b"\xff" * 4, bytes(4)]), at)
    try:
        command = [sys.executable, "-c", LOOK, *map(str, copies)]
        ran = subprocess.run(command, pass_fds=copies, capture_output=True, text=True)
    finally:
        for copy in copies:
            os.close(copy)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_processes_that_are_one_anothers_parents_are_no_endless_way(waiting: forkful.Queue) -> None:
    copy = copied(_native.fd())
    for slot, parent in ((0, 2), (1, 1)):  # reserved, of generation 0, without a pid
        at = SLOTS + 256 * slot
        os.pwrite(copy, b"".join(n.to_bytes(4, "little") for n in (1, 0, 0, parent)), at)
    try:
        assert not _native.peek(copy)[1][0][6]  # it does not live
    finally:
        os.close(copy)
