"""JSON text of any Python value: exact where JSON can say it, a marked ``repr`` where it cannot.

Runs in the workers, so that the parent only moves bytes. Its one invariant: `encode` returns one
line of valid JSON in UTF-8 for every value, however hostile its ``__repr__`` is. What JSON has no
word for (a set, a date, ``nan``, an object of one's own) becomes ``{"__repr__": "..."}`` at the
place where it stands; everything round it stays as it is.
"""

from __future__ import annotations

import json
import math
import numbers
from json.encoder import encode_basestring
from typing import Any

MARK = "__repr__"
"""The member that marks a value as given by its ``repr``."""


def encode(value: object) -> bytes:
    """Return `value` as one line of JSON.

    Tuples become arrays and numbers used as keys become strings, as in the `json` module. NumPy's
    scalars and arrays become numbers and arrays.

    Args:
        value: Anything. It is not changed.

    Returns:
        UTF-8 without a line end. Text that is no Unicode (bytes of a file name kept as lone
        surrogates) is escaped, so that the line is always valid.
    """
    if type(value) is str:  # what most items are, and many results, without the encoder's round
        text = encode_basestring(value)
    elif type(value) is int and -_SHORT < value < _SHORT:
        return b"%d" % value
    else:
        try:
            text = _encode(value)
        except Exception:
            text = _encode(_sayable_or_marked(value))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _escape_lone_surrogates(text).encode()


def _escape_lone_surrogates(text: str) -> str:
    r"""Write the characters that UTF-8 cannot carry as ``\udcXX``; they stand inside JSON strings
    only.
    """
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


def _plain(value: object) -> object:
    """Return `value` as a type that JSON knows, or `value` itself where there is none that says the
    same.
    """
    if isinstance(value, numbers.Integral):
        return int(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return value


def _default(value: object) -> object:
    """Say a value that the `json` module has no rule for."""
    plain = _plain(value)
    return _marked(value) if plain is value else plain


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_default).encode

_SHORT = 1 << 62
"""An int below it is written by Python under every limit on the length of numerals."""


def _sayable_or_marked(value: object) -> Any:
    """Copy `value` with as little as possible given by its repr; all of it if the value's own
    methods fail.
    """
    try:
        return _sayable(value, ())
    except Exception:
        return _marked(value)


def _sayable(value: object, above: tuple[int, ...]) -> Any:
    """Copy `value` with everything that the encoder refused replaced by its mark.

    Args:
        value: The value that `_encode` failed on, or a part of it.
        above: The ids of the containers round this one, to notice a circle.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return value if _is_sayable_number(value) else _marked(value)
    if id(value) in above or len(above) > _DEEPEST:
        return _marked(value)
    inside = (*above, id(value))
    if isinstance(value, (list, tuple)):
        return [_sayable(each, inside) for each in value]
    if isinstance(value, dict):
        if not all(map(_is_sayable_key, value)):
            return _marked(value)
        return {key: _sayable(each, inside) for key, each in value.items()}
    plain = _plain(value)
    return _marked(value) if plain is value else _sayable(plain, inside)


_DEEPEST = 100
"""Nesting beyond which a container that the encoder refused is given as its repr."""


def _is_sayable_key(key: object) -> bool:
    """Tell whether the `json` module makes a string of this key."""
    return (
        key is None
        or isinstance(key, str)
        or (isinstance(key, (int, float)) and _is_sayable_number(key))
    )


def _is_sayable_number(value: object) -> bool:
    """Tell whether JSON has a numeral for it that Python is willing to write."""
    if isinstance(value, float):
        return math.isfinite(value)
    try:
        repr(value)
    except ValueError:  # see sys.set_int_max_str_digits
        return False
    return True


def _marked(value: object) -> dict[str, str]:
    """Give `value` as its repr. A repr that fails is told too; it must not lose the result."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__qualname__} whose repr() raised {type(error).__qualname__}>"
    return {MARK: text}
