"""`Dict`: a dict in shared memory."""

from __future__ import annotations

from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from typing import Any, TypeVar

from forkful import _native
from forkful.family import Handle
from forkful.shared import keys as _keys
from forkful.shared.own import count_own
from forkful.shared.showing import show

_K = TypeVar("_K")
_V = TypeVar("_V")
_MISSING: Any = object()


class Dict(Handle, _native.Dict[_K, _V], MutableMapping[_K, _V]):
    """A dict that processes share. Methods mean what they mean for a dict; its order, too.

    Args:
        args, kwargs: As of `dict`.

    Values are copies: `d["k"].append(1)` changes a copy and nothing else; `d.apply` changes the value.
    Each method is one step for all processes, and so is `|=`.
    `keys()`, `values()` and `items()` are views of the dict as it was at the call. Iteration raises
    RuntimeError when the dict has changed its size meanwhile, as a dict's does: over `keys()` it goes on.

    Keys are found by `==`, as in a dict. Strings, bytes, numbers, None and tuples of these are found at
    once, and so is what is equal to one of the numbers; for keys of other types (and tuples nested deeper
    than 50) every such key is compared, so a dict should have few of them. Unlike in a dict, what is equal
    to a string, bytes, None or a tuple and is not one (`collections.UserString`) is another key.

    Killed in the middle of a method, a process has done all of it or nothing (of `update` and `|=`: some of
    the pairs, each of them whole), and nobody waits for it. A
    dict that holds itself, also by way of others, is freed with the family.

    Raises:
        KeyError, TypeError: As of a dict.
        MemoryError: The family's shared memory has no room left; nothing has changed (by `update` and `|=`:
            perhaps some of the pairs).
        PicklingError, AttributeError, TypeError: A key or a value cannot be pickled.
    """

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self._create()
        self.update(*args, **kwargs)

    @classmethod
    def fromkeys(cls, iterable: Iterable[_K], value: Any = None, /) -> Dict[_K, Any]:
        """Return a new shared dict with these keys, each with a copy of the value."""
        return cls(dict.fromkeys(iterable, value))

    def apply(self, key: _K, func: Callable[[_V], _V], default: _V = _MISSING, /) -> _V:
        """Set a key to `func(its value)`, as one step for all processes, and return that.

        No lock is held while `func` runs. If another process has set the key meanwhile, `func` is called
        again with what is there then: let it have no other effects. If it raises, or its process dies,
        nothing has changed.

        Args:
            key: Whose value is changed.
            func: Given the value, returns a new one.
            default: What `func` is given if the key is not there.

        Raises:
            KeyError: The key is not there, and no default was given.
            RuntimeError: `func` sets that key itself, whenever it is called.
        """
        own = 0
        while True:
            seen = self._peek(key)
            if seen is None and default is _MISSING:
                raise KeyError(key)
            tag, old = (0, default) if seen is None else seen
            new = func(old)
            done = self._swap(key, tag, new)
            if done:
                return new
            own = count_own(own, done, func)

    def update(self, other: Any = (), /, **kwargs: Any) -> None:
        """Set all pairs of a mapping, or of an iterable of pairs, and the named ones, in their order.

        It is one step for all processes. All pairs are read and pickled first: if that raises, nothing has
        changed (a dict has kept what came before). Two things may leave the first pairs set, each of
        them whole, and the others not: that memory does not suffice, and death in the middle.
        """
        pairs: dict[Any, Any]
        if isinstance(other, Dict):
            pairs = other.copy()
        elif hasattr(other, "keys"):
            pairs = {key: other[key] for key in other.keys()}  # noqa: SIM118
        else:
            pairs = dict(other)
        pairs.update(kwargs)
        self._set_all(list(pairs.items()))

    def keys(self) -> KeysView[_K]:
        """Return a view of the keys as they are now."""
        return dict.fromkeys(self._snapshot(0)[1]).keys()

    def values(self) -> ValuesView[_V]:
        """Return a view of the values as they are now."""
        return dict(enumerate(self._snapshot(1)[1])).values()

    def items(self) -> ItemsView[_K, _V]:
        """Return a view of the pairs as they are now."""
        return self.copy().items()

    def copy(self) -> dict[_K, _V]:
        """Return a plain dict of the pairs as they are now."""
        return dict(self._snapshot(2)[1])

    def __iter__(self) -> Iterator[_K]:
        return self._walk(self._snapshot(0)[1])

    def __reversed__(self) -> Iterator[_K]:
        return self._walk(self._snapshot(0)[1][::-1])

    def _walk(self, keys: list[_K]) -> Iterator[_K]:
        for key in keys:
            if len(self) != len(keys):
                raise RuntimeError("dictionary changed size during iteration")
            yield key

    def __or__(self, other: Any) -> dict[Any, Any]:
        return self.copy() | _plain(other) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return _plain(other) | self.copy() if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> Dict[_K, _V]:
        self.update(other)
        return self

    def __repr__(self) -> str:
        return show(self, lambda: f"Dict({self.copy()!r})")

    def _resolve(self, key: Any) -> tuple[Any, Any]:
        """For the native side: which key an object of another type is."""
        return _keys.resolve(key, lambda: self._snapshot(3))

    def _keep_proxies(self, data: bytes, buffers: Any) -> None:
        """For the native side: a value has proxies of a manager inside."""
        from forkful.shared.proxies import keep

        keep(data, buffers)


def _plain(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    return mapping.copy() if isinstance(mapping, Dict) else dict(mapping)
