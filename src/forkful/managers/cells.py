"""A manager's `Value` at hand: any object, in a shared list of its own."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import managers as _stdlib
from typing import Any, TypeVar

from forkful.managers.athand import Above
from forkful.managers.containers import SharedList

_T = TypeVar("_T")
_StdlibValue: Any = _stdlib.Value


class SharedValue(Above, _stdlib.ValueProxy[_T]):
    """What `manager.Value()` is: a value and, for `str()`, its type code."""

    _kind, _typeid = "ValueProxy", "Value"

    @classmethod
    def of_manager(
        cls, manager: Any, /, typecode: Any, value: Any, lock: object = True
    ) -> SharedValue[Any]:
        """Return a new value of that manager. The type code means nothing; nor does `lock`."""
        shared: SharedList[Any] = SharedList.of_manager(manager, [value, typecode])
        shared._noun = "Value"
        return cls(shared)

    def get(self) -> _T:
        """Return a copy of the value."""
        value: _T = self._shared[0]
        return value

    def set(self, value: _T) -> None:
        """Set the value."""
        self._shared[0] = value

    value = property(get, set)

    def apply(self, func: Callable[[_T], _T], /) -> _T:
        """Set the value to `func(it)`, as one step for all processes, and return that. See `List.apply`."""
        new: _T = self._shared.apply(0, func)
        return new

    def _getvalue(self) -> Any:
        """Return a plain copy."""
        value, typecode = self._shared.copy()
        return _StdlibValue(typecode, value)
