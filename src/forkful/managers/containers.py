"""A manager's dicts, lists and namespaces at hand."""

from __future__ import annotations

from multiprocessing import managers as _stdlib
from typing import Any, TypeVar

from forkful.managers.athand import AtHand, Proxy
from forkful.shared import Dict, List

_NamespaceProxy: Any = _stdlib.NamespaceProxy

_K = TypeVar("_K")
_V = TypeVar("_V")


class SharedDict(AtHand, Dict[_K, _V], _stdlib.DictProxy):  # type: ignore[type-arg]
    """What `manager.dict()` is: a `forkful.shared.Dict` and a `DictProxy`."""

    _kind, _typeid, _noun = "DictProxy", "dict", "dict"

    def keys(self) -> list[_K]:  # type: ignore[override]
        """Return the keys as they are now."""
        return self._snapshot(0)[1]

    def values(self) -> list[_V]:  # type: ignore[override]
        """Return the values as they are now."""
        return self._snapshot(1)[1]

    def items(self) -> list[tuple[_K, _V]]:  # type: ignore[override]
        """Return the pairs as they are now."""
        return self._snapshot(2)[1]


class SharedList(AtHand, List[_V], _stdlib.ListProxy):  # type: ignore[misc, type-arg]
    """What `manager.list()` is: a `forkful.shared.List` and a `ListProxy`."""

    _kind, _typeid, _noun = "ListProxy", "list", "list"


class SharedNamespace(Proxy, _NamespaceProxy):  # type: ignore[misc]
    """What `manager.Namespace()` is. Attributes that begin with an underscore are each process's own."""

    _kind, _typeid = "NamespaceProxy", "Namespace"

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    @classmethod
    def of_manager(cls, manager: Any, /, **kwds: Any) -> SharedNamespace:
        """Return a new namespace of that manager."""
        shared: SharedDict[str, Any] = SharedDict.of_manager(manager, kwds)
        shared._noun = "Namespace"
        return cls(shared)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._shared,)

    def _callmethod(self, methodname: str, args: tuple[Any, ...] = (), kwds: Any = {}) -> Any:  # noqa: B006
        name, *value = args
        try:
            if methodname == "__getattribute__":
                return self._shared[name]
            if methodname == "__setattr__":
                self._shared[name] = value[0]
            else:
                del self._shared[name]
        except KeyError:
            raise AttributeError(f"'Namespace' object has no attribute {name!r}") from None

    def _getvalue(self) -> _stdlib.Namespace:
        """Return a plain copy."""
        return _stdlib.Namespace(**self._shared.copy())
