"""What the tests of the model share."""

from __future__ import annotations

import os

import pytest

from tests.model.automaton import Process
from tests.model.explorer import explore
from tests.model.scenario import Result, Scenario, View
from tests.model.steps import FORCE, lock, unlock

# `make model` looks at more processes and more rounds than there is time for in each run.
DEEP = os.environ.get("FORKFUL_MODEL") == "deep"
deep = pytest.mark.skipif(not DEEP, reason="takes minutes: `make model`")


def check(scenario: Scenario) -> Result:
    """The scenario is sound."""
    result = explore(scenario)
    print(result)
    assert result.fault is None, str(result)
    return result


def check_found(scenario: Scenario, what: str) -> Result:
    """The planted fault is found, and told by a trace."""
    result = explore(scenario)
    print(result)
    assert result.fault is not None, f"{result}, in spite of the fault that was planted"
    assert what in result.fault, str(result)
    return result


def passer_by(word: str) -> Process:
    """Holds the lock for a moment, so that another's deadline may pass there."""
    yield lock(word, FORCE)
    yield unlock(word)


def one_inside(view: View) -> str | None:
    """Mutual exclusion."""
    inside = sum(step.word == "inside" for step in view.steps.values())
    return f"{inside} are inside at once" if inside > 1 else None
