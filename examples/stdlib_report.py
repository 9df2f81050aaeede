"""Report on a Python file: what it holds, and its most complex function.

    forkful map examples/stdlib_report.py:report --files 'src/**/*.py'

A file that is no Python fails with the SyntaxError or the decoding error that Python itself gives.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterator
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# What makes one more way through a function: McCabe, "A Complexity Measure" (1976), counted on
# Python's own branches.
_BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)


def report(path: str) -> dict[str, Any]:
    """Return counts of a file's lines, functions and classes, and its most complex function.

    Raises:
        SyntaxError: The file is no Python, or names an encoding that there is not.
        UnicodeDecodeError: Its bytes are not of its encoding.
        OSError: It cannot be read.
    """
    with tokenize.open(path) as f:  # decodes as the file itself says, by its coding line
        text = f.read()
    tree = ast.parse(text, path)
    functions = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    return {
        "lines": text.count("\n"),
        "functions": len(functions),
        "classes": sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree)),
        "most_complex": _most_complex(functions),
    }


def _most_complex(functions: list[Any]) -> dict[str, Any] | None:
    if not functions:
        return None
    complexity, line, name = max((_complexity(f), f.lineno, f.name) for f in functions)
    return {"name": name, "line": line, "complexity": complexity}


def _complexity(function: ast.AST) -> int:
    """One, and one more for each decision in the function itself, not in those inside it."""
    return 1 + sum(
        len(node.values) - 1 if isinstance(node, ast.BoolOp) else isinstance(node, _BRANCHES)
        for node in _own(function)
    )


def _own(function: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, _FUNCTIONS):
            yield child
            yield from _own(child)
