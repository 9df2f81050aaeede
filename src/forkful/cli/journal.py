"""What has happened to each item, kept in a file that survives any death: `--journal`, `--resume`,
`--resume-failed`.

A journal is a SQLite database with one row per item that has an outcome. It holds what happened
(succeeded or failed, how long, how often tried, why not), and how many bytes of the output file
belong to those outcomes; the results themselves are in the output file.

**What is durable when.** `commit` puts a batch of outcomes and the length of the output that
contains their lines into the journal in one transaction, right after the lines were written and a
few milliseconds after the outcomes arrived. From then on no kill of any process can lose them. The
journal and the output are forced to the disk at SQLite's checkpoints and at the end; a power
failure can cost the last seconds, never the journal's order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from forkful.cli.encode import encode
from forkful.cli.errors import CommandError
from forkful.cli.keys import key_of
from forkful.cli.known import Known
from forkful.cli.trays import KEY_SIZE

_APPLICATION_ID = 0x666B6D70  # "fkmp": marks the database as ours
_VERSION = 1

_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE outcomes(
    id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, key BLOB NOT NULL, ok INTEGER NOT NULL,
    seconds REAL, attempts INTEGER, pid INTEGER, input TEXT, error TEXT, message TEXT);
"""

_RECORD = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_WIDTH = 16
_SECONDS = b"%%%d.6f" % _WIDTH

_RECORD_RUN = f"""
INSERT OR REPLACE INTO outcomes(id, seq, key, ok, seconds, attempts, pid)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
SELECT ?2 + i, ?3 + i, substr(?4, {KEY_SIZE} * i + 1, {KEY_SIZE}), 1,
    CAST(substr(?5, {_WIDTH} * i + 1, {_WIDTH}) AS REAL), 1, ?6 FROM n
"""
"""Records successes that follow each other. SQLite takes them apart, which costs a third of what it
costs to bind a row of its own for each. What it takes apart are bytes: it counts through text.
"""


class Resume(Enum):
    """What a run does with what its journal already holds."""

    REFUSE = "refuse"
    """Nothing may be recorded yet."""
    UNDONE = "undone"
    """Run what has not succeeded."""
    FAILED = "failed"
    """Run what has failed, and nothing else."""


class Place(NamedTuple):
    """The row of an item that is to be run."""

    id: int
    seq: int


@dataclass(frozen=True)
class OutputMark:
    """How much of an output file belongs to the recorded outcomes.

    Attributes:
        path: The file's absolute path.
        size: Its length in bytes.
        rewritten: Its length after a rewriting that was under way; None if none was.
    """

    path: str
    size: int
    rewritten: int | None = None


class Journal:
    """An open journal, held by this run alone.

    Every method may block for the time of a disk access.

    Args:
        path: The database; made if it is not there.
        job: What this run does to each item. It must be what the journal was made for.
        resume: What to do with recorded outcomes.

    Raises:
        CommandError: The file is no journal, is another job's, is in use, cannot be written, or
            holds outcomes and `resume` is `Resume.REFUSE`.
    """

    def __init__(self, path: Path, job: str, resume: Resume) -> None:
        self._path = path
        self._resume = resume
        self._rows: list[tuple[Any, ...]] = []
        self._runs: list[tuple[int, int, int, bytes, bytes, int]] = []
        with self._refusals():
            if resume is Resume.FAILED and not path.exists():
                raise CommandError(f"--resume-failed: there is no journal {str(path)!r}")
            self._db = sqlite3.connect(path, isolation_level=None, timeout=0)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self.recorded = self._check(job)
            """How many outcomes it held when it was opened."""
            self._next_id = (
                1 + self._db.execute("SELECT coalesce(max(id), 0) FROM outcomes").fetchone()[0]
            )
            self._known: Known | None = None
            if self.recorded:
                self._known = Known(
                    self._db.execute("SELECT key, seq, id, ok FROM outcomes ORDER BY seq, id")
                )

    def _check(self, job: str) -> int:
        """Make the tables of a new journal, or check an old one. Return the number of recorded
        outcomes.
        """
        if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
                f" PRAGMA user_version = {_VERSION}; COMMIT"
            )
            self._set("job", job)
            return 0
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise CommandError(f"{str(self._path)!r} is a database, but no journal of forkful map")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != _VERSION:
            raise CommandError(
                f"the journal {str(self._path)!r} is of version {version};"
                f" this forkful writes version {_VERSION}"
            )
        self._db.execute(
            "BEGIN IMMEDIATE"
        )  # takes the lock for good, or says that another run has it
        self._db.execute("COMMIT")
        recorded: int = self._db.execute("SELECT count(*) FROM outcomes").fetchone()[0]
        theirs = self._get("job")
        if recorded and theirs != job:
            raise CommandError(
                f"the journal {str(self._path)!r} belongs to another job:"
                f" it recorded {theirs}; this is {job}"
            )
        if recorded and self._resume is Resume.REFUSE:
            raise CommandError(
                f"the journal {str(self._path)!r} already holds {recorded:,} outcomes:"
                " add --resume to go on, or name a new journal"
            )
        if theirs != job:
            self._set("job", job)
        return recorded

    def place(self, seq: int, item: object) -> Place | None:
        """Find out whether an item is to be run.

        Args:
            seq: Its number in the input, from 0.
            item: A string, or a JSON value.

        Returns:
            Where its outcome will be recorded, or None if it is to be skipped.
        """
        key = key_of(item, encode(item))
        found = None if self._known is None else self._known.take(key, seq)
        if found is not None and found.ok:
            return None
        if found is not None and found.id is not None:
            return Place(found.id, found.seq)
        if self._resume is Resume.FAILED:
            return None
        self._next_id += 1
        return Place(self._next_id - 1, seq if found is None else found.seq)

    @property
    def is_new(self) -> bool:
        """Whether all items are to be run under their own numbers, as nothing was recorded before."""
        return self._known is None and self._resume is not Resume.FAILED

    def new_ids(self, count: int) -> range:
        """Return the rows of so many items of a journal that `is_new`, instead of their `place`s."""
        self._next_id += count
        return range(self._next_id - count, self._next_id)

    def record(
        self,
        place: Place,
        item: object,
        *,
        seconds: float,
        attempts: int,
        pid: int | None,
        failure: tuple[str, str] | None = None,
    ) -> None:
        """Remember an outcome for the next `commit`. Does not block.

        Args:
            place: Where: what `place` returned for the item, or its part of `new_ids`.
            item: The item.
            seconds: How long the last try took.
            attempts: How often it was tried.
            pid: The worker of the last try.
            failure: For a failure, the type of the error and its message.
        """
        said = encode(item)
        told: tuple[str | None, ...] = (None, None, None)
        if failure is not None:
            kind, message = failure
            told = said.decode(), kind, message.encode("utf-8", "backslashreplace").decode()
        key = key_of(item, said)
        self._rows.append((*place, key, failure is None, seconds, attempts, pid, *told))

    def record_successes(
        self, ids: Sequence[int], seqs: Sequence[int], keys: bytes, seconds: list[float], pid: int
    ) -> None:
        """Remember the outcomes of items that succeeded at their first try. Does not block.

        Args:
            ids: Their rows.
            seqs: Their numbers in the input.
            keys: Their hashes, one after the other.
            seconds: How long each took.
            pid: The worker.
        """
        count = len(seconds)
        if isinstance(ids, range) and isinstance(seqs, range):
            said = _SECONDS * count % tuple(seconds)
            self._runs.append((count, ids.start, seqs.start, keys, said, pid))
            return
        each = [keys[at : at + KEY_SIZE] for at in range(0, len(keys), KEY_SIZE)]
        same = repeat(1), repeat(pid), repeat(None), repeat(None), repeat(None)
        self._rows.extend(zip(ids, seqs, each, repeat(1), seconds, *same, strict=False))

    def commit(self, output_size: int | None) -> None:
        """Make everything recorded so far durable, with the length of the output that contains it.

        Raises:
            CommandError: The journal cannot be written, such as on a full disk.
        """
        if not self._rows and not self._runs:
            return
        with self._refusals():
            self._db.execute("BEGIN")
            self._db.executemany(_RECORD, self._rows)
            self._db.executemany(_RECORD_RUN, self._runs)
            if output_size is not None:
                self._set("output_size", output_size)
            self._db.execute("COMMIT")
        self._rows.clear()
        self._runs.clear()

    @property
    def output(self) -> OutputMark | None:
        """What the journal knows of the output file, if the outcomes went to one."""
        path, size = self._get("output_path"), self._get("output_size")
        return (
            None
            if path is None or size is None
            else OutputMark(path, size, self._get("output_rewritten"))
        )

    def set_output(self, mark: OutputMark) -> None:
        """Replace, durably, what the journal knows of the output file."""
        with self._refusals():
            self._db.execute("BEGIN")
            self._set("output_path", mark.path)
            self._set("output_size", mark.size)
            self._set("output_rewritten", mark.rewritten)
            self._db.execute("COMMIT")

    @property
    def has_failures(self) -> bool:
        """Whether an item is recorded as failed."""
        return (
            self._db.execute("SELECT 1 FROM outcomes WHERE NOT ok LIMIT 1").fetchone() is not None
        )

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Force everything committed to the disk and let go of the file."""
        with self._refusals():
            self._db.close()

    def _get(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def _set(self, name: str, value: object) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn SQLite's errors into one clear line."""
        try:
            yield
        except sqlite3.Error as error:
            name = str(self._path)
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise CommandError(f"the journal {name!r} is in use by another run") from error
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise CommandError(f"{name!r} is not a journal of forkful map") from error
            raise CommandError(f"the journal {name!r}: {error}") from error
