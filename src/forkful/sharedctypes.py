"""Shared ctypes: the standard library's; the locks are those of the context that is given as `ctx`."""

from multiprocessing.sharedctypes import (
    Array,
    RawArray,
    RawValue,
    Value,
    copy,
    synchronized,
)

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]
