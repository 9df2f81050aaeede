"""Golden text of what people are shown."""

from __future__ import annotations

import pytest

from forkful.report import progress, summary, text
from forkful.report.progress import Progress
from forkful.report.summary import FailureGroup, Slow, Summary


def test_a_full_summary() -> None:
    told = summary.lines(
        Summary(
            succeeded=1190,
            failed=13,
            skipped=20,
            retried=2,
            elapsed=4.01,
            slowest=(Slow(75.2, 17, "slow.py"), Slow(0.042, 3, "less.py")),
            failures=(
                FailureGroup("OSError", 12, 88, "a.py", "[Errno 2] No such file"),
                FailureGroup("KeyboardInterrupt", 1, 90, "b.py", ""),
            ),
            ended="interrupted",
        )
    )

    assert told == [
        "1,203 items in 4.01 s (300/s): 1,190 succeeded, 13 failed, 2 retries,"
        " 20 skipped by the journal",
        "ended early: interrupted",
        "slowest:",
        "   1:15  #17 slow.py",
        "  42 ms  #3 less.py",
        "failures:",
        "  12 x OSError, first #88 a.py",
        "      [Errno 2] No such file",
        "  1 x KeyboardInterrupt, first #90 b.py",
    ]


def test_the_summary_of_nothing() -> None:
    assert summary.lines(Summary(0, 0, 0, 0, 0.01, (), ())) == [
        "0 items in 10 ms: 0 succeeded, 0 failed"
    ]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            Progress(done=100, failed=3, skipped=0, total=400, elapsed=10.0),
            "100 of 400 done, 3 failed, 10/s, 0:30 left",
        ),
        (
            Progress(done=2, failed=0, skipped=0, total=None, elapsed=100.0),
            "2 done, 0 failed, 0.02/s, 1:40 gone",
        ),
        (
            Progress(done=50, failed=0, skipped=300, total=400, elapsed=1.0),
            "50 of 100 done, 0 failed, 300 skipped, 50/s, 0:01 left",
        ),
        (
            Progress(done=0, failed=0, skipped=0, total=4, elapsed=0.0),
            "0 of 4 done, 0 failed, 0/s, 0:00 gone",
        ),
    ],
)
def test_progress_in_a_line(state: Progress, line: str) -> None:
    assert progress.line(state) == line


def test_the_share_that_is_settled() -> None:
    state = Progress(done=50, failed=0, skipped=25, total=100, elapsed=1.0)

    assert state.fraction == 0.75
    assert Progress(5, 0, 0, total=4, elapsed=1.0).fraction == 1.0
    assert Progress(5, 0, 0, total=None, elapsed=1.0).fraction is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0001, "0.1 ms"), (0.0431, "43 ms"), (0.9999, "1.00 s"), (9.87, "9.87 s"), (12.34, "12.3 s")]
    + [(59.99, "1:00"), (245, "4:05"), (3723, "1:02:03")],
)
def test_durations(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


def test_text_is_shortened_to_one_line() -> None:
    assert text.shortened("a\n b\x1bc", 10) == "a b\ufffdc"
    assert text.shortened("0123456789", 6) == "01234…"
    assert text.shortened("/a/long/path/name.py", 10, keep_end=True) == "/a/…ame.py"
    assert text.shortened("0123456789", 10) == "0123456789"
