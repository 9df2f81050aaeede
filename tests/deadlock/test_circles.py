"""A circle of locks is told to the last of it that came, while other processes run."""

from __future__ import annotations

import re
from typing import Any

from tests.deadlock import circles
from tests.deadlock.programs import check_silent, end, start


def told(ends: list[Any]) -> str:
    """The text of the only one that was told; the others must have ended well."""
    (text,) = (text for code, kind, text in ends if (code, kind) == (1, "DeadlockError"))
    assert [end for end in ends if end != [1, "DeadlockError", text]] == [
        [0, "NoneType", "None"]
    ] * (len(ends) - 1)
    return str(text)


def check_drawn(text: str, size: int, operation: str) -> None:
    """Each line's holder is the next line's process, the last one's the first one's."""
    _, *lines, advice = text.splitlines()
    row = (
        rf"  (\S+ \(pid \d+\)): {operation} at circles.py:\d+, "
        r"held by (\S+ \(pid \d+\)) \(taken at circles.py:\d+ in take_both\), for \d+\.\d s"
    )
    found = [re.fullmatch(row, line) for line in lines]
    assert all(found), text
    pairs = [match.groups() for match in found if match]
    assert len(pairs) == size
    assert [who for who, _ in pairs[1:] + pairs[:1]] == [holder for _, holder in pairs]
    assert "take locks in the same order everywhere" in advice


def test_circles_among_processes_are_told_to_one_of_each(start_method: str) -> None:
    names = ("two_rlocks", "three_rlocks", "two_locks", "itself", "joins", "two_threads", "behind")
    programs = {name: start(circles, name, start_method) for name in names}
    ends = {name: end(program) for name, program in programs.items()}

    text = told(ends["two_rlocks"])
    assert text.startswith("deadlock: two processes wait for each other's locks, and nobody else ")
    check_drawn(text, 2, "RLock.acquire")

    text = told(ends["three_rlocks"])
    assert "3 processes wait in a circle, each for a lock of the next" in text
    check_drawn(text, 3, "RLock.acquire")

    check_drawn(told(ends["two_locks"]), 2, "Lock.acquire")

    assert ends["itself"].startswith(
        "deadlock: this process waits for a lock that it holds itself, and nobody else can end that\n"
    )
    assert ends["joins"].startswith("deadlock: two processes wait for each other, and nobody else")
    assert re.search(
        r"\n  \S+ \(pid \d+\): Process.join at circles.py:\d+, of \S+ \(pid ", ends["joins"]
    )

    texts = sorted(ends["two_threads"], key=len)
    assert texts[0] == "both"
    assert texts[1].startswith("deadlock: two threads wait for each other's locks")
    assert len(set(re.findall(r"MainProcess \(pid \d+, thread (\d+)\): RLock", texts[1]))) == 2

    told(ends["behind"])


def test_it_can_be_switched_off() -> None:
    check_silent(circles, "two_rlocks", 2)
