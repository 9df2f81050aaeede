"""Reads and makes exceptions through what ``BaseException`` itself offers.

A class may hide its ``args`` behind a property, forbid ``setattr`` or raise in its
``__getattribute__``; the descriptors of ``BaseException`` and the ``__new__`` of its nearest native
base are out of the reach of all that.
"""

from __future__ import annotations

import builtins
import copyreg
import importlib
import sys
from multiprocessing.reduction import ForkingPickler
from types import MemberDescriptorType, TracebackType
from typing import Any

from forkful.errors import RemoteError

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement
_base: dict[str, Any] = dict(vars(BaseException))
_group: dict[str, Any] = dict(vars(BaseExceptionGroup))
_natives = [
    kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and issubclass(kind, BaseException)
]
_usual = {
    name: {getattr(kind, name) for kind in _natives}
    for name in ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")
}
_NOT_SENT = {_group["message"], _group["exceptions"], vars(AttributeError)["obj"]}
"""``members`` reads the first two; the object that lacks an attribute may be anything."""
_BARE = {BaseException, Exception, object}


def attributes(exc: BaseException) -> dict[str, Any]:
    """The instance's ``__dict__`` itself."""
    found: dict[str, Any] = _base["__dict__"].__get__(exc)
    return found


def arguments(exc: BaseException) -> tuple[Any, ...]:
    """What is in ``args``."""
    found: tuple[Any, ...] = _base["args"].__get__(exc)
    return found


def traceback_of(exc: BaseException) -> TracebackType | None:
    """What is in ``__traceback__``."""
    found: TracebackType | None = _base["__traceback__"].__get__(exc)
    return found


def links(exc: BaseException) -> tuple[BaseException | None, BaseException | None, bool]:
    """What is in ``__cause__``, ``__context__`` and ``__suppress_context__``."""
    get = _base["__suppress_context__"].__get__
    return _base["__cause__"].__get__(exc), _base["__context__"].__get__(exc), get(exc)


def members(exc: BaseException) -> tuple[str, tuple[BaseException, ...]] | None:
    """The message and the exceptions of a group; ``None`` if it is none."""
    if not issubclass(type(exc), BaseExceptionGroup):
        return None
    return _group["message"].__get__(exc), _group["exceptions"].__get__(exc)


def slots(kind: type) -> dict[str, Any]:
    """The descriptors of the attributes that are not in ``__dict__``: ``__slots__``, ``errno``."""
    return {
        name: member
        for owner in reversed(kind.__mro__)
        if owner not in _BARE
        for name, member in vars(owner).items()
        if type(member) is MemberDescriptorType and member not in _NOT_SENT
    }


def set_slot(exc: BaseException, member: Any, value: object) -> None:
    """Set such an attribute. Raises what the descriptor raises."""
    if value is not None or member.__objclass__.__flags__ & _HEAP_TYPE:
        member.__set__(exc, value)
    elif member.__get__(exc) is not None:  # natively, None means not set: an OSError shows others
        member.__delete__(exc)


def reduces_as_usual(kind: type) -> bool:
    """Whether nothing tells pickle how to treat such an exception.

    Pickle would then call the class with ``args``, whatever its ``__init__`` takes, and set the
    attributes. To set both without calling it gives the same where that works, and works always.
    """
    return (
        kind not in ForkingPickler._extra_reducers  # type: ignore[attr-defined]
        and kind not in copyreg.dispatch_table
        and all(getattr(kind, name) in usual for name, usual in _usual.items())
    )


def native(kind: type) -> Any:
    """The nearest base that is written in C. Its ``__new__`` decides how instances are laid out."""
    base: Any = kind
    while base.__flags__ & _HEAP_TYPE:
        base = base.__base__
    return base


def make(
    kind: type[BaseException],
    args: tuple[Any, ...],
    group: tuple[str, list[BaseException]] | None,
) -> BaseException:
    """Make an exception without running code of its class.

    Raises:
        Exception: Even its native base refuses.
    """
    base = native(kind)
    made: BaseException = base.__new__(kind, *(args if group is None else group))
    if type(made) is not kind:  # OSError chooses a subclass by errno
        made = base.__new__(kind)
    if group is None:
        try:
            base.__init__(made, *args)  # sets members, such as SystemExit.code
        except Exception:  # a class may give its base other arguments than args shows
            pass
    set_arguments(made, args)
    return made


def set_arguments(exc: BaseException, args: tuple[Any, ...]) -> None:
    """Set ``args``."""
    _base["args"].__set__(exc, args)


def set_links(
    exc: BaseException,
    cause: BaseException | None,
    context: BaseException | None,
    suppress: bool,
) -> None:
    """Set ``__cause__``, ``__context__`` and ``__suppress_context__``."""
    _base["__cause__"].__set__(exc, cause)
    _base["__context__"].__set__(exc, context)
    _base["__suppress_context__"].__set__(exc, suppress)


def set_traceback(exc: BaseException, traceback: TracebackType | None) -> None:
    """Set ``__traceback__``."""
    _base["__traceback__"].__set__(exc, traceback)


def add_notes(exc: BaseException, notes: list[str]) -> None:
    """Add notes; whatever an odd class made of its ``__notes__`` stays as it is."""
    if notes:
        known = attributes(exc).setdefault("__notes__", [])
        if isinstance(known, list):
            known.extend(notes)


def followed_by(exc: BaseException) -> BaseException | None:
    """The exception that is printed above this one."""
    cause, context, suppress = links(exc)
    return cause if cause is not None or suppress else context


def find(module: str, qualname: str) -> type[BaseException]:
    """Return the exception class of this name among the modules that are loaded.

    Raises:
        Exception: There is none.
    """
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise TypeError(f"{module}.{qualname} is no exception")
    return found


def find_or_import(module: str, qualname: str) -> type[BaseException]:
    """As ``find``, importing the module where need be. That runs its code.

    Raises:
        BaseException: There is none, or whatever the module raises.
    """
    if module not in sys.modules:
        importlib.import_module(module)
    return find(module, qualname)


def locate(kind: type) -> tuple[str, str] | None:
    """Return the module and the name that another process can find the class by, if any."""
    module, qualname = kind.__module__, kind.__qualname__
    try:
        return (module, qualname) if find(module, qualname) is kind else None
    except Exception:
        return None


def type_name(exc: BaseException) -> str:
    """Return the full name of the type, as a traceback shows it. Never raises.

    That of a ``RemoteError`` is the name of the type it stands for.
    """
    try:
        if type(exc) is RemoteError:
            return exc.type_name
        return full_name(type(exc).__module__, type(exc).__qualname__)
    except BaseException:
        return "an exception whose class does not tell its name"


def full_name(module: object, qualname: object) -> str:
    """Put the two together as a traceback does."""
    return f"{qualname}" if module in ("builtins", "__main__") else f"{module}.{qualname}"


def text_of(exc: BaseException) -> str:
    """Return ``str(exc)``, or what became of that. Never raises."""
    try:
        return str(exc)
    except BaseException as error:
        return f"<its str() raises {type_name(error)}>"


def summary(exc: BaseException) -> str:
    """Return type and text in one line. Never raises."""
    text = text_of(exc)
    return f"{type_name(exc)}: {text}" if text else type_name(exc)
