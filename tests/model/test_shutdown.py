"""An immediate shutdown: nothing stays inside, all that is left is accounted for, and `join` ends, also when who
shut the queue down died at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.model import hands, queue, table, tally
from tests.model.automaton import Place, Process
from tests.model.kit import check, check_found, deep
from tests.model.queue import Queue
from tests.model.scenario import Scenario, View
from tests.model.steps import EVERYBODY, NEVER, OVERFLOW, load, store, unlock
from tests.model.tally import JOINABLE, REDELIVERING

pytestmark = pytest.mark.limit(300)  # all of it is work: on a busy machine it takes its time

Program = Callable[[int], Process]


# ---- producers and consumers -------------------------------------------------------------------------


def putting(place: Place) -> Any:
    """What a dead process had put and taken before the call that it died in."""
    return place.known.get("put", ()), place.known.get("got", ())


def flow(deaths: int = 0, maxsize: int = 0, puts: int = 1) -> Scenario:
    """A producer, a consumer and who shuts the queue down; one comes after them."""
    q = Queue(maxsize)

    def final(view: View) -> str | None:
        head, tail = view.values[4]
        got = view.values[2] if 2 in view.values else view.dead[2][1]
        put = view.values[1] if 1 in view.values else view.dead[1][0]
        if head != tail:
            return f"{tail - head} are inside after the end"
        if len(set(got)) != len(got) or tail not in (len(put), len(put) + (1 in view.dead)):
            return f"put {put}, got {got}, of {tail}"
        return None

    programs: list[Program] = [
        lambda me: queue.produce(me, puts, q),
        lambda me: queue.consume(me, 1, q),
        lambda me: tally.shut_down(me, q),
        lambda me: queue.see_the_end(me, 3, (1, 2)),
    ]
    return Scenario(
        queue.memory(puts, 2),
        programs,
        deaths=deaths,
        mortal=(1, 2, 3),
        slices=deaths > 0,
        guarded=queue.guarded(2),
        final=final,
        remember=putting,
    )


def test_nothing_is_inside_afterwards_and_nobody_waits() -> None:
    check(flow())
    check(flow(maxsize=1, puts=2))
    check(flow(deaths=1))


# ---- workers, and who joins ----------------------------------------------------------------------------


def how_far(place: Place) -> Any:
    """What a dead worker had reported, and what it may have reported besides."""
    known = place.known
    reporting = place.where.startswith("fk_queue_done")
    return known.get("reported", ()), known["took"][-1:] if reporting else ()


def workers(
    q: Queue, n: int, items: int, deaths: int = 0, mortal: tuple[int, ...] = ()
) -> Scenario:
    """Workers, one who shuts the queue down and one who joins."""
    working, shutter, joiner = tuple(range(1, n + 1)), n + 1, n + 2

    def final(view: View) -> str | None:
        memory, told = view.memory, view.values[joiner]
        surely = [view.values[p][1] for p in working if p in view.values]
        if OVERFLOW in surely:
            return "what a worker had taken counted as done"
        certain = [i for reported in surely for i in reported]
        certain += [i for p in working if p in view.dead for i in view.dead[p][0]]
        perhaps = [i for p in working if p in view.dead for i in view.dead[p][1]]
        head, tail = memory["head.cursor"][0], memory["tail.cursor"][0]
        if head != tail or any(memory.get(f"p{i}.block") is not None for i in table.PLACES):
            return f"something is left: {memory}"
        if len(set(certain)) != len(certain):
            return f"done twice: {certain}"
        _version, done, lost = memory["tally"]
        ever = tail if q.redeliver or not memory["cut"] else memory["cut"] - 1
        if done != ever or lost:
            return f"done {done} of {ever}, lost {lost}"
        dead = sum(p in view.dead for p in working)
        known = len(certain) + told
        if q.joinable and not known <= ever <= known + len(perhaps):
            return f"done {certain}, perhaps {perhaps}, told {told}, of {ever}"
        if told > dead or (not q.joinable and known > items):
            return f"{told} were told to be lost, and {dead} died; done {certain}"
        return None

    others = {p: tuple(o for o in working if o != p) for p in working}
    programs: list[Program] = [lambda me: tally.work(me, q, NEVER, others[me])] * n
    programs += [lambda me: tally.shut_down(me, q)]
    programs += [lambda me: tally.wait_for_shutdown(me, q, working, shutter)]
    return Scenario(
        tally.memory(q, items, n + 2),
        programs,
        deaths=deaths,
        mortal=mortal or (*working, shutter),
        slices=deaths > 0,
        guarded=tally.guarded(q, n + 2),
        final=final,
        remember=how_far,
    )


BOTH = pytest.mark.parametrize("q", [JOINABLE, REDELIVERING], ids=["joinable", "redelivering"])


@BOTH
def test_only_what_is_in_hand_is_waited_for(q: Queue) -> None:
    check(workers(q, 1, 2))


@BOTH
def test_who_joins_ends_what_a_dead_one_began_and_is_told_of_what_is_lost(q: Queue) -> None:
    check(workers(q, 1, 1, deaths=1))


def reported_too_early() -> Scenario:
    """One reports what nobody took."""

    def final(view: View) -> str | None:
        return f"told {view.values[3]}" if view.values[3] else None

    return Scenario(
        tally.memory(JOINABLE, 2, 3),
        [
            lambda me: tally.report(me, JOINABLE, 2),
            lambda me: tally.shut_down(me, JOINABLE),
            lambda me: tally.wait_for_shutdown(me, JOINABLE, (1,), 2),
        ],
        guarded=tally.guarded(JOINABLE, 3),
        final=final,
    )


def test_what_was_reported_too_early_keeps_nobody_waiting() -> None:
    check(reported_too_early())


@deep
@pytest.mark.limit(1800)
def test_more_items_and_a_bound() -> None:
    check(flow(deaths=1, puts=2))
    check(flow(deaths=1, maxsize=1))
    check(workers(JOINABLE, 1, 2, deaths=1))
    check(workers(REDELIVERING, 1, 2, deaths=1))


# ---- the model can fail: planted faults ------------------------------------------------------------


def let_puts_through(me: int, q: Queue, immediate: bool) -> Process:
    """The word is stored without the producers' lock: a put may be on its way yet."""
    yield store("shut", 2)
    yield from queue.fk_queue_lock_head(me, q)
    yield from queue.drop_all(me, q)
    yield unlock("head.lock")
    for ec in ("head.ec", "tail.ec", "done.ec"):
        yield from queue.fk_ec_notify(ec, EVERYBODY)


def test_a_put_that_a_shutdown_does_not_wait_for_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "fk_queue_shutdown", let_puts_through)
    check_found(flow(), "are inside after the end")


def drop_uncut(me: int, q: Queue) -> Process:
    yield from queue.drain()


def cut_anew(me: int, q: Queue) -> Process:
    """Also for one that died, whose cut holds."""
    seq, _at = yield from queue.read_cursor("head")
    yield store("cut", seq + 1)
    yield from queue.drain()


def recover_only(me: int, q: Queue) -> Process:
    """What was to be dropped is left to be taken."""
    txn = yield load("txn")
    if txn:
        claim, pending = yield queue.loads(f"h{txn}.claim", f"h{txn}.pending")
        if claim and (yield from queue.peek_seq("head")) >= claim:
            yield store(f"h{txn}.taken", pending)
        yield store(f"h{txn}.claim", 0)
    yield store("txn", 0)


@pytest.mark.parametrize(
    ("function", "fault", "items"),
    [("drop_all", drop_uncut, 1), ("drop_all", cut_anew, 2), ("head_recover", recover_only, 2)],
)
def test_a_shutdown_that_is_not_accounted_for_is_found(
    function: str, fault: object, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (queue, tally):
        monkeypatch.setattr(module, function, fault, raising=False)
    check_found(workers(JOINABLE, 1, items, deaths=1), "")


def nothing_to_end(me: int, q: Queue, how: str) -> Process:
    """A join that does not look whether who shut the queue down has died."""
    while True:
        e = yield from tally.fk_ec_prepare("done.ec")
        if (yield from queue.fk_queue_unfinished(q)) == 0:
            return tally.OK, 0
        st = yield tally.futex_wait("done.ec", e, how)
        if st != tally.OK:
            return st, 0


def test_a_join_that_does_not_end_what_a_dead_one_began_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "fk_queue_join", nothing_to_end)
    check_found(workers(JOINABLE, 1, 1, deaths=1, mortal=(2,)), "no end can be reached")


def believe_the_first_look(me: int, q: Queue, how: str) -> Process:
    """The code as it was: a done that read the cut too early tells nobody, and who joins sleeps on."""
    while True:
        done = st = None
        e = yield from tally.fk_ec_prepare("done.ec")
        if (yield from queue.fk_queue_unfinished(q)) == 0:
            return tally.OK, 0
        yield from tally.lock_done()
        done, _ = yield from tally.read_tally()
        yield from queue.left_of(q, done)
        yield unlock("done.lock")
        done = None
        st = yield tally.futex_wait("done.ec", e, how)
        if st != tally.OK:
            return st, 0


def test_a_join_that_sleeps_on_beside_the_last_done_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "fk_queue_join", believe_the_first_look)
    check_found(workers(JOINABLE, 1, 2), "no end can be reached; asleep: C")


def below_nothing(q: Queue, done: int) -> Process:
    """The code as it was."""
    cut = yield load("cut")
    return (cut - 1 if cut else (yield from queue.peek_seq("tail"))) - done


def test_fewer_than_no_items_left_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queue, tally):
        monkeypatch.setattr(module, "left_of", below_nothing)
    check_found(reported_too_early(), "no end can be reached")


def drop_what_is_inside_only(me: int, seq: int) -> Process:
    yield load("txn")


def only_the_worn(me: int) -> Process:
    n = 0
    for i in table.PLACES:
        if (yield load(f"p{i}.block")) is not None and (yield from table.is_orphan(me, i)):
            n += (yield load(f"p{i}.taker"))[1] > table.TIMES
    return n


@pytest.mark.parametrize(
    ("module", "function", "fault"),
    [
        (table, "fk_hands_drop", drop_what_is_inside_only),
        (hands, "fk_hands_lost", only_the_worn),
    ],
)
def test_an_item_that_nobody_will_be_given_and_nobody_gives_up_is_found(
    module: Any, function: str, fault: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, function, fault)
    check_found(workers(REDELIVERING, 1, 1, deaths=1, mortal=(1,)), "no end can be reached")
