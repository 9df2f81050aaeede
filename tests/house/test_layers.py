"""Imports point down the storeys of docs/design/architecture.md and make no circle.

Imports in functions and under TYPE_CHECKING count: they are knowledge too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.imports import ROOT, SRC, cycles, imports, modules

# (importer, imported): why it may point up or close a circle.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("forkful.__main__", "forkful.cli"): "`python -m forkful` is another door of the command line",
}


def storeys(text: str) -> dict[str, int]:
    """Read the table: rows of `| number | names | ... |`, names in backquotes, `x/` a package."""
    found = {}
    for number, names in re.findall(r"^\|\s*(\d+)\s*\|([^|]*)\|", text, re.MULTILINE):
        for name in re.findall(r"`([\w/]+)`", names.partition("(")[0]):
            found[name.rstrip("/")] = int(number)
    return found


def complaints(
    src: Path, storey_of: dict[str, int], exceptions: dict[tuple[str, str], str]
) -> list[str]:
    def storey(module: str) -> int | None:
        parts = module.split(".")
        return storey_of.get(parts[1] if len(parts) > 1 else "__init__")

    found = [
        f"{name} has no storey in architecture.md" for name in modules(src) if storey(name) is None
    ]
    all_imports = imports(src)
    counted = [i for i in all_imports if (i.importer, i.imported) not in exceptions]
    for i in counted:
        mine, its = storey(i.importer), storey(i.imported)
        if mine is not None and its is not None and its > mine:
            found.append(f"{i.where}: {i.importer} ({mine}) imports {i.imported} ({its}), above it")
    edges = {(i.importer, i.imported) for i in counted}
    found += [f"these import each other: {', '.join(group)}" for group in cycles(edges)]
    unused = exceptions.keys() - {(i.importer, i.imported) for i in all_imports}
    return found + [f"exception without an import: {pair}" for pair in sorted(unused)]


def test_imports_point_down_and_make_no_circle() -> None:
    table = storeys((ROOT / "docs/design/architecture.md").read_text())
    assert complaints(SRC, table, EXCEPTIONS) == []


def test_the_table_of_storeys_is_found() -> None:
    table = storeys((ROOT / "docs/design/architecture.md").read_text())
    assert (table["_native"], table["errors"], table["context"], table["cli"]) == (0, 1, 4, 6)


# ---- the lint can fail -----------------------------------------------------------------------

STOREYS = {"__init__": 5, "context": 4, "pool": 3, "queues": 2, "process": 2, "wire": 1}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("__init__", "context", "pool/__init__", "pool/state", "queues", "process", "wire"):
        path = tmp_path / "src/forkful" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path / "src"


def write(house: Path, module: str, text: str) -> None:
    (house / "forkful" / module).write_text(text)


def test_a_sound_house_has_no_complaint(house: Path) -> None:
    write(house, "__init__.py", "from forkful import context")
    write(house, "pool/__init__.py", "from .state import x\nfrom .. import queues, _native")
    write(house, "queues.py", "import os, forkful.wire")
    assert complaints(house, STOREYS, {}) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("wire.py", "from forkful.queues import Queue"),
        ("wire.py", "from forkful import Queue"),
        ("wire.py", "import forkful.queues"),
        ("queues.py", "def get():\n    from . import context"),
        ("queues.py", "if TYPE_CHECKING:\n    from .context import Context"),
        ("pool/state.py", "from ..context import Context"),
    ],
)
def test_an_import_that_points_up_is_found(house: Path, module: str, text: str) -> None:
    write(house, module, text)
    (complaint,) = complaints(house, STOREYS, {})
    assert f"{module}:{len(text.splitlines())}: " in complaint
    assert "above it" in complaint


def test_a_circle_within_a_storey_is_found_and_may_be_excepted(house: Path) -> None:
    write(house, "queues.py", "from forkful.process import p")
    write(house, "process.py", "def f():\n    import forkful.queues")
    assert complaints(house, STOREYS, {}) == [
        "these import each other: forkful.process, forkful.queues"
    ]
    excepted = {("forkful.process", "forkful.queues"): "a reason"}
    assert complaints(house, STOREYS, excepted) == []


def test_a_package_and_its_room_in_a_circle_are_found(house: Path) -> None:
    write(house, "pool/__init__.py", "from forkful.pool.state import x")
    write(house, "pool/state.py", "from forkful.pool import y")
    assert complaints(house, STOREYS, {}) == [
        "these import each other: forkful.pool, forkful.pool.state"
    ]


def test_a_module_without_a_storey_and_a_stale_exception_are_found(house: Path) -> None:
    write(house, "attic.py", "")
    assert complaints(house, STOREYS, {("forkful.wire", "forkful.pool"): "gone"}) == [
        "forkful.attic has no storey in architecture.md",
        "exception without an import: ('forkful.wire', 'forkful.pool')",
    ]
