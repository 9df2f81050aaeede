"""Local variables of frames that cross: as text, if the program wants them.

`FORKFUL_LOCALS=on` in the environment of the process that fails (set it before the program starts, or in
`os.environ` before its children do). What crosses is the `repr` of each, cut to what a person reads; in the
receiving process an object stands for it that shows this text.
"""

from __future__ import annotations

import keyword
import os
import reprlib
from types import FrameType

__all__ = ["MOST_FRAMES", "Shown", "shown", "wanted"]

MOST_FRAMES = 32
"""Frames whose variables cross: the innermost ones."""
_MOST_NAMES = 64
_LONGEST = 400

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _LONGEST
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = 20


class Shown:
    """Stands for a value of another process, of which only the text is known."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def wanted() -> bool:
    """Return whether local variables cross."""
    return os.environ.get("FORKFUL_LOCALS", "off").lower() in ("on", "1", "yes", "true")


def shown(frame: FrameType) -> dict[str, str] | None:
    """Return the text of each variable that has a name of its own.

    The variables of a class body, or of code run by `exec`, are whatever object was given: no Exception of
    its making leaves this function.
    """
    found: dict[str, str] = {}
    try:
        variables = frame.f_locals
        if variables is frame.f_globals:
            return None  # a module's
        for name, value in tuple(variables.items()):
            if len(found) == _MOST_NAMES:
                break
            # `.0` of a comprehension is none
            if type(name) is str and name.isidentifier() and not keyword.iskeyword(name):
                found[name] = _text(value)
    except Exception:
        pass  # what there is by now has to do
    return found


def _text(value: object) -> str:
    try:
        text = _repr.repr(value)
    except (Exception, SystemExit) as error:  # an interrupt is not the value's
        return f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
