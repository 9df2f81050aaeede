"""Processes that change shared dicts and lists, or a manager's values and arrays, are killed at random instructions."""

from __future__ import annotations

import functools
import itertools
import os
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import forkful
from forkful.shared import Dict, List
from tests.contract.children import LONG, running, used
from tests.crash.ledger import Ledger
from tests.crash.timer import die_in_batches, kill_after

FULL = os.environ.get("FORKFUL_CRASH") == "full"
LIVES = 600 if FULL else 40
SET, ADD, APPEND = range(3)  # kinds of deeds

pytestmark = [pytest.mark.limit(600 if FULL else 60), pytest.mark.stress, pytest.mark.slow]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger", LIVES + 1, 0)
    yield made
    made.close()


def deed(ledger: Ledger, life: int, kind: int, do: Callable[[int], object]) -> None:
    do(ledger.begin(life, kind))
    ledger.end(life, kind)


def set_own(d: Any, life: int, value: Any, number: int) -> None:
    d["life", life] = number, value


def change(d: Any, items: Any, ledger: Ledger, life: int) -> None:
    """Change both in every way, and look what a neighbour's death would spoil."""
    for number in itertools.count():
        value = (number, bytes(number % 3 * 9000), d if number % 4 == 0 else None)
        deed(ledger, life, SET, functools.partial(set_own, d, life, value))
        assert d["life", life][1][:2] == value[:2]
        deed(ledger, life, ADD, lambda n: d.apply("sum", lambda total: total + 1))
        deed(ledger, life, APPEND, lambda n: items.append((life, n)))
        d[life, number % 50] = number
        if number % 3 == 0:
            del d[life, number % 50]
        if number % 20 == 19:
            items.reverse()
        if number % 31 == 30:
            items[1:1] = ["filler"] * 3
            items.remove("filler")
            d[frozenset([life])] = d.pop(frozenset([life]), 0)
        if life == LIVES and ledger.stop:
            return


def change_until_killed(d: Any, items: Any, ledger: Ledger, life: int, seconds: float) -> None:
    kill_after(seconds)
    change(d, items, ledger, life)


def storm(
    rand: random.Random,
    change: Callable[..., None],
    until_killed: Callable[..., None],
    *shared: Any,
) -> None:
    """Let one survivor change what is shared while others do and are killed in it; a ledger is the last of it."""
    fork = forkful.get_context("fork")
    with running(fork, change, *shared, LIVES) as survivor:
        calls = ((*shared, life, rand.random() * 0.02) for life in range(LIVES))
        die_in_batches(fork, 4, until_killed, calls)
        shared[-1].stop = True
        survivor.join(LONG)
        assert survivor.exitcode == 0


def done_by_the_dead(ledger: Ledger, kind: int) -> int:
    return sum(ledger.done(life, kind) for life in range(LIVES))


def test_shared_state_is_whole_whenever_those_who_change_it_are_killed(
    rand: random.Random, ledger: Ledger, deaths: Callable[[int], None]
) -> None:
    d, items = Dict(sum=0), List()
    storm(rand, change, change_until_killed, d, items, ledger)
    deaths(LIVES)

    assert done_by_the_dead(ledger, APPEND) > LIVES, "the storm has hardly begun"
    done, begun = ledger.sums(ADD)
    assert done <= d["sum"] <= begun
    for key, value in d.items():
        if isinstance(key, tuple) and key[0] == "life":
            life, number = key[1], value[0]
            assert ledger.done(life, SET) - 1 <= number <= ledger.begun(life, SET) - 1
    there = Counter(item for item in items if item != "filler")
    assert set(there.values()) == {1}
    for life in range(LIVES + 1):
        least, most = ledger.done(life, APPEND), ledger.begun(life, APPEND)
        assert {n for n in range(least) if (life, n) not in there} == set()
        assert (life, most) not in there
    assert len(items) == len(items.copy())
    assert len(d) == len(d.copy())

    d.clear()
    items.clear()
    d["works"] = on = object
    assert d["works"] is on
    leaked = used()
    assert leaked < 2_000_000 + LIVES * 20_000  # of each death at most what it had in hands


COUNT, COUNT_IN_ARRAY, FILL = range(3)  # kinds of deeds
EVEN = slice(1, 301)  # more than one strip: all its items are equal at any moment
REST = slice(301, None)  # so are these, of which there are more or fewer


def count(v: Any, own: Any, life: int, number: int) -> None:
    v.apply(lambda total: total + 1)
    own[life] = number + 1  # beside the others', in one strip


def change_numbers(v: Any, a: Any, own: Any, ledger: Ledger, life: int) -> None:
    """Change a manager's value and its array in every way, and look what a neighbour's death would spoil."""
    for number in itertools.count():
        deed(ledger, life, COUNT, functools.partial(count, v, own, life))
        deed(ledger, life, COUNT_IN_ARRAY, lambda n: a.apply(0, lambda total: total + 1))
        mark = life * 1000 + number % 300
        deed(ledger, life, FILL, lambda n, mark=mark: a.__setitem__(EVEN, array("q", [mark] * 300)))
        assert len(set(a[EVEN])) == 1
        if number % 5 == 0:
            a[REST] = array("q", [mark] * (number % 300))
        rest = a[REST]
        assert [len(rest)] * len(rest) == [mark % 1000 for mark in rest]
        if life == LIVES and ledger.stop:
            return


def change_numbers_until_killed(
    v: Any, a: Any, own: Any, ledger: Ledger, life: int, seconds: float
) -> None:
    kill_after(seconds)
    change_numbers(v, a, own, ledger, life)


def test_a_managers_numbers_are_whole_whenever_those_who_change_them_are_killed(
    rand: random.Random, ledger: Ledger, deaths: Callable[[int], None]
) -> None:
    fork = forkful.get_context("fork")
    with fork.Manager() as manager:
        v, a = manager.Value("q", 0), manager.Array("q", [0] * 301)
        own = manager.Array("q", [0] * (LIVES + 1))
        before = used()
        storm(rand, change_numbers, change_numbers_until_killed, v, a, own, ledger)
        deaths(LIVES)

        assert done_by_the_dead(ledger, FILL) > LIVES, "the storm has hardly begun"
        for kind, total in ((COUNT, v.value), (COUNT_IN_ARRAY, a[0])):
            done, begun = ledger.sums(kind)
            assert done <= total <= begun
        for life, number in enumerate(own[:]):
            assert ledger.done(life, COUNT) <= number <= ledger.begun(life, COUNT)
        (mark,) = set(a[EVEN])
        assert ledger.begun(mark // 1000, FILL)
        a[:] = array("q", [1])
        assert list(a) == [1]
        assert used() - before < LIVES * 20_000  # of each death at most what it had in hands
