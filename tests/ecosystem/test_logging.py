"""The standard library's logging in children: records cross by a queue, and tell who wrote them."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.children import several
from tests.ecosystem.conftest import Run


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
import importlib, sys

multiprocessing = importlib.import_module(sys.argv[2])

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


def test_log_to_stderr_tells_what_parent_and_children_do(
    run_program: Run, start_method: str
) -> None:
    """A spawned child takes the level of its parent's logger over, and says what it always says."""

    def said(module: str) -> list[str]:
        ended = run_program(PROGRAM, start_method, module)
        assert ended.stdout == "0\n"
        return [line for line in ended.stderr.splitlines() if "temp directory" not in line]

    lines = said("forkful")
    assert "[INFO/Worker] in the child" in lines
    assert lines == said("multiprocessing")
