"""The recorded items that a resumed run has not met yet, and which of them the next item of the input is.

An item is known by a hash of its value, and among equal items by its place. If the input has changed, an item that is not at its old place is
matched to a record of an equal item and takes its sequence number over; its own number is then free for the equal item that comes later. Equal items are
interchangeable: which of two identical lines is skipped does not matter, only that as many are skipped as were done, and that no
number is given out twice.

The records are kept in a database of their own without a name, which SQLite holds in its cache and, if they are many, in a temporary file: a journal may be larger
than memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE known(key BLOB, seq INTEGER, id INTEGER, ok INTEGER, PRIMARY KEY(key, seq)) WITHOUT ROWID;
BEGIN;
"""
"""A row without an id is a sequence number that is free: its item was taken for an equal one's."""

_EXACT = "SELECT seq, id, ok FROM known WHERE key = ? AND seq = ? AND id IS NOT NULL"
_EQUAL = "SELECT seq, id, ok FROM known WHERE key = ? ORDER BY id IS NULL, ok DESC, seq LIMIT 1"


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
        rows: Key, sequence number, row and success of each recorded outcome, sorted by key and number.
    """

    def __init__(self, rows: Iterable[tuple[bytes, int, int, int]]) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", rows)

    def take(self, key: bytes, seq: int) -> Record | None:
        """Take the record of an item out of the set.

        Args:
            key: The hash of the item.
            seq: Its place in this run's input.

        Returns:
            Its record, or None if nothing is known of it.
        """
        row = self._db.execute(_EXACT, (key, seq)).fetchone() or self._db.execute(_EQUAL, (key,)).fetchone()
        if row is None:
            return None
        record = Record(*row)
        self._db.execute("DELETE FROM known WHERE key = ? AND seq = ?", (key, record.seq))
        if record.id is not None and record.seq != seq:
            self._db.execute("INSERT INTO known(key, seq) VALUES (?, ?)", (key, seq))
        return record
