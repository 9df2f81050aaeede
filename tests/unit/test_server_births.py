"""When the next worker of a server is started, if workers die before they can work."""

from __future__ import annotations

from forkful.server.births import Births


def test_without_failures_all_that_are_missing_are_started() -> None:
    assert Births().allowed(4, 0, 0.0) == 4
    assert Births().allowed(-1, 0, 0.0) == 0


def test_after_a_failure_one_is_tried_at_a_time_after_a_growing_pause() -> None:
    births = Births()
    pauses = [births.failed(100.0) for _ in range(8)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(pauses) == pauses[-1] == 5.0
    assert births.allowed(3, 0, 104.9) == 0
    assert births.allowed(3, 0, 105.0) == 1
    assert births.allowed(3, 1, 105.0) == 0  # one is being born
    assert births.allowed(0, 0, 105.0) == 0


def test_five_failures_in_a_row_are_hopeless_and_a_success_forgets_them() -> None:
    births = Births()
    for _ in range(4):
        births.failed(0.0)
    assert not births.hopeless
    births.failed(0.0)
    assert births.hopeless
    births.succeeded()
    assert not births.hopeless
    assert births.allowed(3, 0, 0.0) == 3


def test_those_that_somebody_has_killed_slow_it_down_and_are_not_hopeless() -> None:
    births = Births()
    pauses = [births.failed(0.0, killed=True) for _ in range(6)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert not births.hopeless
    for _ in range(5):
        births.failed(0.0)
    assert births.hopeless
