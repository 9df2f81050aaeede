"""The recorded items that a resumed run has not met yet, and which of them the next item of the
input is.

An item is known by a hash of its value, and among equal items by its place, its sequence number.
Equal items are interchangeable: which of two identical lines is skipped does not matter, only that
as many are skipped as were done, and that no number is given out twice. So an item whose place has
no record, because the input has changed or it was under way when the run died, takes the record of
an equal item, and that one takes its number in exchange.

While the input is as it was, items and records run side by side, and a record costs a comparison.
At the first item without its record the rest moves into a database without a name, which SQLite
holds in its cache and, if it is large, in a temporary file: a journal may be larger than memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE known(key BLOB, seq INTEGER, id INTEGER, ok INTEGER, state INTEGER);
BEGIN;
"""

_INDEXES = (
    "CREATE INDEX by_place ON known(seq)",
    "CREATE INDEX by_key ON known(key, state, ok DESC, seq)",
)

_UNMET, _TAKEN, _FREE = 0, 1, 2
"""States of a number: it has a record that no item has taken yet; an equal item has taken the
record; its item has taken an equal one's record."""

_OWN = "SELECT rowid, state, seq, id, ok FROM known WHERE seq = ? AND key = ?"
_EQUAL = (
    "SELECT rowid, state, seq, id, ok FROM known"
    " WHERE key = ? AND state = ? ORDER BY ok DESC, seq LIMIT 1"
)


class Record(NamedTuple):
    """What is known of an item.

    Attributes:
        seq: The sequence number that it has: its record's, or one that an equal item has left free.
        id: The row of its outcome; None if it has none.
        ok: Whether it succeeded.
    """

    seq: int
    id: int | None
    ok: int | None


class Known:
    """A set of records from which each item takes its own.

    Args:
        rows: Key, sequence number, row and success of each recorded outcome, sorted by sequence
            number.
    """

    def __init__(self, rows: Iterator[tuple[bytes, int, int, int]]) -> None:
        self._rows = rows
        self._next = next(rows, None)
        self._db: sqlite3.Connection | None = None

    def __del__(self) -> None:
        if self._db is not None:
            self._db.close()  # from Python 3.13 on it is to be said

    def take(self, key: bytes, seq: int) -> Record | None:
        """Take the record of an item out of the set.

        Args:
            key: The hash of the item.
            seq: Its place in this run's input.

        Returns:
            Its record, or None if nothing is known of it.
        """
        if self._db is None:
            row = self._next
            if row is not None and row[0] == key and row[1] == seq:
                self._next = next(self._rows, None)
                return Record(*row[1:])
            self._db = self._moved()
        return self._search(self._db, key, seq)

    def _moved(self) -> sqlite3.Connection:
        """Put the records that are left where they can be searched."""
        db = sqlite3.connect("", isolation_level=None)
        db.executescript(_SCHEMA)
        if self._next is not None:
            put = f"INSERT INTO known VALUES (?, ?, ?, ?, {_UNMET})"
            db.execute(put, self._next)
            db.executemany(put, self._rows)
        for index in _INDEXES:
            db.execute(index)
        return db

    def _search(self, db: sqlite3.Connection, key: bytes, seq: int) -> Record | None:
        own = db.execute(_OWN, (seq, key)).fetchone()
        if own is not None and own[1] == _UNMET:
            db.execute("DELETE FROM known WHERE rowid = ?", own[:1])
            return Record(*own[2:])
        equal = db.execute(_EQUAL, (key, _UNMET)).fetchone()
        if equal is not None:
            db.execute("UPDATE known SET state = ? WHERE rowid = ?", (_TAKEN, equal[0]))
            if own is None:
                db.execute("INSERT INTO known VALUES (?, ?, NULL, NULL, ?)", (key, seq, _FREE))
            return Record(*equal[2:])
        free = None if own is None else db.execute(_EQUAL, (key, _FREE)).fetchone()
        if free is None:
            return None
        db.execute("DELETE FROM known WHERE rowid = ?", free[:1])
        return Record(*free[2:])
