"""C source with its comments and strings told apart from its code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house.imports import ROOT

NATIVE = ROOT / "native"

_LEXEME = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')""",
    re.DOTALL,
)


def files(folder: str) -> list[Path]:
    """The .c and .h files of ``native/<folder>``."""
    return sorted((NATIVE / folder).glob("*.[ch]"))


def comments(text: str) -> list[tuple[int, str]]:
    """Each comment with the number of the line that it begins on."""
    return [
        (text.count("\n", 0, m.start()) + 1, m["comment"])
        for m in _LEXEME.finditer(text)
        if m["comment"]
    ]


def code(text: str) -> str:
    """The same text, comments and the insides of strings blanked, lines kept."""

    def blank(match: re.Match[str]) -> str:
        if match["string"]:
            return match["string"][0] * 2
        return re.sub(r"[^\n]", " ", match[0])

    return _LEXEME.sub(blank, text)
