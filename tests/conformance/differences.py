"""What is known of single tests of CPython: read from ``differences.toml``, the one place for it."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).with_name("differences.toml")


class Row(NamedTuple):
    """Some tests, and what is to be said about them."""

    test: str  # Class.test; * stands for anything
    reason: str
    methods: tuple[str, ...] = ()  # all if empty

    def covers(self, test: str, method: str) -> bool:
        return fnmatchcase(test, self.test) and (not self.methods or method in self.methods)


class Table(NamedTuple):
    """The rows."""

    differences: list[Row]  # they fail on purpose
    racy: list[Row]  # they fail now and then, whatever they test

    def difference(self, test: str, method: str) -> Row | None:
        return next((row for row in self.differences if row.covers(test, method)), None)

    def is_racy(self, test: str, method: str) -> bool:
        return any(row.covers(test, method) for row in self.racy)


def load(path: Path = TABLE) -> Table:
    found = tomllib.loads(path.read_text())
    return Table(_rows(found.get("difference", [])), _rows(found.get("racy", [])))


def _rows(found: list[dict[str, Any]]) -> list[Row]:
    return [Row(r["test"], r["reason"], tuple(r.get("methods", ()))) for r in found]
