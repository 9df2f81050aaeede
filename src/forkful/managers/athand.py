"""A manager's dicts, lists and namespaces in the family's shared memory: proxies that ask no server.

They look like the standard library's proxies (`isinstance`, `repr`, `str`, identity for `==`, lists for `keys()`,
`values()` and `items()`), and do what `forkful.shared` does. A process that is not of the family (of another
library's making, or on another machine) gets a proxy in the old sense: the manager's server holds the
object for it.

The object ends with its manager, as the standard library's does: who uses it later gets `ManagerEnded`.
Nothing is written anywhere for that. Each proxy knows the server's owner word, and each call looks whether
that process lives.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import managers as _stdlib
from multiprocessing.process import current_process
from typing import Any, NoReturn, TypeVar

from forkful.errors import ForkfulError, ManagerEnded
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
        self = rebuild(*args)
        self._end_with(self._server[0])
        return self
    except ForkfulError:  # this process is not of that family
        door: Any = _Door(address, bytes(current_process().authkey))
        door.connect()
        return getattr(door, f"_adopted_{typeid}")(rebuild, args)


def _text(proxy: Any) -> str:
    """Return what a proxy's `str()` is; of what has ended, too, for it may be wanted in a report."""
    try:
        return repr(proxy._getvalue())
    except ManagerEnded:
        return f"{repr(proxy)[:-1]}; '__str__()' failed>"


class _AtHand:
    _kind: str
    _typeid: str
    _noun: str
    _address: Any
    _server: tuple[int, int]
    """The owner word of the server, and its pid."""
    _manager: Any
    copy: Callable[[], Any]
    _end_with: Callable[[int], None]

    @classmethod
    def of_manager(cls: type[_Made], manager: Any, /, *args: Any, **kwds: Any) -> _Made:
        """Return a new object of that manager."""
        self = cls.__new__(cls)
        self._address = manager.address
        self._server = manager._server_word, manager._process.pid
        self._end_with(manager._server_word)
        super(_AtHand, self).__init__(*args, **kwds)
        self._manager = manager  # who has this needs no other reference of the manager
        return self

    def __init__(self, *args: object, **kwds: object) -> None:
        raise TypeError(
            f"only a manager makes its {self._typeid}: call manager.{self._typeid}(...)"
            + (", with dict.fromkeys(...) in it" if self._typeid == "dict" else "")
        )

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = super().__reduce__()
        rebuild, (*args, state) = reduced
        state = {name: value for name, value in state.items() if name != "_manager"}
        return _arrive, (self._address, self._typeid, rebuild, (*args, state))

    def _raise_ended(self) -> NoReturn:
        """For the native side: the server has ended."""
        pid = self._server[1]
        raise ManagerEnded(
            f"this {self._noun} lived with its manager, whose server (pid {pid}) has ended: by shutdown(), at the "
            f"end of its `with` block, or killed. Let the manager live until all who use the {self._noun} are "
            "done (join them first), or take one of forkful.shared, which needs no manager",
            pid=pid,
        )

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
        return _text(self)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class SharedDict(_AtHand, Dict[_K, _V], _stdlib.DictProxy):  # type: ignore[type-arg]
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


class SharedList(_AtHand, List[_V], _stdlib.ListProxy):  # type: ignore[misc, type-arg]
    """What `manager.list()` is: a `forkful.shared.List` and a `ListProxy`."""

    _kind, _typeid, _noun = "ListProxy", "list", "list"


class SharedNamespace(_NamespaceProxy):  # type: ignore[misc]
    """What `manager.Namespace()` is. Attributes that begin with an underscore are each process's own."""

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

    def __deepcopy__(self, memo: Any) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        return f"<NamespaceProxy object, typeid 'Namespace' at {id(self):#x}>"

    def __str__(self) -> str:
        return _text(self)
