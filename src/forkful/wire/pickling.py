"""``dumps`` and its kin.

Making a ``ForkingPickler`` costs 2 us a call: its class is Python's, and it copies the table of
reducers. Here picklers of the C type are kept and used again, at 0.15 us above ``pickle.dumps``
(``docs/design/exceptions.md`` has the figures). Each takes its reducers from one common table, in
which every known type maps to ``_reduce``; that looks the reducer up anew. So a later registration
is honoured, be it of a new type (the sizes tell) or in place of another one.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
from itertools import chain
from multiprocessing.reduction import ForkingPickler
from types import SimpleNamespace

from forkful.wire.handles import collected, collecting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, ClassVar

    _Keeper = Callable[[pickle.PickleBuffer], bool]
    _Reducer = Callable[[Any], Any]
    _Part = Callable[[Any], bytes | memoryview]
    _Tool = tuple[
        Callable[[object], None], list[Any], Callable[[], None], list[pickle.PickleBuffer]
    ]

LARGE = 32 * 1024
"""Bytes from which a buffer travels out of band: a block of its own costs more than a small copy."""

_WHOLE = 96 * 1024
"""The same for `bytes`, which pickle is quick to copy: less is not worth it. (Where malloc maps memory anew.)"""

_SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes, bytearray))
"""What refers to no other object."""

_FEW = 64

_PROTOCOL = pickle.HIGHEST_PROTOCOL
_KEPT_BELOW = 16 * 1024
"""A pickler remembers each object, and forgetting takes time by the room that took. So one that has
made this many bytes is not used again."""

_REFUSALS = (pickle.PicklingError, AttributeError, TypeError)
"""What pickle raises for an object that it does not take."""

_ADVICE = (
    "functions and classes travel by name: define this one where the receiving process can import "
    "it, at the top level of a module"
)

_extra: dict[type, _Reducer] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
_common: dict[type, _Reducer] = copyreg.dispatch_table
_table: dict[type, _Reducer] = {}
_known = -1

_idle: list[_Tool] = []
_idle_parts: list[_Tool] = []
_idle_oob: list[_Tool] = []


def dumps(obj: object, root: str = "object") -> bytes:
    """Return the pickle of ``obj``.

    Args:
        obj: Anything.
        root: What an error message calls ``obj``.

    Raises:
        PicklingError, AttributeError, TypeError: ``obj`` cannot be pickled. The message ends with
            the place of the part that cannot.
        Exception: Whatever a ``__reduce__`` raises, with the place in a note.
    """
    if len(_common) + len(_extra) != _known:
        _learn()
    try:
        tool = _idle.pop()
    except IndexError:
        tool = _make(None)
    dump, chunks, forget, _ = tool
    try:
        dump(obj)
    except Exception as error:
        data = _otherwise(obj, error, root, None)
        if data is None:
            raise
        return data
    data = chunks.pop()
    if chunks:
        data = _join(chunks, data)
    if len(data) < _KEPT_BELOW:
        forget()
        _idle.append(tool)
    return data


def dumps_parts(obj: object) -> list[bytes | memoryview]:
    """Return the pickle of ``obj`` in parts that make it one after the other.

    Large `bytes` and buffers (NumPy arrays offer theirs) are parts of their own and are not copied: what their
    owner writes there meanwhile may be what arrives. As at the other end may be any Python, functions and classes
    that cannot be found by name are refused. Otherwise as ``dumps``.
    """
    if len(_common) + len(_extra) != _known:
        _learn()
    try:
        tool = _idle_parts.pop()
    except IndexError:
        tool = _make(None, _part)
    dump, chunks, forget, _ = tool
    try:
        dump(obj)
    except BaseException as error:
        chunks.clear()  # the traceback has them: nothing that they are views of could be resized
        if isinstance(error, Exception):
            _otherwise(obj, error, "object", None, by_value=False)
        raise
    parts = chunks[:]
    if len(parts) == 1 and len(parts[0]) < _KEPT_BELOW:
        forget()
        chunks.clear()
        _idle_parts.append(tool)
    return parts


def dumps_oob(obj: object, root: str = "object") -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Return the pickle of ``obj`` and the buffers that it leaves out, which ``loads`` needs.

    Left out are contiguous buffers of at least ``LARGE`` bytes that their owners offer (NumPy
    arrays do), a larger ``bytes`` or ``bytearray`` that is ``obj`` itself, and larger ``bytes`` that are members
    of it beside numbers and strings, as in ``(url, status, body)``. They are views: the owner's memory, until
    it is copied. Otherwise as ``dumps``.
    """
    obj = _set_aside(obj)
    if len(_common) + len(_extra) != _known:
        _learn()
    try:
        tool = _idle_oob.pop()
    except IndexError:
        tool = _make([])
    dump, chunks, forget, buffers = tool
    try:
        dump(obj)
    except Exception as error:
        left_out: list[pickle.PickleBuffer] = []
        data = _otherwise(obj, error, root, _keeper(left_out))
        if data is None:
            raise
        return data, left_out
    data = chunks.pop()
    if chunks:
        data = _join(chunks, data)
    left_out = buffers[:]
    if len(data) < _KEPT_BELOW:
        forget()
        buffers.clear()
        _idle_oob.append(tool)
    return data, left_out


def aside(objs: Iterable[object]) -> list[object]:
    """Return the objects for `dumps_oob` so that it leaves out large `bytes` among them, too, and in flat tuples.

    `loads` returns bytes in their place.
    """
    wholes: dict[int, object] = {}
    return [_with_wholes(o, o, wholes) if type(o) is tuple else _as_whole(o, wholes) for o in objs]


def _set_aside(obj: Any) -> object:
    kind = type(obj)
    if kind is bytes or kind is bytearray:
        return _Whole(obj) if len(obj) >= _WHOLE else obj
    if kind not in (tuple, list, dict) or len(obj) > _FEW:
        return obj
    # It may be changed by another thread meanwhile: what it has is taken in one step.
    if kind is not dict:
        return _with_wholes(obj, tuple(obj), {})
    keys_and_values = tuple(chain.from_iterable(obj.copy().items()))
    found = _with_wholes(obj, keys_and_values, {})
    return obj if found is obj else dict(zip(found[::2], found[1::2], strict=True))


def _with_wholes(container: Any, parts: tuple[Any, ...], wholes: dict[int, object]) -> Any:
    """Return the parts, in a tuple or a list, with a `_Whole` in the place of each large `bytes`.

    The container itself if there is none; or if there are many parts, or any that may refer to others: these may
    refer to the container, which must arrive as what they refer to.
    """
    if (
        len(parts) > _FEW
        or not all(type(part) in _SCALARS for part in parts)
        or not any(type(part) is bytes and len(part) >= _WHOLE for part in parts)
    ):
        return container
    out = wholes.get(id(container))
    if out is None:
        kind = list if type(container) is list else tuple
        out = wholes[id(container)] = kind(_as_whole(part, wholes) for part in parts)
    return out


def _as_whole(obj: Any, wholes: dict[int, object]) -> Any:
    """The same for one object. What stands there twice is sent once: `wholes` has what is made, by the id."""
    if type(obj) is not bytes or len(obj) < _WHOLE:
        return obj
    return wholes.get(id(obj)) or wholes.setdefault(id(obj), _Whole(obj))


def loads(
    data: bytes | bytearray | memoryview,
    buffers: Iterable[bytes | bytearray | memoryview | pickle.PickleBuffer] | None = None,
) -> Any:
    """Return the object that ``dumps`` or ``dumps_oob`` was given.

    Args:
        data: The pickle. Only from a process that may run code here: unpickling runs code.
        buffers: What ``dumps_oob`` left out, in its order. The object is built over them.

    Raises:
        AttributeError, ImportError: A function or class is not to be found here; a note says
            what to do.
        Exception: Whatever rebuilding the object raises.
    """
    try:
        return pickle.loads(data) if buffers is None else pickle.loads(data, buffers=buffers)
    except (AttributeError, ImportError) as error:
        advise(error)
        raise


def advise(error: AttributeError | ImportError) -> None:
    """Note what to do, if `error` says that a function or class is not to be found here."""
    if isinstance(error, ImportError) or str(error).startswith("Can't get attribute"):
        error.add_note(_ADVICE)


def explain(obj: object, error: BaseException, root: str = "object") -> str | None:
    """Return which part of ``obj`` cannot be pickled, as ``object[1]['conn'].lock``.

    Never raises, and ends after about a second with as far as it came. Parts are pickled once more
    to try them.

    Args:
        obj: What could not be pickled.
        error: What that raised. It decides whether there is anything to look for.
        root: What the answer calls ``obj``.

    Returns:
        The place; ``root`` alone if it is ``obj`` itself. ``None`` if nothing can be said.
    """
    if isinstance(error, RecursionError | MemoryError):
        return None
    from forkful.wire import culprit  # on first use: few objects are refused

    try:
        if collected() is None:
            return culprit.find(obj, _refuses, _reduce, root)
        with collecting():  # handles that are only tried are not on their way
            return culprit.find(obj, _refuses, _reduce, root)
    except Exception:
        return None


def _otherwise(
    obj: object, error: Exception, root: str, keeper: _Keeper | None, by_value: bool = True
) -> bytes | None:
    """Pickle by value what pickle refused with ``error``, if that may be.

    Returns:
        The pickle; or ``None`` if that is refused too, and then ``error`` says where the fault is.
    """
    text = str(error)
    if by_value and isinstance(error, _REFUSALS):
        chunks: list[bytes] = []
        try:
            _dump_by_value(obj, chunks, keeper)
            return _join(chunks)
        except _REFUSALS as second:
            text = str(second)  # lambdas and the like were passed: this is what is in the way
        except Exception:
            pass
    place = explain(obj, error, root)
    suffix = f"at {place}" if place and place != "object" else ""
    if type(error) in _REFUSALS:
        error.args = (f"{text}: {suffix}" if suffix else text,)
    elif suffix:
        error.add_note(f"while it was pickled, {suffix}")
    return None


def _dump_by_value(obj: object, chunks: list[bytes], keeper: _Keeper | None) -> None:
    outer = collected()
    with collecting() as held:
        _cloud()(_sink(chunks.append), _PROTOCOL, keeper).dump(obj)
    if outer is not None:  # pickle has noted some of them already
        noted = set(map(id, outer))
        outer += [handle for handle in held if id(handle) not in noted]


@functools.cache
def _cloud() -> type[Any]:
    from collections import ChainMap

    import cloudpickle  # costs more than all of forkful, and most programs never need it

    class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table: ClassVar = ChainMap(_extra, *cloudpickle.Pickler.dispatch_table.maps)

    return CloudPickler


def _refuses(obj: object) -> bool:
    """Whether ``obj`` cannot be pickled by itself."""
    if len(_common) + len(_extra) != _known:
        _learn()
    try:
        pickler = pickle.Pickler(_sink(_forget), _PROTOCOL)
        pickler.dispatch_table = _table
        pickler.dump(obj)
    except _REFUSALS:
        try:
            _cloud()(_sink(_forget), _PROTOCOL, None).dump(obj)
        except Exception:
            return True
    except Exception:
        return True
    return False


def _make(buffers: list[pickle.PickleBuffer] | None, as_part: _Part | None = None) -> _Tool:
    chunks: list[Any] = []
    keeper = None if buffers is None else _keeper(buffers)
    write = (lambda data: chunks.append(as_part(data))) if as_part else chunks.append
    pickler = pickle.Pickler(_sink(write), _PROTOCOL, buffer_callback=keeper)
    pickler.dispatch_table = _table
    return pickler.dump, chunks, pickler.clear_memo, [] if buffers is None else buffers


class _Whole:
    """Bytes that are a whole message: pickle would copy them into it, and once more out of it."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self._data), (pickle.PickleBuffer(self._data),)


def _sink(write: Callable[[bytes], object]) -> Any:
    return SimpleNamespace(write=write)


def _part(data: Any) -> bytes | memoryview:
    """Return the bytes that pickle has just written the number of: a view, as long as it lives, lets no other be."""
    if type(data) is pickle.PickleBuffer:
        return data.raw()
    return data if type(data) is bytes else memoryview(data)


def _forget(data: bytes) -> None:
    pass


def _join(chunks: list[bytes], last: bytes = b"") -> bytes:
    chunks.append(last)
    data = b"".join(chunks)
    chunks.clear()
    return data


def _keeper(buffers: list[pickle.PickleBuffer]) -> _Keeper:
    def in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            with buffer.raw() as raw:
                small = raw.nbytes < LARGE
        except BufferError:  # not contiguous
            return True
        if not small:
            buffers.append(buffer)
        return small

    return in_band


def _learn() -> None:
    """Let the table know every type that has a reducer."""
    global _known
    kinds = (*_common, *_extra)
    for kind in kinds:
        _table[kind] = _reduce
    _known = len(kinds)  # last: another thread may look at it


def _reduce(obj: Any) -> Any:
    """Reduce with what is registered now."""
    kind = type(obj)
    reduce = _extra.get(kind) or _common.get(kind)
    return obj.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(obj)
