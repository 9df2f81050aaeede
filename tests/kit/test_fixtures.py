"""The fixtures of conftest.py do what they say, and children find the modules that tests are in."""

from __future__ import annotations

import multiprocessing
import random

import pytest

from tests.kit.conftest import Run


def exit_with_seven() -> None:
    raise SystemExit(7)


def test_a_child_of_each_start_method_imports_its_test_module(start_method: str) -> None:
    process = multiprocessing.get_context(start_method).Process(target=exit_with_seven)
    process.start()
    process.join()
    assert process.exitcode == 7


def test_random_numbers_are_replayed_by_the_seed(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("FORKFUL_SEED", "5")
    rand = request.getfixturevalue("rand")
    assert rand.random() == random.Random(5).random()


def test_a_failing_test_tells_its_seed(run_tests: Run) -> None:
    done = run_tests(
        """
        import os
        os.environ["FORKFUL_SEED"] = "1234"
        def test_fails(rand):
            assert rand.random() > 1
        """
    )
    assert "replay with FORKFUL_SEED=1234" in done.stdout
