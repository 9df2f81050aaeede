"""Each release in native/core names what it publishes, and some acquire reads that: by a label.

    atomic_store_explicit(&q->version, v, memory_order_release); /* release: queue.version */
    v = atomic_load_explicit(&q->version, memory_order_acquire); /* acquire: queue.version */

A label is `noun.word`. It stands in a comment on the line of the operation or just before it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.house import csource

LABEL = re.compile(r"\b(release|acquire): ([a-z_0-9]+(?:\.[a-z_0-9]+)+)")


def complaints(texts: Iterable[str]) -> list[str]:
    """Labels that stand on one side only."""
    sides = defaultdict(set)
    for text in texts:
        for _, comment in csource.comments(text):
            for side, label in LABEL.findall(comment):
                sides[label].add(side)
    return [
        f"{label}: only {side} sites"
        for label, (side, *others) in sorted((k, sorted(v)) for k, v in sides.items())
        if not others
    ]


def test_every_label_has_both_sides() -> None:
    assert complaints(path.read_text() for path in csource.files("core")) == []


def test_there_are_labels() -> None:
    assert any(LABEL.search(path.read_text()) for path in csource.files("core"))


# ---- the lint can fail -----------------------------------------------------------------------


def test_two_sides_in_two_files_are_sound() -> None:
    assert complaints(["/* release: a.b */", "x(); /* acquire: a.b, the only one */"]) == []


@pytest.mark.parametrize(
    "text",
    [
        "/* release: a.b */",
        "/* release: a.b */ /* acquire: a.c */",
        '// release: a.b\n"acquire: a.b"',
    ],
)
def test_a_label_on_one_side_is_found(text: str) -> None:
    assert "a.b: only release sites" in complaints([text])
