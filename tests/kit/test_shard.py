"""The shards of a run are together the whole run, and no test is in two of them."""

from __future__ import annotations

import re

import pytest

from tests.kit.conftest import Run

SOURCE = """
import pytest

@pytest.mark.parametrize("number", range(7))
def test_it(number):
    pass
"""


def test_each_test_is_in_one_shard(run_tests: Run) -> None:
    ran = [
        re.findall(r"test_it\[(\d)\] PASSED", run_tests(SOURCE, "-v", "--shard", f"{k}/3").stdout)
        for k in (1, 2, 3)
    ]
    assert sorted("".join(map("".join, ran))) == list("0123456")
    assert [len(numbers) for numbers in ran] == [3, 2, 2]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0"])
def test_what_is_no_shard_is_refused(run_tests: Run, text: str) -> None:
    done = run_tests(SOURCE, "--shard", text)
    assert done.returncode == 4
    assert "--shard" in done.stdout
    assert repr(text) in done.stdout
