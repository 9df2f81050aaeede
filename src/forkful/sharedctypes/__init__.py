"""Shared ctypes: `multiprocessing.sharedctypes` in the family's memory and with forkful's locks."""

from typing import TYPE_CHECKING

from forkful.stdlib import names_of

if TYPE_CHECKING:  # the stubs of the standard library tell which type gives which wrapper
    from multiprocessing.sharedctypes import (
        Array,
        RawArray,
        RawValue,
        Synchronized,
        SynchronizedArray,
        SynchronizedBase,
        SynchronizedString,
        Value,
        copy,
        synchronized,
    )
else:
    from forkful.sharedctypes.memory import RawArray, RawValue, copy
    from forkful.sharedctypes.synchronized import (
        Array,
        Synchronized,
        SynchronizedArray,
        SynchronizedBase,
        SynchronizedString,
        Value,
        synchronized,
    )

    __getattr__ = names_of("sharedctypes")

__all__ = [
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
]
