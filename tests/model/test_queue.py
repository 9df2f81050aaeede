"""The queue: nothing lost, nothing doubled, nobody forgotten, whoever dies wherever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.model import cursors, queue
from tests.model.automaton import Place, Process
from tests.model.kit import check, check_found, deep, passer_by
from tests.model.scenario import Scenario, View
from tests.model.steps import (
    FORCE,
    OK,
    TIMED,
    TIMEOUT,
    load,
    loads,
    lock,
    store,
    unlock,
)

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time


Program = Callable[[int], Process]
ROOM_FOR_ONE = queue.Queue(maxsize=1)


# ---- two cursors and a version ---------------------------------------------------------------------


def one_end(changers: int, rounds: int, deaths: int = 0) -> Scenario:
    """Who goes on under the lock, and one who looks from outside."""

    def final(view: View) -> str | None:
        memory, looker = view.memory, changers + 1
        found = [x for p, seen in view.values.items() if p != looker for x in seen]
        torn = [(seq, at) for seq, at in found if at != 10 * seq]
        if torn:
            return f"the next owner found {torn}"
        if len({seq for seq, _at in found}) < len(found):
            return f"a change was undone: {found}"
        seen = view.values[looker]
        if list(seen) != sorted(seen) or seen[-1] > memory["version"]:
            return f"seen from outside: {seen}, and there is {memory['version']}"
        return None

    return Scenario(
        dict(cursors.MEMORY),
        [lambda me: cursors.advance(me, rounds)] * changers + [lambda me: cursors.look(me, 2)],
        deaths=deaths,
        mortal=tuple(range(1, changers + 1)),
        final=final,
    )


def test_a_change_of_a_cursor_is_one_step_and_a_look_sees_one_change() -> None:
    check(one_end(1, 4))
    check(one_end(2, 2))
    check(one_end(2, 2, deaths=1))
    check(one_end(3, 1, deaths=2))


def write_in_place(p: tuple[int, int]) -> Process:
    v = yield load("version")
    yield store(f"seq{v & 1}", p[0])
    yield store(f"at{v & 1}", p[1])


def commit_first(p: tuple[int, int]) -> Process:
    v = (yield load("version")) + 1
    yield store("version", v)
    yield store(f"seq{v & 1}", p[0])
    yield store(f"at{v & 1}", p[1])


@pytest.mark.parametrize("write_cursor", [write_in_place, commit_first])
def test_a_torn_cursor_is_found(write_cursor: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "write_cursor", write_cursor)
    check_found(one_end(2, 1, deaths=1), "")


def test_a_look_that_does_not_look_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def peek_seq() -> Process:
        v = yield load("version")
        return (yield load(f"seq{v & 1}"))

    monkeypatch.setattr(cursors, "peek_seq", peek_seq)
    check_found(one_end(2, 1, deaths=1), "seen from outside")


# ---- put and take ------------------------------------------------------------------------------------


def known(place: Place) -> Any:
    """What a dead process had put and taken before the call that it died in."""
    return place.known.get("put", ()), place.known.get("got", ())


def flow(
    puts: tuple[int, ...],
    consumers: int,
    deaths: int = 0,
    most: int = 1,
    maxsize: int = 0,
    mortal: tuple[int, ...] = (),
    there: tuple[Any, ...] = (),
) -> Scenario:
    """Producers of so many items each, consumers until the shutdown, and one who oversees them."""
    n = len(puts) + consumers
    q = queue.Queue(maxsize)
    producing, consuming = range(1, len(puts) + 1), range(len(puts) + 1, n + 1)

    def final(view: View) -> str | None:
        head, tail = view.values[n + 1]
        left = [view.memory[f"m{i}"] for i in range(head, tail)]
        got = [item for p in consuming for item in view.values.get(p, ())]
        got += [item for _put, gone in view.dead.values() for item in gone]
        put = {*there} | {item for p in producing for item in view.values.get(p, ())}
        put |= {item for done, _got in view.dead.values() for item in done}
        may_be = {(p, len(view.dead[p][0])) for p in producing if p in view.dead}
        if len(set(got + left)) < len(got + left):
            return f"an item came twice: {got}, left {left}"
        if not set(got + left) <= put | may_be:
            return f"an item was never put: {got}, left {left}"
        in_hands = most * sum(p in view.dead for p in consuming)
        if len(put - set(got + left)) > in_hands:
            return f"an item is lost: put {sorted(put)}, got {got}, left {left}"
        if left and any(p in view.values for p in consuming):
            return f"a consumer ended and left {left}"
        # The pool's promise: what a dead consumer had taken is known by its claim.
        for p in consuming:
            claim = view.memory[f"c{p}"]
            if p in view.dead and 0 < claim <= head and view.memory[f"m{claim - 1}"] in left:
                return f"the claim of {p} names an item that is still there"
        return None

    programs: list[Program] = [
        lambda me, many=many: queue.produce(me, many, q)  # type: ignore[misc]
        for many in puts
    ]
    programs += [lambda me: queue.consume(me, most, q)] * consumers
    programs += [lambda me: queue.oversee(me, tuple(producing), tuple(consuming))]
    return Scenario(
        queue.memory(len(there) + sum(puts) + 1, n, there),
        programs,
        deaths=deaths,
        mortal=mortal or tuple(range(1, n + 1)),
        slices=deaths > 0,
        guarded=queue.guarded(n),
        final=final,
        remember=known,
    )


def test_every_item_comes_out_once() -> None:
    check(flow((2,), 1))
    check(flow((1, 1), 1))
    check(flow((3,), 1, most=2))
    check(flow((1,), 2))


def test_a_bounded_queue_wakes_who_waits_for_room() -> None:
    check(flow((2,), 1, maxsize=1))
    check(flow((1, 1), 1, maxsize=1))


@pytest.mark.parametrize(
    "scenario",
    [
        flow((1,), 1, deaths=1),
        flow((2,), 1, deaths=1),
        flow((), 2, deaths=1, there=((9, 0), (9, 1))),
        flow((1, 1), 1, deaths=1, mortal=(1, 2)),
        flow((2,), 1, deaths=1, maxsize=1, mortal=(1,)),
    ],
    ids=["one-item", "two-items", "two-consumers", "two-producers", "bounded"],
)
def test_a_death_loses_at_most_what_was_in_its_hands(scenario: Scenario) -> None:
    check(scenario)


def hasty_consumer() -> Scenario:
    programs: list[Program] = [
        lambda me: queue.take_and_put(me, TIMED),
        lambda me: queue.consume_n(me, 1),
        lambda me: queue.produce(me, 1),
        lambda me: passer_by("head.lock"),
    ]
    return Scenario(queue.memory(2, 2), programs, guarded=queue.guarded(2))


def hasty_producer() -> Scenario:
    programs: list[Program] = [
        lambda me: queue.put_and_take(me, ROOM_FOR_ONE, TIMED),
        lambda me: queue.produce(me, 1, ROOM_FOR_ONE),
        lambda me: queue.consume_n(me, 1, ROOM_FOR_ONE),
        lambda me: passer_by("tail.lock"),
    ]
    there = ((0, 0),)
    return Scenario(queue.memory(3, 3, there), programs, guarded=queue.guarded(3))


def test_a_wake_up_is_passed_on_by_who_gives_up() -> None:
    check(hasty_consumer())
    check(hasty_producer())


@deep
@pytest.mark.limit(3600)
def test_more_processes_and_more_deaths() -> None:
    check(flow((1, 1), 2))
    check(flow((1, 1), 1, deaths=2))
    check(flow((2, 1), 1, deaths=1, most=2))
    check(flow((1,), 2, deaths=1))
    check(flow((1, 1), 1, deaths=1, maxsize=1, mortal=(1, 2)))


# ---- the model can fail: planted faults ------------------------------------------------------------


def put_that(*order: str) -> Callable[..., Process]:
    """A put with its parts in another order, or without one."""

    def put(me: int, q: queue.Queue, item: Any, how: str) -> Process:
        yield from queue.lock_end(me, q, "tail", how)
        seq, at = yield from queue.read_cursor("tail")
        for part in order:
            if part == "write":
                yield store(f"m{at}", item)
            elif part == "commit":
                yield from queue.write_cursor("tail", (seq + 1, at + 1))
            elif part == "unlock":
                yield unlock("tail.lock")
            else:
                yield from queue.fk_ec_notify("head.ec", 1)
        return OK

    put.__name__ = "put: " + ", ".join(order)
    return put


@pytest.mark.parametrize(
    ("order", "what"),
    [
        (("commit", "write", "unlock", "notify"), "an item was never put"),
        (("write", "unlock", "commit", "notify"), "an item "),
        (("write", "notify", "commit", "unlock"), "no end can be reached; asleep: "),
        (("write", "commit", "unlock"), "no end can be reached; asleep: "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else None,
)
def test_a_put_in_another_order_is_found(
    order: tuple[str, ...], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer: Program = lambda me: queue.consume_n(me, 1)  # noqa: E731
    waking = Scenario(
        queue.memory(1, 2), [lambda me: queue.produce(me, 1), consumer], guarded=queue.guarded(2)
    )
    sound = put_that("write", "commit", "unlock", "notify")
    scenario = waking if what.startswith("no end") else flow((1, 1), 1)
    monkeypatch.setattr(queue, "fk_queue_put", sound)
    check(scenario)
    monkeypatch.setattr(queue, "fk_queue_put", put_that(*order))
    check_found(scenario, what)


def count_ahead(head: int, most: int) -> Process:
    """Note more than what was put."""
    tail = yield from queue.peek_seq("tail")
    yield store("head.other", tail + 1)
    return tail - head


def has_known() -> Process:
    return (yield load("head.other")) > (yield from queue.peek_seq("head"))


@pytest.mark.parametrize(("name", "fault"), [("count", count_ahead), ("has_any", has_known)])
def test_a_wrong_note_of_how_far_the_other_end_was_is_found(
    name: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(flow((2,), 1))
    monkeypatch.setattr(queue, name, fault)
    check_found(flow((2,), 1), "")


def take_before_the_lock(me: int, q: queue.Queue, most: int, how: str) -> Process:
    """Choose what to take, and lock only then."""
    while True:
        st = seq = at = None
        st = yield from queue.wait_item(me, q, how)
        if st != OK:
            return st
        seq, at = yield from queue.read_cursor("head")
        items = yield loads(f"m{at}")
        yield from queue.lock_end(me, q, "head", how)
        yield from queue.commit_take(me, q, items, (seq + 1, at + 1))
        yield unlock("head.lock")
        return items


def test_an_item_that_two_take_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "fk_queue_take", take_before_the_lock)
    check_found(flow((1,), 2), "an item ")


def test_a_claim_after_the_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody knows what a dead worker held. As an invariant: while it lives its claim tells."""

    def commit_take(me: int, q: queue.Queue, items: Any, at: tuple[int, int]) -> Process:
        yield from queue.write_cursor("head", at)
        yield store(f"c{me}", at[0])

    def unclaimed(view: View) -> str | None:
        claims = [view.memory[f"c{p}"] for p in (1, 2)]
        head = view.memory["head.cursor"][0]
        return f"item {head - 1} was taken, and claims are {claims}" if head > max(claims) else None

    def scenario() -> Scenario:
        return Scenario(
            queue.memory(2, 2, ((9, 0), (9, 1))),
            [lambda me: queue.consume_n(me, 1)] * 2,
            deaths=1,
            slices=True,
            guarded=queue.guarded(2),
            invariant=unclaimed,
        )

    check(scenario())
    monkeypatch.setattr(queue, "commit_take", commit_take)
    check_found(scenario(), "was taken, and claims are")


class GaveUp(Exception):
    """Leaves a call in the middle."""


def silently(function: Callable[..., Process]) -> Callable[..., Process]:
    """What the core did until the model found it: who gives up at the lock notifies nobody."""

    def call(*args: Any) -> Process:
        try:
            return (yield from function(*args))
        except GaveUp:
            return TIMEOUT

    return call


def lock_or_leave(me: int, q: queue.Queue, e: str, how: str) -> Process:
    st = yield lock(f"{e}.lock", how)
    if st == TIMEOUT:
        raise GaveUp
    return st


@pytest.mark.parametrize(
    ("function", "scenario"),
    [("fk_queue_take", hasty_consumer), ("fk_queue_put", hasty_producer)],
)
def test_a_wake_up_that_is_not_passed_on_is_found(
    function: str, scenario: Callable[[], Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "lock_end", lock_or_leave)
    monkeypatch.setattr(queue, function, silently(getattr(queue, function)))
    result = check_found(scenario(), "no end can be reached; asleep: B")
    assert "wakes A" in "\n".join(result.trace)


def test_a_shutdown_that_wakes_nobody_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def shutdown(me: int, q: queue.Queue, immediate: bool) -> Process:
        yield lock("tail.lock", FORCE)
        yield store("shut", 1)
        yield unlock("tail.lock")

    monkeypatch.setattr(queue, "fk_queue_shutdown", shutdown)
    check_found(flow((1,), 1), "no end can be reached; asleep: B")
