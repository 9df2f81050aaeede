"""Which tests there are for a start method, and where one of them is.

A test is named ``Class.test``. CPython's parts that a Python comes without are named, not passed over.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import unittest
from collections.abc import Iterator
from types import ModuleType

METHODS = ("fork", "spawn", "forkserver")

_CORE = "test._test_multiprocessing"
_MAIN = "test.test_multiprocessing_main_handling"
_FUTURES = "test.test_concurrent_futures"


def names(method: str, module: str | None = None) -> list[str]:
    """All tests for a start method: CPython's, or those of another module."""
    return [
        f"{name}.{test}"
        for name, cls in _by_name(method, module).items()
        for test in unittest.defaultTestLoader.getTestCaseNames(cls)
    ]


def find(name: str, method: str, module: str | None = None) -> unittest.TestSuite:
    """One test, in a suite that runs the set-up of its class and of its module, too."""
    cls, _, test = name.rpartition(".")
    return unittest.TestSuite([_by_name(method, module)[cls](test)])


def missing() -> list[str]:
    """The parts of CPython's tests that this Python comes without."""
    return [part for part in (_CORE, _MAIN, _FUTURES) if not _is_there(part)]


def can_judge() -> bool:
    """Whether there is what it takes: Debian's Python comes without `test`."""
    return _is_there(_CORE)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def _by_name(method: str, module: str | None) -> dict[str, type[unittest.TestCase]]:
    found: dict[str, type[unittest.TestCase]] = {}
    of_module = _in(importlib.import_module(module)) if module else _of_cpython(method)
    for cls in of_module:
        if found.setdefault(cls.__name__, cls) is not cls:
            raise ValueError(f"two classes of tests are named {cls.__name__}")
    return found


def _of_cpython(method: str) -> Iterator[type[unittest.TestCase]]:
    yield from _in(importlib.import_module(f"tests.conformance.entry_{method}"))
    if _is_there(_MAIN):
        for cls in _in(importlib.import_module(_MAIN)):
            if getattr(cls, "start_method", None) == method:
                yield cls
    for module in _futures():
        for cls in _in(module):
            if getattr(cls, "ctx", None) == method:
                yield cls


def _futures() -> Iterator[ModuleType]:
    """A module in Python 3.11, a package later."""
    if not _is_there(_FUTURES):
        return
    base = importlib.import_module(_FUTURES)
    yield base
    for info in pkgutil.iter_modules(getattr(base, "__path__", ())):
        if info.name.startswith("test_"):
            yield importlib.import_module(f"{_FUTURES}.{info.name}")


def _in(module: ModuleType) -> Iterator[type[unittest.TestCase]]:
    """Those that the module makes, and not those that it imports."""
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, unittest.TestCase)
            and value.__module__ == module.__name__
        ):
            yield value
