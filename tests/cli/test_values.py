"""The values of options."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from forkful.cli import values


@pytest.mark.parametrize(
    ("text", "count"),
    [("3", 3), ("+2", 10), ("-2", 6), ("-9", 1), ("50%", 4), ("1%", 1), ("200%", 16)],
)
def test_jobs_on_eight_cpus(text: str, count: int) -> None:
    assert values.jobs(text, 8) == count


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10), ("0.5", 0.5), (".5", 0.5), ("250ms", 0.25), ("30s", 30), ("2m", 120)]
    + [("1.5h", 5400), ("1d", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert values.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("4096", 4096), ("1K", 1024), ("2G", 2 << 30), ("1.5g", 3 << 29), ("2GiB", 2 << 30)]
    + [("500MB", 500 << 20), ("1 T", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert values.size(text) == size


def test_only_a_delay_may_be_nothing() -> None:
    assert values.delay("0") == 0
    assert values.delay("2m") == 120


@pytest.mark.parametrize(
    ("read", "text"),
    [(lambda text: values.jobs(text, 8), text) for text in ("", "0", "1.5", "-50%", "x", "0%", "٣")]
    + [(values.seconds, text) for text in ("", "0", "-1", "1x", "nan", "inf", "1 h", "m")]
    + [(values.size, text) for text in ("", "0", "-1", "2X", "G", "1e3")],
)
def test_anything_else_is_refused_with_what_is_accepted(
    read: Callable[[str], float], text: str
) -> None:
    with pytest.raises(ValueError, match=r"\(.+\)"):
        read(text)
