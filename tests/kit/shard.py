"""pytest plugin: ``--shard 2/3`` runs every third test, from the second on.

Runs of all the shards side by side are one run of all tests. Each is a run of its own, with its own limits and
leak checks, which tell what it has started from what another has.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shard", type=_shard, metavar="K/N", help="run every N-th test, from the K-th on"
    )


def _shard(text: str) -> tuple[int, int]:
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError  # argparse says which option it is, and what was given
    return int(number), int(count)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    shard: tuple[int, int] | None = config.getoption("--shard")
    if shard is None:
        return
    number, count = shard
    mine = items[number - 1 :: count]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
    items[:] = mine
