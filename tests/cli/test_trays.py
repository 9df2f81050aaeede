"""What a tray says of a lot at each step, lots on their way, and the order of lines."""

from __future__ import annotations

import pickle

import pytest

from forkful.cli.feed import Feed, Lot, Nothing
from forkful.cli.inputs import from_arguments
from forkful.cli.ordering import Ordering
from forkful.cli.tally import Tally
from forkful.cli.trays import ROOM, Trays


def test_a_tray_tells_what_is_finished_and_whether_the_next_is_begun() -> None:
    trays = Trays.make(2)
    worker, parent = trays.views()[1], trays.views()[1]

    assert parent.read() == (0, False, 0)
    worker.take_up(7)
    worker.begin(0, 0)
    assert (parent.read(), parent.pid) == ((0, True, 0), 7)
    end = worker.finish(0, 0, b"one\n", 0.5, b"k" * 16)
    assert parent.read() == (1, False, 4)
    worker.begin(1, end)
    end = worker.finish(1, end, b"three\n", 0.25, b"K" * 16)
    assert parent.read() == (2, False, 10)
    assert parent.lines(4, 10) == b"three\n"
    assert parent.seconds(0, 2) == [0.5, 0.25]
    assert parent.keys(1, 2) == b"K" * 16
    assert trays.views()[0].read() == (0, False, 0)

    parent.clear()
    assert (parent.read(), parent.pid) == ((0, False, 0), 0)


def test_a_line_without_room_changes_nothing() -> None:
    (tray,) = Trays.make(1).views()
    tray.begin(0, 0)
    end = tray.finish(0, 0, b"x" * (ROOM - 1), 0.0, None)
    tray.begin(1, end)

    assert tray.finish(1, end, b"xx", 0.0, None) == -1
    assert tray.read() == (1, True, ROOM - 1)
    assert tray.finish(1, end, b"\n", 0.0, None) == ROOM


def feed(items: str, most: int) -> Feed:
    made = Feed(from_arguments(tuple(items)), None, Trays.make(2).views(), Tally(), lambda: False)
    made.took(1, 0.002 / most)
    made.took(1, 0.002 / most)
    return made


def lot(made: Feed) -> Lot:
    got = made.next()
    assert not isinstance(got, Nothing)
    lot, index = got
    return lot if lot.tray is not None else lot.part(index, index + 1)


def test_lots_are_of_the_size_that_is_worth_it_and_wait_for_a_tray() -> None:
    made = feed("abcdefg", most=3)
    first, second = lot(made), lot(made)

    assert (list(first.items), list(second.items)) == (["a", "b", "c"], ["d", "e", "f"])
    assert second.message(0)[1:] == (3, ["d", "e", "f"])
    assert list(lot(made).items) == ["g"]  # which needs no tray
    assert made.next() is Nothing.ANY_MORE
    made = feed("abcdefgh", most=3)
    assert lot(made).tray is not None
    tray = lot(made).tray
    assert tray is not None
    assert made.next() is Nothing.NOW
    made.free(tray)
    assert list(lot(made).items) == ["g", "h"]


def test_the_rest_of_a_lot_is_sent_before_anything_new() -> None:
    made = feed("abcdefg", most=3)
    first = lot(made)
    made.send_again(first.part(1, 3))
    made.took(1, 1.0)

    assert [list(lot(made).items) for _ in range(3)] == [["b"], ["c"], ["d"]]


def test_what_is_to_be_alone_is_sent_one_by_one() -> None:
    made = feed("abcdefg", most=3)
    rest = lot(made).part(0, 3)
    rest.alone = True
    made.send_again(rest)

    sent = [lot(made) for _ in range(4)]
    assert [list(each.items) for each in sent] == [["a"], ["b"], ["c"], ["d", "e", "f"]]
    assert [each.first for each in sent] == [0, 1, 2, 3]
    assert sent[0].tray is None


def test_outcomes_are_handled_when_everything_before_them_has_been() -> None:
    handled: list[str] = []
    ordering = Ordering(ordered=True)
    ordering.take(3, 2, handled.append, "d-e")
    ordering.take(1, 2, handled.append, "b-c")
    assert handled == []
    ordering.take(0, 1, handled.append, "a")
    assert handled == ["a", "b-c", "d-e"]
    assert ordering.next == 5


def test_what_waits_for_items_that_will_not_be_run_is_handled_in_order() -> None:
    handled: list[str] = []
    ordering = Ordering(ordered=True)
    ordering.take(5, 1, handled.append, "f")
    ordering.take(1, 1, handled.append, "b")
    ordering.skip()
    assert handled == ["b", "f"]


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_is_handled_at_once(ordered: bool) -> None:
    handled: list[str] = []
    Ordering(ordered).take(0, 1, handled.append, "a")
    assert handled == ["a"]


def test_trays_do_not_travel_as_copies() -> None:
    trays = Trays.make(1)
    copy = pickle.loads(pickle.dumps(trays))
    copy.views()[0].take_up(9)
    assert trays.views()[0].pid == 9
