"""A manager's dicts, lists and namespaces in the family's shared memory: proxies that ask no server.

They look like the standard library's proxies (`isinstance`, `repr`, `str`, identity for `==`, lists for `keys()`,
`values()` and `items()`), and do what `forkful.shared` does. A process that is not of the family (of another
library's making, or on another machine) gets a proxy in the old sense: the manager's server holds the
object for it.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import managers as _stdlib
from multiprocessing.process import current_process
from typing import Any, TypeVar

from forkful.errors import ForkfulError
from forkful.managers.proxies import DictProxy, ListProxy
from forkful.shared import Dict, List

_NamespaceProxy: Any = _stdlib.NamespaceProxy

_K = TypeVar("_K")
_V = TypeVar("_V")
_Made = TypeVar("_Made", bound="_AtHand")


def adopt(rebuild: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """In the server: become a holder of an object in shared memory."""
    return rebuild(*args)


class _Door(_stdlib.BaseManager):
    """The way to the server for who is not of its family."""


_Door.register("_adopted_dict", proxytype=DictProxy)
_Door.register("_adopted_list", proxytype=ListProxy)


def _arrive(address: Any, typeid: str, rebuild: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return rebuild(*args)
    except ForkfulError:  # this process is not of that family
        door: Any = _Door(address, bytes(current_process().authkey))
        door.connect()
        return getattr(door, f"_adopted_{typeid}")(rebuild, args)


class _AtHand:
    _kind: str
    _typeid: str
    _address: Any
    copy: Callable[[], Any]

    @classmethod
    def of_manager(cls: type[_Made], address: Any, /, *args: Any, **kwds: Any) -> _Made:
        """Return a new object, of the manager whose server is at that address."""
        self = cls.__new__(cls)
        super(_AtHand, self).__init__(*args, **kwds)
        self._address = address
        return self

    def __init__(self, *args: object, **kwds: object) -> None:
        raise TypeError(
            f"only a manager makes its {self._typeid}: call manager.{self._typeid}(...)"
            + (", with dict.fromkeys(...) in it" if self._typeid == "dict" else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self._address, self._typeid, *super().__reduce__())

    def _callmethod(self, methodname: str, args: tuple[Any, ...] = (), kwds: Any = {}) -> Any:  # noqa: B006
        return getattr(self, methodname)(*args, **kwds)

    def _getvalue(self) -> Any:
        """Return a plain copy."""
        return self.copy()

    def __deepcopy__(self, memo: Any) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        return f"<{self._kind} object, typeid {self._typeid!r} at {id(self):#x}>"

    def __str__(self) -> str:
        return repr(self._getvalue())

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class SharedDict(_AtHand, Dict[_K, _V], _stdlib.DictProxy):  # type: ignore[type-arg]
    """What `manager.dict()` is: a `forkful.shared.Dict` and a `DictProxy`."""

    _kind, _typeid = "DictProxy", "dict"

    def keys(self) -> list[_K]:  # type: ignore[override]
        """Return the keys as they are now."""
        return self._snapshot(0)[1]

    def values(self) -> list[_V]:  # type: ignore[override]
        """Return the values as they are now."""
        return self._snapshot(1)[1]

    def items(self) -> list[tuple[_K, _V]]:  # type: ignore[override]
        """Return the pairs as they are now."""
        return self._snapshot(2)[1]


class SharedList(_AtHand, List[_V], _stdlib.ListProxy):  # type: ignore[misc, type-arg]
    """What `manager.list()` is: a `forkful.shared.List` and a `ListProxy`."""

    _kind, _typeid = "ListProxy", "list"


class SharedNamespace(_NamespaceProxy):  # type: ignore[misc]
    """What `manager.Namespace()` is. Attributes that begin with an underscore are each process's own."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    @classmethod
    def of_manager(cls, address: Any, /, **kwds: Any) -> SharedNamespace:
        """Return a new namespace, of the manager whose server is at that address."""
        return cls(SharedDict.of_manager(address, kwds))

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

    def __deepcopy__(self, memo: Any) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        return f"<NamespaceProxy object, typeid 'Namespace' at {id(self):#x}>"

    def __str__(self) -> str:
        return repr(self._getvalue())
