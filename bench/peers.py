"""The modules that have `multiprocessing`'s shape, behind one door."""

import importlib
from typing import Any

LOOKALIKES = ("forkful", "multiprocessing", "billiard", "multiprocess")
"""Packages with `get_context`, and with Process, Queue, Pool, Lock, ... as its attributes."""


def context(name: str, method: str = "fork") -> Any:
    """Return a package's context; the same start method for all, whatever their default is."""
    return importlib.import_module(name).get_context(method)
