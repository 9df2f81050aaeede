"""`Namespace`: attributes in shared memory."""

from __future__ import annotations

from typing import Any

from forkful.shared.dicts import Dict
from forkful.shared.showing import show


class Namespace:
    """An object whose attributes processes share: `ns.x = 1`, `ns.x`, `del ns.x`.

    Args:
        kwargs: The attributes at first.

    Setting and reading are one step each, and `ns.x += 1` is two: for that, use `Dict.apply`. Values are
    copies, and what a process that is killed leaves behind is whole, as with `Dict`.

    Raises:
        AttributeError: There is no such attribute.
    """

    __slots__ = ("_shared",)
    _shared: Dict[str, Any]

    def __init__(self, /, **kwargs: Any) -> None:
        object.__setattr__(self, "_shared", Dict(kwargs))

    def __getattr__(self, name: str) -> Any:
        if name == "_shared" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        try:
            return self._shared[name]
        except KeyError:
            raise _no_attribute(self, name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._shared[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._shared[name]
        except KeyError:
            raise _no_attribute(self, name) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._shared.keys()]

    def __reduce__(self) -> tuple[Any, ...]:
        return _over, (type(self), self._shared)

    def __repr__(self) -> str:
        return show(self._shared, lambda: text_of(self._shared))


def _no_attribute(namespace: Namespace, name: str) -> AttributeError:
    return AttributeError(f"{type(namespace).__name__!r} object has no attribute {name!r}")


def text_of(shared: Dict[str, Any]) -> str:
    """Return a namespace's attributes as the standard library shows them."""
    shown = sorted(f"{k}={v!r}" for k, v in shared.items() if not k.startswith("_"))
    return f"Namespace({', '.join(shown)})"


def _over(cls: type[Namespace], shared: Dict[str, Any]) -> Namespace:
    self = cls.__new__(cls)
    object.__setattr__(self, "_shared", shared)
    return self
