"""How reports write numbers, times and items."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Write a duration as short as it can be read: ``0.3 ms``, ``84 ms``, ``2.41 s``, ``4:05``,
    ``1:02:03``.
    """
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Write a duration as ``0:07``, ``4:05`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(per_second: float) -> str:
    """Write a rate: ``52,301/s``, ``3.4/s``."""
    return f"{per_second:,.0f}/s" if per_second >= 10 else f"{per_second:.2g}/s"


def count(number: int, noun: str) -> str:
    """Write ``1 item``, ``2,000 items``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shortened(text: str, width: int, *, keep_end: bool = False) -> str:
    """Return `text` in one printable line of at most `width` characters.

    Args:
        text: Any text.
        width: How many characters there is room for.
        keep_end: Leave out the middle, as the end of a path says more than that.
    """
    line = "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())
    )
    if len(line) <= width:
        return line
    tail = (width - 1) * 2 // 3 if keep_end else 0
    return line[: width - 1 - tail] + "…" + line[len(line) - tail :]
