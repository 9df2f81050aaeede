"""What runner and host say to each other: a line of JSON each way."""

from __future__ import annotations

import json
from typing import NamedTuple


class Order(NamedTuple):
    """Run a test."""

    test: str  # Class.test
    method: str
    seconds: float  # how long it may take
    grace: float  # and what it has started, after its end
    module: str | None = None  # where it is; None: among CPython's tests


class Answer(NamedTuple):
    """How it ended."""

    status: str  # ok, skip, fail, hang
    reason: str = ""  # in one line
    detail: str = ""  # tracebacks, stacks, what was printed
    left: int = 0  # processes that it left behind; they have been ended


def to_line(words: Order | Answer) -> bytes:
    return json.dumps(words._asdict()).encode() + b"\n"


def read_order(line: bytes) -> Order:
    return Order(**json.loads(line))


def read_answer(line: bytes) -> Answer:
    return Answer(**json.loads(line))
