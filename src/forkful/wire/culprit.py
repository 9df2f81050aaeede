"""Finds which part of an object cannot be pickled, and how to reach it from the whole.

From the whole it goes down to the first part that is refused by itself, and on from there, until
all parts of a refused object would do. A part that contains the whole is refused with it, so from
there it comes back up. It knows nothing of pickling but the two functions it is given.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_MOST_TRIALS = 10_000
_PATIENCE_S = 1.0  # somebody waits for the error message
_FINE = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, range})

Part = tuple[str, object]
"""How a part is reached from its whole, such as ``.lock`` or ``[1]``; and the part."""


def find(
    whole: object,
    refuses: Callable[[object], bool],
    reduce: Callable[[Any], object],
    root: str,
) -> str:
    """Return the way from ``whole`` to the innermost part found that ``refuses`` is true for.

    Args:
        whole: An object for which ``refuses`` is true.
        refuses: Whether an object cannot be pickled by itself; never raises.
        reduce: What pickle asks an object for, as ``object.__reduce_ex__``; may raise.
        root: The name of ``whole`` in the answer.

    The search ends after a second or 10,000 trials, with as far as it came.
    """
    until = time.monotonic() + _PATIENCE_S
    trials = _MOST_TRIALS
    tried = {id(whole): whole}  # held, so that no id is given to something else
    way = [_Step(root, whole, _safely(parts(whole, reduce)))]
    while way:
        here = way[-1]
        for label, part in here.parts:
            if type(part) in _FINE:
                continue
            if id(part) in tried:
                here.is_circle |= any(part is step.part for step in way)
                continue
            if not trials or time.monotonic() > until:
                return here.path
            trials -= 1
            tried[id(part)] = part
            if refuses(part):
                way.append(_Step(here.path + label, part, _safely(parts(part, reduce))))
                break
        else:
            if not here.is_circle:
                return here.path
            way.pop()  # it is refused for what else is in the circle
    return root


class _Step:
    """A refused part on the way down. It is no dataclass: that would bring ``inspect``."""

    def __init__(self, path: str, part: object, parts: Iterator[Part]) -> None:
        self.path = path
        self.part = part
        self.parts = parts
        self.is_circle = False


def parts(whole: Any, reduce: Callable[[Any], object]) -> Iterator[Part]:
    """Yield what is pickled with ``whole``."""
    kind = type(whole)
    if kind is dict:
        for key, value in whole.items():
            yield f" key {_brief(key)}", key
            yield f"[{_brief(key)}]", value
    elif kind is list or kind is tuple:
        for index, value in enumerate(whole):
            yield f"[{index}]", value
    elif kind is set or kind is frozenset:
        for value in whole:
            yield f" member {_brief(value)}", value
    elif kind is FunctionType:
        yield from _parts_of_function(whole)
    elif kind is MethodType:
        yield ".__self__", whole.__self__
    elif isinstance(whole, functools.partial):
        yield ".func", whole.func
        yield ".args", whole.args
        yield ".keywords", whole.keywords
    elif isinstance(whole, type):
        for name, value in vars(whole).items():
            if name not in ("__dict__", "__weakref__"):
                yield f".{name}", value
    elif not isinstance(whole, ModuleType | CodeType):
        yield from _parts_of_instance(whole, reduce(whole))


def _parts_of_function(function: FunctionType) -> Iterator[Part]:
    """A function that is pickled by value takes along what it refers to."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not bound yet
            continue
        yield f".__closure__[{name!r}]", value
    for index, value in enumerate(function.__defaults__ or ()):
        yield f".__defaults__[{index}]", value
    for name, value in (function.__kwdefaults__ or {}).items():
        yield f".__kwdefaults__[{name!r}]", value
    for name, value in vars(function).items():
        yield f".{name}", value
    for name in sorted(_global_names(function.__code__)):
        if name in function.__globals__:
            yield f".__globals__[{name!r}]", function.__globals__[name]


def _global_names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _parts_of_instance(whole: Any, reduced: Any) -> Iterator[Part]:
    """Read what ``__reduce_ex__`` gave: (callable, arguments, state, list items, dict items)."""
    if not isinstance(reduced, tuple):
        return
    given: tuple[Any, ...] = (*reduced, None, None, None, None)
    make, arguments, state, items, pairs = given[:5]
    yield ".__reduce__()[0]", make
    own = getattr(whole, "args", None) if isinstance(whole, BaseException) else None
    for index, value in enumerate(arguments or ()):
        if value is type(whole):
            yield ".__class__", value
        elif arguments is own or arguments == own:
            yield f".args[{index}]", value
        else:
            yield f".__reduce__()[1][{index}]", value
    if state is not None:
        yield from _parts_of_state(whole, state)
    for index, value in enumerate(items or ()):
        yield f"[{index}]", value
    for key, value in pairs or ():
        yield f" key {_brief(key)}", key
        yield f"[{_brief(key)}]", value


def _parts_of_state(whole: Any, state: Any) -> Iterator[Part]:
    """Name attributes as such; what ``__getstate__`` made up stays anonymous."""
    split = type(state) is tuple and len(state) == 2  # (dict, slots)
    pieces: tuple[Any, ...] = state if split else (state,)
    if not all(piece is None or type(piece) is dict for piece in pieces):
        yield ".__getstate__()", state
        return
    for piece in pieces:
        for name, value in (piece or {}).items():
            is_attribute = type(name) is str and getattr(whole, name, None) is value
            yield f".{name}" if is_attribute else f".__getstate__()[{_brief(name)}]", value


def _safely(found: Iterator[Part]) -> Iterator[Part]:
    """End where an object breaks off the listing of its parts."""
    try:
        yield from found
    except Exception:
        return


def _brief(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 40 else f"{text[:37]}..."
