"""The receiver's side: bytes to exceptions."""

from __future__ import annotations

import functools
import io
import pickle
import traceback
from typing import TYPE_CHECKING, Any

from forkful.errors import RemoteError
from forkful.remote import anatomy, frames
from forkful.remote.node import PLAIN, Cell, Node, Reference

if TYPE_CHECKING:
    from forkful.remote.origin import RemoteTraceback


def unpack(data: bytes) -> BaseException:
    """Return the exception that ``pack`` was given, as far as it can be rebuilt here.

    It never raises, and swallows for this even a KeyboardInterrupt. Modules are imported where a
    class must be found, so it may take as long as that.

    Each exception is rebuilt as its class says (its ``__reduce__``); where that fails, or where
    the class says nothing, from its arguments and attributes without calling ``__init__``. If its
    class cannot be found here, it is a ``RemoteError``. Notes tell what was lost.

    The end of the chain of causes is a ``RemoteTraceback``, which names the process.

    Args:
        data: What ``pack`` gave, in a process that may run code here: unpickling runs code.
    """
    try:
        where, exc = _build(data)
    except BaseException as error:
        return RemoteError(
            "an unknown exception", f"what was received is unreadable: {anatomy.summary(error)}"
        )
    try:
        _attach_origin(exc, where, bytes(data))
    except BaseException:
        anatomy.add_notes(exc, [f"raised in {where}"])
    return exc


def format_remote(exc: BaseException) -> str:
    """Return what would have been printed for ``exc`` in the process that raised it.

    That is the traceback without the frames of this process, with causes, notes and groups. An
    exception that came from no other process is formatted as it is. Never raises.
    """
    try:
        origin = _origin_of(exc)
        return _format(exc) if origin is None else origin.text
    except BaseException:
        return anatomy.summary(exc) + "\n"


def _format(exc: BaseException) -> str:
    return "".join(traceback.format_exception(exc))


def _format_packed(data: bytes) -> str:
    try:
        return _format(_build(data)[1])
    except BaseException as error:
        return f"the traceback cannot be formatted: {anatomy.summary(error)}\n"


def _build(data: bytes) -> tuple[str, BaseException]:
    where, nodes = pickle.loads(data)
    return where, _Builder(nodes).build()


def _attach_origin(exc: BaseException, where: str, data: bytes) -> None:
    """Hang a ``RemoteTraceback`` at the end of what is printed above ``exc``.

    If that is implied context only, it goes between: who looks for the cause finds it, and the
    context is still printed. (No reference leads back from it, so that ``exc`` is freed at once.)
    """
    from forkful.remote.origin import RemoteTraceback  # its base brings multiprocessing.pool

    chain = [exc] if anatomy.links(exc)[0] is None else _chain(exc)
    last = chain[-1]
    cause, context, suppress = anatomy.links(last)
    if cause is not None or (len(chain) > 1 and anatomy.followed_by(last) is not None):
        raise ValueError("the chain is a circle and has no end")
    origin = RemoteTraceback(where, functools.partial(_format_packed, data), len(chain))
    anatomy.set_links(origin, None, anatomy.followed_by(last), False)
    anatomy.set_links(last, origin, context, suppress)


def _origin_of(exc: BaseException) -> RemoteTraceback | None:
    from forkful.remote.origin import RemoteTraceback

    for steps, link in enumerate(_chain(exc)):
        if isinstance(link, RemoteTraceback) and link.steps == steps:
            return link
    return None


def _chain(exc: BaseException) -> list[BaseException]:
    """Return ``exc`` and what is printed above it, from below. A circle ends where it closes."""
    chain = [exc]
    seen = {id(exc)}
    while (above := anatomy.followed_by(chain[-1])) is not None and id(above) not in seen:
        chain.append(above)
        seen.add(id(above))
    return chain


class _Builder:
    """Makes all exceptions first and then sets what may refer to any of them."""

    def __init__(self, nodes: list[tuple[Any, ...]]) -> None:
        self._nodes = [Node(*node) if len(node) > 2 else _stand_in(*node) for node in nodes]
        self._made: list[BaseException | None] = [None] * len(nodes)
        self._busy: set[int] = set()
        self._taken_apart: set[int] = set()  # so attributes are ours to set
        self._replaced: set[int] = set()
        self._in_circle: set[int] = set()  # made while something stood for what was not made yet
        self._losses: list[list[str]] = [list(node.losses) for node in self._nodes]

    def build(self) -> BaseException:
        for number in reversed(range(len(self._nodes))):  # what is referred to comes later
            self.get(number)
        for number, node in enumerate(self._nodes):
            self._complete(number, node, self.get(number))
        return self.get(0)

    def get(self, reference: Reference) -> BaseException:
        if isinstance(reference, tuple):
            return _placeholder(*reference, "it was left behind: too many exceptions hang together")
        made = self._made[reference]
        if made is None:
            node = self._nodes[reference]
            if reference in self._busy:
                self._in_circle |= self._busy
                return _placeholder(node.name, node.text or "", "it stands here for itself")
            self._busy.add(reference)
            made = self._made[reference] = self._make(reference, node)
            self._busy.remove(reference)
        return made

    def _make(self, number: int, node: Node) -> BaseException:
        losses = self._losses[number]
        if node.own is not None:
            try:
                made = self.load(node.own)
                if isinstance(made, BaseException):
                    return made
                losses.append(f"it was taken apart: it unpickles to {type(made).__name__}")
            except BaseException as error:
                losses.append(f"it was taken apart: to unpickle it raised {anatomy.summary(error)}")
        try:
            if node.place is not None:
                kind = anatomy.find_or_import(*node.place)
            elif node.kind is not None:
                kind, kind.__qualname__ = pickle.loads(node.kind)
            else:
                raise LookupError("it cannot be found by its name")
            made = anatomy.make(kind, *self._arguments(node, losses))
        except BaseException as error:
            losses.append(f"its class is missing here: {anatomy.summary(error)}")
            self._replaced.add(number)
            return RemoteError(node.name, node.text or "")
        self._taken_apart.add(number)
        return made

    def _arguments(
        self, node: Node, losses: list[str]
    ) -> tuple[tuple[Any, ...], tuple[str, list[BaseException]] | None]:
        group = None
        if node.group is not None:
            message, references, shown_as_list = node.group
            group = message, [self.get(reference) for reference in references]
            if node.args is None:
                return (message, group[1] if shown_as_list else tuple(group[1])), group
        return tuple(
            self._value(cell, (), f"args[{index}]", losses)
            for index, cell in enumerate(node.args or ())
        ), group

    def _complete(self, number: int, node: Node, exc: BaseException) -> None:
        losses = self._losses[number]
        if number in self._taken_apart:
            if number in self._in_circle:
                anatomy.set_arguments(exc, self._arguments(node, [])[0])
            args = anatomy.arguments(exc)
            attributes = anatomy.attributes(exc)
            for name, cell in node.attributes.items():
                attributes[name] = self._value(cell, args, name, losses)
            members = anatomy.slots(type(exc)) if node.slots else {}
            for name, cell in node.slots.items():
                try:
                    value = self._value(cell, args, name, losses)
                    anatomy.set_slot(exc, members[name], value)
                except Exception as error:
                    losses.append(f"{name} was lost: {anatomy.summary(error)}")
        if node.notes is not None:
            anatomy.attributes(exc)["__notes__"] = list(node.notes)
        anatomy.add_notes(exc, losses)
        try:
            anatomy.set_traceback(exc, frames.rebuild(node.runs))
        except Exception as error:
            anatomy.add_notes(exc, [f"its traceback was lost: {anatomy.summary(error)}"])
        cause = None if node.cause is None else self.get(node.cause)
        context = None if node.context is None else self.get(node.context)
        anatomy.set_links(exc, cause, context, node.suppress)
        if number in self._replaced and isinstance(exc, RemoteError):
            exc.traceback_text = _text_of(exc)

    def _value(self, cell: Cell, args: tuple[Any, ...], label: str, losses: list[str]) -> Any:
        if type(cell) in PLAIN:
            return cell
        tag, content = cell
        if tag == "argument":
            return args[content]
        if tag == "exception":
            return self.get(content)
        if tag == "text":
            return content
        try:
            return self.load(content)
        except BaseException as error:
            losses.append(f"{label} was lost: to unpickle it raised {anatomy.summary(error)}")
            return f"<lost: {anatomy.summary(error)}>"

    def load(self, data: bytes) -> Any:
        return _Unpickler(io.BytesIO(data), self).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, builder: _Builder) -> None:
        super().__init__(file)
        self._builder = builder

    def persistent_load(self, pid: Any) -> BaseException:
        return self._builder.get(pid)


def _placeholder(name: str, text: str, note: str) -> RemoteError:
    error = RemoteError(name, text)
    error.add_note(note)
    return error


def _stand_in(name: str, text: str) -> Node:
    """The node of an exception that could not even be taken apart."""
    return Node(None, None, None, (), {}, {}, None, name, text, [], None, None, False, None, [])


def _text_of(error: RemoteError) -> str:
    """Format what a RemoteError stands for as it would have been printed, without its chain."""
    lines = traceback.format_tb(anatomy.traceback_of(error))
    head = ["Traceback (most recent call last):\n"] if lines else []
    notes = [f"{note}\n" for note in getattr(error, "__notes__", ())]
    return "".join([*head, *lines, f"{error}\n", *notes])
