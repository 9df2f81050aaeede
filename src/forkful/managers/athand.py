"""What a manager's objects in the family's shared memory have in common: proxies that ask no server.

They look like the standard library's proxies (`isinstance`, `repr`, `str`, identity for `==`, lists for `keys()`,
`values()` and `items()`), and do what `forkful.shared` does. A process that is not of the family (of another
library's making, or on another machine) gets a proxy in the old sense: the manager's server holds the
object for it.

The object ends with its manager, as the standard library's does: who uses it later gets `ManagerEnded`.
Nothing is written anywhere for that. Each proxy knows the server's owner word, and each call looks whether
that process lives.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from multiprocessing import managers as _stdlib
from multiprocessing.process import current_process
from typing import Any, NoReturn, TypeVar

from forkful.errors import ForkfulError, ManagerEnded
from forkful.managers.proxies import DictProxy, ListProxy

_Made = TypeVar("_Made", bound="AtHand")


SERVED = {
    "dict": DictProxy,
    "list": ListProxy,
    "Value": _stdlib.ValueProxy,
    "Array": _stdlib.ArrayProxy,
}
"""By the type's name: the proxies of who is not of the family."""


def adopt(rebuild: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """In the server: become a holder of an object in shared memory."""
    held = rebuild(*args)
    held._held = True
    return held


class _Door(_stdlib.BaseManager):
    """The way to the server for who is not of its family."""


for _typeid, _proxytype in SERVED.items():
    _Door.register(f"_adopted_{_typeid}", proxytype=_proxytype)


def _arrive(address: Any, typeid: str, rebuild: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        self = rebuild(*args)
        self._tie()
        return self
    except ForkfulError:  # this process is not of that family
        door: Any = _Door(address, bytes(current_process().authkey))
        door.connect()
        return getattr(door, f"_adopted_{typeid}")(rebuild, args)


class Proxy:
    """How a proxy shows itself, and travels.

    One that the server holds for others shows what it stands for, and is sent as a copy of that.
    """

    _kind: str
    _typeid: str
    _address: Any
    _held = False
    _getvalue: Callable[[], Any]
    _parts: Callable[[], tuple[Callable[..., Any], tuple[Any, ...]]]
    """Returns what makes it again in another process of the family, not yet tied to the manager."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self._held:
            return copy.copy, (self._getvalue(),)
        return _arrive, (self._address, self._typeid, *self._parts())

    def _callmethod(self, methodname: str, args: tuple[Any, ...] = (), kwds: Any = {}) -> Any:  # noqa: B006
        return getattr(self, methodname)(*args, **kwds)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._getvalue()

    def __repr__(self) -> str:
        if self._held:
            return repr(self._getvalue())
        return f"<{self._kind} object, typeid {self._typeid!r} at {id(self):#x}>"

    def __str__(self) -> str:
        try:
            return repr(self._getvalue())
        except ManagerEnded:  # it may be wanted in a report
            return f"{repr(self)[:-1]}; '__str__()' failed>"


class AtHand(Proxy):
    """A container of `forkful.shared` that a manager has made."""

    _noun: str
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
        self._tie()
        super(AtHand, self).__init__(*args, **kwds)
        self._manager = manager  # who has this needs no other reference of the manager
        return self

    def __init__(self, *args: object, **kwds: object) -> None:
        raise TypeError(
            f"only a manager makes its {self._typeid}: call manager.{self._typeid}(...)"
            + (", with dict.fromkeys(...) in it" if self._typeid == "dict" else "")
        )

    def _parts(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        reduced: Any = super(Proxy, self).__reduce__()
        rebuild, (*args, state) = reduced
        state = {name: value for name, value in state.items() if name != "_manager"}
        return rebuild, (*args, state)

    def _tie(self) -> None:
        """End with the manager."""
        self._end_with(self._server[0])

    def _raise_ended(self) -> NoReturn:
        """For the native side: the server has ended."""
        pid = self._server[1]
        raise ManagerEnded(
            f"this {self._noun} lived with its manager, whose server (pid {pid}) has ended: by shutdown(), at the "
            f"end of its `with` block, or killed. Let the manager live until all who use the {self._noun} are "
            "done (join them first), or take one of forkful.shared, which needs no manager",
            pid=pid,
        )

    def _getvalue(self) -> Any:
        """Return a plain copy."""
        return self.copy()

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Above(Proxy):
    """A proxy whose state is in a container at hand.

    Args:
        shared: The container.
        own: What else a process must know of it. It never changes.
    """

    def __init__(self, shared: Any, *own: Any) -> None:
        self._shared = shared
        self._own = own

    @property
    def _address(self) -> Any:
        return self._shared._address

    def _parts(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _above, (type(self), self._shared._parts(), self._own)

    def _tie(self) -> None:
        self._shared._tie()


def _above(cls: type[Above], parts: tuple[Callable[..., Any], Any], own: tuple[Any, ...]) -> Above:
    rebuild, args = parts
    return cls(rebuild(*args), *own)
