"""Report on a Python file: what it holds, and its most complex function.

    forkful map examples/stdlib_report.py:report --files 'src/**/*.py'

A file that is no Python fails with the SyntaxError or the decoding error that Python itself gives.
"""

from __future__ import annotations

import ast
import tokenize
import warnings
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of code that is odd but valid: that is not the question
        tree = ast.parse(text, path)
    functions = [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]
    return {
        "lines": text.count("\n") + (not text.endswith("\n") and text != ""),
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
    return 1 + sum(map(_decisions, _own(function)))


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1  # `a and b and c` decides twice
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)  # a loop, and its conditions
    if isinstance(node, ast.match_case):
        return 0 if _matches_all(node) else 1
    return 1 if isinstance(node, _BRANCHES) else 0


def _matches_all(case: ast.match_case) -> bool:
    """Tell whether this is `case _:` or `case name:`, the `else` of a match statement."""
    pattern = case.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """Walk through a function, but not into those inside it. Generated code can be very deep."""
    waiting = [function]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if not isinstance(child, _FUNCTIONS):
                yield child
                waiting.append(child)
