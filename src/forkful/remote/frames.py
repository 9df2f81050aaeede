"""Tracebacks as plain data, and back as real ones.

Only Python makes frames, and the frame of code that ran holds its callers' frames, with all their
variables. So for each frame a generator is compiled that would stop at the file, function, lines
and columns of the original. It is never run; its frame is all that is wanted. Frames are kept,
since the same lines fail again and again. (tblib raises in a piece of code for each frame at each
time and knows no columns, so that markers stand below the wrong words: docs/design/exceptions.md.)
"""

from __future__ import annotations

import ast
import functools
import itertools
import sys
from collections.abc import Iterable
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from forkful.remote import variables

MOST = 1024
"""Frames that cross. Of a longer traceback the first and the last half of that many; Python's own
limit of recursion is 1000."""

_OURS = ("forkful", "multiprocessing")
_NO_COLUMNS: tuple[None, None, None] = (None, None, None)

Frame = tuple[str, str, str, str | None, int, int | None, int | None, int | None]
"""File, name, qualified name, module, line, last line, first column, last column (in bytes)."""
Runs = list[tuple[Frame, int, dict[str, str] | None]]
"""Frames from the outermost to the innermost, each with how often it repeats at once, and its local
variables as text if they cross."""


def flatten(traceback: TracebackType | None) -> tuple[Runs, int]:
    """Return the frames of a traceback, and how many of them were left out.

    Those of forkful and multiprocessing that lead to the first frame of others are dropped: they
    are how the task was called.
    """
    entries: list[tuple[TracebackType, int]] = []
    total = 0
    with_locals = variables.wanted()
    last: TracebackType | None = None
    traceback = _without_ours(traceback)
    while traceback is not None:
        total += 1
        if last is not None and not with_locals and _same(last, traceback):
            entries[-1] = (last, entries[-1][1] + 1)
        else:
            last = traceback
            entries.append((traceback, 1))
        traceback = traceback.tb_next
    if total > MOST:
        tail = list(reversed(_first(reversed(entries), MOST // 2)))
        entries = _first(entries, MOST // 2) + tail
    first = len(entries) - variables.MOST_FRAMES if with_locals else len(entries)
    runs: Runs = [
        (
            _describe(entry),
            count,
            variables.shown(entry.tb_frame) if number >= first else None,
        )
        for number, (entry, count) in enumerate(entries)
    ]
    return runs, max(0, total - MOST)


def rebuild(runs: Runs) -> TracebackType | None:
    """Return a traceback of real frames. Their local variables, if they crossed, only show a text."""
    traceback: TracebackType | None = None
    for entry, count, local in reversed(runs):
        make = _known_frame if local is None else functools.partial(_frame, local)
        try:
            frame, instruction = make(*entry)
        except ValueError:  # places that no compiler gives
            frame, instruction = make(*entry[:4], max(1, entry[4]), None, None, None)
        for _ in range(count):
            traceback = TracebackType(traceback, frame, instruction, entry[4])
    return traceback


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    entry = traceback
    while entry is not None:
        module = entry.tb_frame.f_globals.get("__name__")
        if not isinstance(module, str) or module.partition(".")[0] not in _OURS:
            return entry
        entry = entry.tb_next
    return traceback


def _same(one: TracebackType, other: TracebackType) -> bool:
    return (
        one.tb_frame.f_code is other.tb_frame.f_code
        and one.tb_lasti == other.tb_lasti
        and one.tb_lineno == other.tb_lineno
    )


def _first(
    entries: Iterable[tuple[TracebackType, int]], wanted: int
) -> list[tuple[TracebackType, int]]:
    taken = []
    for entry, count in entries:
        taken.append((entry, min(count, wanted)))
        wanted -= taken[-1][1]
        if not wanted:
            break
    return taken


def _describe(entry: TracebackType) -> Frame:
    code = entry.tb_frame.f_code
    module = entry.tb_frame.f_globals.get("__name__")
    name = code.co_filename, code.co_name, code.co_qualname, module if type(module) is str else None
    line, *columns = _position(code, entry.tb_lasti)
    if line is None or line != entry.tb_lineno:
        return *name, entry.tb_lineno or code.co_firstlineno, None, None, None
    end_line, column, end_column = columns
    return *name, line, end_line, column, end_column


def _position(code: CodeType, instruction: int) -> tuple[int | None, ...]:
    if instruction < 0:
        return None, *_NO_COLUMNS
    places = itertools.islice(code.co_positions(), instruction // 2, None)
    return next(places, (None, *_NO_COLUMNS))


def _frame(
    local: dict[str, str],
    filename: str,
    name: str,
    qualname: str,
    module: str | None,
    line: int,
    end_line: int | None,
    column: int | None,
    end_column: int | None,
) -> tuple[FrameType, int]:
    """Return a frame that stands at this place, and the instruction there."""
    place = (line, end_line or line, column, end_column)
    where: dict[str, Any] = {
        "lineno": line,
        "end_lineno": end_line or line,
        "col_offset": -1 if column is None else column,  # the compiler's word for: not known
        "end_col_offset": -1 if end_column is None else end_column,
    }
    names = [ast.arg(name, **where) for name in local]
    taken = ast.arguments([], names, None, [], [], None, [])
    body: list[ast.stmt] = [ast.Expr(ast.Yield(None, **where), **where)]
    definition = ast.FunctionDef("stub", taken, body, [], **where)
    definition.type_params = []  # type: ignore[attr-defined, unused-ignore]  # from Python 3.12 on
    module_code = compile(ast.Module([definition], []), "<stub>", "exec")
    code = next(const for const in module_code.co_consts if isinstance(const, CodeType))
    namespace: dict[str, Any] = {"__name__": module, "__file__": filename}
    known = sys.modules.get(module or "")
    if getattr(known, "__file__", None) == filename:  # where to get the source of a zipped module
        namespace["__loader__"] = getattr(known, "__loader__", None)
        namespace["__spec__"] = getattr(known, "__spec__", None)
    named = code.replace(co_filename=filename, co_name=name, co_qualname=qualname)
    stub = FunctionType(named, namespace)
    places = list(code.co_positions())
    values = map(variables.Shown, local.values())
    return stub(*values).gi_frame, 2 * places.index(place) if place in places else -1


_known_frame = functools.lru_cache(maxsize=MOST)(functools.partial(_frame, {}))
