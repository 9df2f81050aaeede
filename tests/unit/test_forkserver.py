"""What a child of the fork server closes: runs of descriptors, each by one call."""

from __future__ import annotations

import pytest

from forkful.launch import serving


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([], []),
        ([7], [(7, 8)]),
        ([3, 4, 5], [(3, 6)]),
        ([3, 4, 6, 8, 9], [(3, 5), (6, 7), (8, 10)]),
    ],
)
def test_runs_cover_the_numbers_and_no_others(
    numbers: list[int], runs: list[tuple[int, int]]
) -> None:
    assert list(serving.runs(numbers)) == runs
