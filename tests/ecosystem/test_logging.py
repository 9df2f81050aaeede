"""The standard library's logging in children: records cross by a queue, and tell who wrote them."""

from __future__ import annotations

import logging
import logging.handlers
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.children import LONG, several


class Kept(logging.Handler):
    """Keeps each record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def log_to(q: Any) -> None:
    """Let all that this process logs go to the queue, and nowhere else."""
    logging.root.handlers[:] = [logging.handlers.QueueHandler(q)]
    logging.root.setLevel(logging.INFO)


def log(q: Any, n: int) -> None:
    log_to(q)
    for i in range(n):
        logging.info("line %d", i)
    try:
        {}["missing"]
    except KeyError:
        logging.exception("it failed")


def log_in_task(n: int) -> int:
    logging.info("task %d", n)
    return n


@pytest.fixture
def listener(ctx: Any) -> Iterator[tuple[Any, Kept, logging.handlers.QueueListener]]:
    """A queue, and a running listener that keeps what comes through it."""
    q, kept = ctx.Queue(), Kept()
    listener = logging.handlers.QueueListener(q, kept)
    listener.start()
    yield q, kept, listener
    if listener._thread is not None:
        listener.stop()


def test_each_record_arrives_with_the_name_of_its_process(ctx: Any, listener: Any) -> None:
    q, kept, thread = listener
    with several(ctx, (log, q, 50), (log, q, 50)) as children:
        by_pid = {child.pid: child.name for child in children}
    thread.stop()  # after what is in the queue
    assert len(kept.records) == 2 * 51
    for pid, name in by_pid.items():
        records = [record for record in kept.records if record.process == pid]
        assert {record.processName for record in records} == {name}
        lines = [record.getMessage() for record in records]
        assert lines[:50] == [f"line {i}" for i in range(50)]
        assert "KeyError: 'missing'" in lines[50]


def test_the_tasks_of_a_pool_log_through_a_queue(ctx: Any, listener: Any) -> None:
    q, kept, thread = listener
    with ctx.Pool(2, initializer=log_to, initargs=(q,)) as pool:
        pids = {child.pid: child.name for child in ctx.active_children()}
        pool.map(log_in_task, range(40), chunksize=1)
    thread.stop()
    assert sorted(r.getMessage() for r in kept.records) == sorted(f"task {n}" for n in range(40))
    assert all(pids[record.process] == record.processName for record in kept.records)


PROGRAM = """
import logging, sys
import forkful as multiprocessing

def work():
    multiprocessing.get_logger().info("in the child")

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    logger = multiprocessing.log_to_stderr()
    logger.setLevel("INFO")
    assert multiprocessing.get_logger() is logger
    logger.info("in the parent")
    child = multiprocessing.Process(target=work, name="Worker")
    child.start()
    child.join()
    print(child.exitcode)
"""


def test_log_to_stderr_tells_what_parent_and_children_do(tmp_path: Path, start_method: str) -> None:
    """As with the standard library, a spawned child takes the level of its parent's logger over."""
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, "program.py", start_method],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=True,
    )
    assert ended.stdout == "0\n"
    lines = ended.stderr.splitlines()
    assert [line for line in lines if "created temp directory" not in line] == [
        "[INFO/MainProcess] in the parent",
        "[INFO/Worker] child process calling self.run()",
        "[INFO/Worker] in the child",
        "[INFO/Worker] process shutting down",
        "[INFO/Worker] process exiting with exitcode 0",
        "[INFO/MainProcess] process shutting down",
    ]
