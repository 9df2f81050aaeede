"""What a public module offers stands in its ``__all__``, where every tool can read it.

Public are the modules right below ``forkful``, and ``forkful`` itself. What lies deeper is a room
of its package and reached through the package; the command line is a program and offers nothing.
A module that puts one of ``multiprocessing`` in its own place offers what that offers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.imports import SRC, modules

FOR_TYPE_CHECKERS = "TYPE_CHECKING"  # defined, and not imported, where importing typing is too dear
PROGRAMS = {"forkful.__main__", "forkful.cli", "forkful.report"}


def public_modules(src: Path) -> dict[str, Path]:
    return {
        name: path
        for name, path in modules(src).items()
        if name.count(".") <= 1 and "._" not in name and name not in PROGRAMS
    }


def complaints(text: str) -> list[str]:
    """What is wrong with the exports of a module."""
    tree = ast.parse(text)
    if is_alias(tree):
        return []
    found = forbidden(tree)
    bound = dict(_bound(tree.body))
    if "__all__" not in bound:
        return [*found, "no __all__"] if bound else found
    lists = [node.value for node in tree.body if "__all__" in _assigned(node)]  # type: ignore[attr-defined]
    try:
        (offered,) = (ast.literal_eval(node) for node in lists if isinstance(node, ast.List))
    except ValueError:
        return [*found, "__all__ is not one list of literal names"]
    defined = {name for name, is_import in bound.items() if not is_import and name[0] != "_"}
    defined.discard(FOR_TYPE_CHECKERS)
    found += [f"{name} is defined and not in __all__" for name in sorted(defined - {*offered})]
    found += [f"{name} is in __all__ and nowhere else" for name in offered if name not in bound]
    return found + [f"{n} is in __all__ twice" for n in sorted({*offered}) if offered.count(n) > 1]


def is_alias(tree: ast.Module) -> bool:
    """Whether a module does nothing but put one of the standard library in its own place."""
    code = [ast.unparse(node) for node in tree.body[1:]]
    name = code[1].rpartition(" ")[2] if len(code) == 3 else ""
    return code == [
        "import sys",
        f"from multiprocessing import {name}",
        f"sys.modules[__name__] = {name}",
    ]


def forbidden(tree: ast.Module) -> list[str]:
    """Names that appear from where no tool sees them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            found.append(f"line {node.lineno}: import *")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "globals().update":
            found.append(f"line {node.lineno}: globals().update")
    return found


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """Names that the module binds at its top, and whether by import."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, False
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((a.asname or a.name.partition(".")[0], True) for a in node.names)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _bound(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _bound(handler.body)
        else:
            yield from ((name, False) for name in _assigned(node))


def _assigned(node: ast.stmt) -> list[str]:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    names = (name for target in targets for name in ast.walk(target))
    return [n.id for n in names if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


@pytest.mark.parametrize("name", public_modules(SRC))
def test_all_is_what_the_module_offers(name: str) -> None:
    assert complaints(public_modules(SRC)[name].read_text()) == []


def test_no_module_imports_star_or_updates_its_globals() -> None:
    found = {name: forbidden(ast.parse(path.read_text())) for name, path in modules(SRC).items()}
    assert {name: faults for name, faults in found.items() if faults} == {}


# ---- the lint can fail -----------------------------------------------------------------------


def test_a_sound_module_has_no_complaint() -> None:
    text = """
import os
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from elsewhere import Lazy
__all__: list[str] = ["Lock", "Lazy", "LIMIT", "sep"]
from os import sep
LIMIT = _spare = 3
class Lock: pass
def _inner(): own = 1
"""
    assert complaints(text) == []
    assert complaints('"""Nothing here."""') == []


ALIAS = '"""A."""\nimport sys\nfrom multiprocessing import util\nsys.modules[__name__] = util\n'


def test_an_alias_is_that_and_nothing_else() -> None:
    assert complaints(ALIAS) == []
    assert complaints(ALIAS + "x = 1\n") == ["no __all__"]
    assert complaints(ALIAS.replace("multiprocessing", "elsewhere")) == ["no __all__"]


def test_type_checkers_see_what_an_alias_stands_for() -> None:
    found = [n for n, path in public_modules(SRC).items() if is_alias(ast.parse(path.read_text()))]
    assert "forkful.util" in found
    for name in found:
        module = name.rpartition(".")[2]
        stub = SRC / "forkful" / f"{module}.pyi"
        assert stub.read_text() == f"from multiprocessing.{module} import *\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def f(): pass", "no __all__"),
        ("__all__ = []\ndef f(): pass", "f is defined and not in __all__"),
        ("__all__ = []\nif x:\n    a, b = 1, 2", "a is defined and not in __all__"),
        ("__all__ = []\ntry: x()\nexcept E:\n    class C: pass", "C is defined and not in __all__"),
        ("__all__ = ['f']", "f is in __all__ and nowhere else"),
        ("__all__ = ['f', 'f']\ndef f(): pass", "f is in __all__ twice"),
        ("__all__ = [*names]", "__all__ is not one list of literal names"),
        ("__all__ = ('f',)\ndef f(): pass", "__all__ is not one list of literal names"),
        (
            "__all__ = ['f']\n__all__ += ['g']\nf = g = 1",
            "__all__ is not one list of literal names",
        ),
        ("from x import *", "line 1: import *"),
        ("__all__ = []\nglobals().update(a=1)", "line 2: globals().update"),
    ],
)
def test_a_fault_is_found(text: str, complaint: str) -> None:
    assert complaint in complaints(text)
