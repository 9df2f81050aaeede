"""The values of options: numbers of jobs, durations, sizes. Text in, a number out, or a
`ValueError` that says what is accepted.
"""

from __future__ import annotations

import math
import re

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "ms": 0.001}
_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def jobs(text: str, cpus: int) -> int:
    """Return the number of workers that ``-j`` asks for, in GNU parallel's forms.

    Args:
        text: ``4``, or relative to the usable CPUs: ``+2``, ``-1``, ``50%``.
        cpus: How many CPUs this process may really use.

    Returns:
        At least 1: ``-8`` on four CPUs is one worker.

    Raises:
        ValueError: The text is none of these forms, or asks for no worker at all.
    """
    form = re.fullmatch(r"([+-]?)([0-9]+)(%?)", text)
    if form is None or (form[1] and form[3]):
        raise ValueError(f"{text!r} is not a number of workers (give 4, +2, -1 or 50%)")
    number = int(form[2])
    if form[1]:
        return max(1, cpus + number if form[1] == "+" else cpus - number)
    if number == 0:
        raise ValueError(f"{text!r} leaves no worker (leave the option out to use every CPU)")
    return max(1, cpus * number // 100) if form[3] else number


def seconds(text: str) -> float:
    """Return a duration in seconds.

    Args:
        text: ``10``, ``0.5``, ``250ms``, ``30s``, ``2m``, ``1.5h``, ``1d``.

    Raises:
        ValueError: The text is no positive duration.
    """
    form = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ms|[smhd]?)", text)
    value = float(form[1]) * _SECONDS[form[2]] if form else 0.0
    if value <= 0 or not math.isfinite(value):
        raise ValueError(f"{text!r} is not a duration (give 10, 0.5, 250ms, 2m or 1.5h)")
    return value


def delay(text: str) -> float:
    """Return a duration in seconds that may be 0. Accepts and raises as `seconds` does."""
    return 0.0 if text == "0" else seconds(text)


def size(text: str) -> int:
    """Return a size in bytes.

    Args:
        text: Bytes, or ``512K``, ``100M``, ``2G``, ``1.5G``, ``1T`` (powers of 1024; ``2GB`` and
            ``2GiB`` mean the same).

    Raises:
        ValueError: The text is no positive size.
    """
    form = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)\s*([kmgt]?)(?:i?b)?", text, re.IGNORECASE)
    value = int(float(form[1]) * _BYTES[form[2].upper()]) if form else 0
    if value <= 0:
        raise ValueError(f"{text!r} is not a size (give bytes, 512K, 100M or 2G)")
    return value
