"""The sender's side: exceptions to bytes."""

from __future__ import annotations

import io
import os
import pickle
from multiprocessing.process import current_process
from multiprocessing.reduction import ForkingPickler
from typing import Any

from forkful.remote import anatomy, frames
from forkful.remote.node import PLAIN, Cell, Node, Reference

_PROTOCOL = pickle.HIGHEST_PROTOCOL
_MOST = 10_000
"""Exceptions that cross, members of groups for the most part."""
_DEEPEST = 200
"""Links of a chain, or levels of groups, from the first. What lies behind crosses as its text."""
_LONGEST_REPR = 1000
_LARGEST_CLASS = 1 << 20
"""Bytes: a class that drags more along, in what its methods refer to, is not sent."""

_LAST_RESORT = pickle.dumps(
    ("another process", [("an exception that could not be packed", "")]), _PROTOCOL
)


def process_label() -> str:
    """Name this process: ``ForkPoolWorker-1 (pid 4711)``."""
    return f"{current_process().name} (pid {os.getpid()})"


def pack(exc: BaseException, where: str | None = None) -> bytes:
    """Return bytes from which ``unpack`` makes ``exc`` in another process.

    It never raises: not even what the exception's own methods raise while it is taken apart, be it
    KeyboardInterrupt. What does not pickle is replaced by its repr, with a note. It pickles no
    more than ``exc`` holds, and blocks on nothing but what these objects do when pickled.

    Args:
        exc: Any exception, with its chain, its group members and all of their tracebacks.
        where: Names the process that raised it; ``process_label()`` unless given.
    """
    try:
        packer = _Packer()
        packer.refer(exc, 0)
        nodes = packer.nodes()
        return pickle.dumps((where or process_label(), nodes), _PROTOCOL)
    except BaseException:
        try:
            name, text = anatomy.type_name(exc), anatomy.text_of(exc)
            return pickle.dumps((where or process_label(), [(name, text)]), _PROTOCOL)
        except BaseException:
            return _LAST_RESORT


class _Packer:
    """Numbers exceptions as it meets them, and packs each once."""

    def __init__(self) -> None:
        self._met: list[tuple[BaseException, int]] = []
        self._numbers: dict[int, int] = {}

    def refer(self, exc: BaseException, depth: int) -> Reference:
        number = self._numbers.get(id(exc))
        if number is None:
            if len(self._met) >= _MOST or depth > _DEEPEST:
                return anatomy.type_name(exc), anatomy.text_of(exc)
            number = self._numbers[id(exc)] = len(self._met)
            self._met.append((exc, depth))
        return number

    def nodes(self) -> list[tuple[Any, ...]]:
        packed: list[tuple[Any, ...]] = []
        for exc, depth in self._met:  # grows meanwhile
            try:
                packed.append(tuple(self._node(exc, depth)))
            except BaseException:
                packed.append((anatomy.type_name(exc), anatomy.text_of(exc)))
        return packed

    def _node(self, exc: BaseException, depth: int) -> Node:
        kind = type(exc)
        losses: list[str] = []
        place = anatomy.locate(kind)
        is_builtin = place is not None and place[0] == "builtins"
        own = None if anatomy.reduces_as_usual(kind) else self._own(exc, depth, losses)
        given = anatomy.arguments(exc)
        args: tuple[Cell, ...] | None = given
        members = anatomy.members(exc)
        group = None
        if members is not None:
            message, exceptions = members
            shown = given[1] if len(given) == 2 and given[0] is message else None
            if _same(shown, exceptions):
                args = None
            references = [self.refer(each, depth + 1) for each in exceptions]
            group = message, references, type(shown) is list
        if args is not None and not PLAIN.issuperset(map(type, args)):
            args = tuple(
                self._cell(value, (), depth, f"args[{index}]", losses)
                for index, value in enumerate(args)
            )
        notes = None
        attributes: dict[str, Cell] = {}
        for name, value in tuple(anatomy.attributes(exc).items()):
            if name == "__notes__" and type(value) is list and {str}.issuperset(map(type, value)):
                notes = value
            elif type(name) is str:
                attributes[name] = self._cell(value, given, depth, name, losses)
        slots: dict[str, Cell] = {}
        for name, member in anatomy.slots(kind).items():
            try:
                value = member.__get__(exc)
            except AttributeError:  # not set
                continue
            if value is not None or not is_builtin:
                slots[name] = self._cell(value, given, depth, name, losses)
        runs, left_out = frames.flatten(anatomy.traceback_of(exc))
        if left_out:
            losses.append(f"{left_out} frames in the middle of the traceback were left out")
        cause, context, suppress = anatomy.links(exc)
        return Node(
            own=own,
            place=place,
            kind=None if place else _class_by_value(kind),
            args=args,
            attributes=attributes,
            slots=slots,
            group=group,
            name=anatomy.type_name(exc),
            text=None if is_builtin else anatomy.text_of(exc),
            runs=runs,
            cause=None if cause is None else self.refer(cause, depth + 1),
            context=None if context is None else self.refer(context, depth + 1),
            suppress=suppress,
            notes=notes,
            losses=losses,
        )

    def _own(self, exc: BaseException, depth: int, losses: list[str]) -> bytes | None:
        """Pickle it as its class wants it."""
        try:
            return self._pickle(exc, depth, whole=exc)
        except BaseException as error:
            losses.append(f"it was taken apart: to pickle it raised {anatomy.summary(error)}")
            return None

    def _cell(
        self, value: Any, args: tuple[Any, ...], depth: int, label: str, losses: list[str]
    ) -> Cell:
        if type(value) in PLAIN:
            return value
        for index, arg in enumerate(args):
            if arg is value:
                return "argument", index
        if issubclass(type(value), BaseException):
            return "exception", self.refer(value, depth + 1)
        try:
            return "pickle", self._pickle(value, depth)
        except BaseException as error:
            losses.append(f"{label} is only its repr: to pickle it raised {anatomy.summary(error)}")
            return "text", _repr(value)

    def _pickle(self, value: object, depth: int, whole: object = None) -> bytes:
        file = io.BytesIO()
        _Pickler(file, self, depth, whole).dump(value)
        return file.getvalue()


class _Pickler(ForkingPickler):
    """Refers to exceptions inside of a value, instead of pickling them."""

    def __init__(self, file: io.BytesIO, packer: _Packer, depth: int, whole: object) -> None:
        super().__init__(file, _PROTOCOL)
        self._packer, self._depth, self._whole = packer, depth, whole

    def persistent_id(self, obj: Any) -> Reference | None:
        if obj is self._whole or not issubclass(type(obj), BaseException):
            return None
        return self._packer.refer(obj, self._depth + 1)


def _class_by_value(kind: type[BaseException]) -> bytes | None:
    """Pickle a class of a closure with its code, so that ``except`` sees what it derives from."""
    try:
        import cloudpickle  # on first use: few classes of exceptions are local

        data: bytes = cloudpickle.dumps((kind, kind.__qualname__), _PROTOCOL)
        return data if len(data) <= _LARGEST_CLASS else None
    except Exception:
        return None


def _same(shown: object, exceptions: tuple[BaseException, ...]) -> bool:
    return (
        isinstance(shown, list | tuple)
        and len(shown) == len(exceptions)
        and all(map(_is, shown, exceptions))
    )


def _is(one: object, other: object) -> bool:
    return one is other


def _repr(value: object) -> str:
    try:
        text = repr(value)
    except BaseException as error:
        return f"<{type(value).__name__} whose repr() raises {anatomy.type_name(error)}>"
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}..."
