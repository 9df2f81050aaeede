"""Which record an item of a resumed run takes."""

from __future__ import annotations

import random

from forkful.cli.known import Known, Record

Rows = list[tuple[bytes, int, int, int]]


def known(rows: Rows) -> Known:
    return Known(iter(sorted(rows, key=lambda row: row[1])))


def test_an_item_at_its_old_place_takes_its_own_record() -> None:
    records = known([(b"a", 0, 1, 1), (b"a", 1, 2, 0), (b"b", 2, 3, 1)])

    assert records.take(b"a", 0) == Record(0, 1, 1)
    assert records.take(b"a", 1) == Record(1, 2, 0)
    assert records.take(b"b", 2) == Record(2, 3, 1)
    assert records.take(b"b", 3) is None


def test_an_item_that_has_moved_takes_the_record_of_its_equal() -> None:
    records = known([(b"a", 0, 1, 1), (b"b", 1, 2, 1)])

    assert records.take(b"new", 0) is None
    assert records.take(b"a", 1) == Record(0, 1, 1)
    assert records.take(b"b", 2) == Record(1, 2, 1)


def test_equal_items_exchange_their_numbers() -> None:
    records = known([(b"a", 5, 1, 1)])

    assert records.take(b"a", 0) == Record(5, 1, 1)  # skipped in its equal's place,
    assert records.take(b"a", 5) == Record(0, None, None)  # which is run under its number


def test_a_success_is_taken_before_a_failure() -> None:
    records = known([(b"a", 5, 1, 0), (b"a", 6, 2, 1)])

    assert records.take(b"a", 0) == Record(6, 2, 1)


def test_runs_resumed_again_and_again_give_each_number_out_once(rand: random.Random) -> None:
    for _ in range(300):
        items = rand.choices([b"a", b"b", b"c", b"d"], k=rand.randint(1, 14))
        rows = simulate(items, rand)

        assert sorted(seq for _, seq, _, _ in rows) == list(range(len(items)))
        assert all(items[seq] == key and ok for key, seq, _, ok in rows)


def simulate(items: list[bytes], rand: random.Random) -> Rows:
    """Run and kill and resume, with failures, until a last run is let finish."""
    rows: dict[int, tuple[bytes, int, int, int]] = {}
    last_id = 0
    for is_last in (False, False, False, False, True):
        records = known(list(rows.values()))
        to_run = []
        skipped = 0
        for seq, key in enumerate(items):
            record = records.take(key, seq)
            if record is not None and record.ok:
                skipped += 1
            elif record is not None and record.id is not None:
                to_run.append((key, record.seq, record.id))
            else:
                last_id += 1
                to_run.append((key, seq if record is None else record.seq, last_id))
        assert skipped == sum(ok for *_, ok in rows.values())

        rand.shuffle(to_run)  # they end in any order, and a kill cuts them off anywhere
        if not is_last:
            del to_run[rand.randint(0, len(to_run)) :]
        for key, seq, row in to_run:
            rows[row] = key, seq, row, int(is_last or rand.random() < 0.7)
        assert len({seq for _, seq, _, _ in rows.values()}) == len(rows)
    return list(rows.values())
