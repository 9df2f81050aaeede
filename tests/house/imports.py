"""Which module of the package imports which, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"


@dataclass(frozen=True)
class Import:
    """One import of a module of the package by another."""

    importer: str
    imported: str
    where: str  # file:line


def modules(src: Path, package: str = "forkful") -> dict[str, Path]:
    """All modules by their dotted names; a package is named like its folder."""
    found = {}
    for path in sorted((src / package).rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(src: Path, package: str = "forkful") -> list[Import]:
    """All imports within the package, in functions and under TYPE_CHECKING too."""
    paths = modules(src, package)
    known = {*paths, f"{package}._native"}
    found = []
    for name, path in paths.items():
        is_package = path.name == "__init__.py"
        for node in ast.walk(ast.parse(path.read_text())):
            for target in _targets(node, name if is_package else name.rpartition(".")[0]):
                while target not in known and "." in target:
                    target = target.rpartition(".")[0]  # a name in a module
                if target in known and target != name:
                    where = f"{path.relative_to(src.parent)}:{node.lineno}"  # type: ignore[attr-defined]
                    found.append(Import(name, target, where))
    return found


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def cycles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """Groups of modules in which each reaches each (Tarjan's strongly connected components)."""
    below: dict[str, list[str]] = {}
    for importer, imported in sorted(edges):
        below.setdefault(importer, []).append(imported)
        below.setdefault(imported, [])
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in below[name]:
            if other not in number:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in below:
        if name not in number:
            visit(name)
    return found
