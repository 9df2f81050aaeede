"""`with` on what is native: `__enter__` and `__exit__` are methods as others are, save that they are quick."""

from __future__ import annotations

import contextlib
import copy
import gc
import inspect
import pickle
import pydoc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import forkful
from forkful import _native

KINDS: dict[str, Callable[[], Any]] = {
    "Lock": forkful.Lock,
    "RLock": forkful.RLock,
    "Semaphore": forkful.Semaphore,
    "Condition": forkful.Condition,
    "Value": lambda: forkful.Value("i", 0),
}
NATIVE = [_native.Lock, _native.RLock, _native.Semaphore, _native.Guard]


def is_free(thing: Any) -> bool:
    free = []
    thread = threading.Thread(target=lambda: free.append(thing.acquire(False)))
    thread.start()
    thread.join()
    return bool(free[0])


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_taken_inside_and_free_behind(kind: str) -> None:
    thing = KINDS[kind]()
    for _ in range(100):
        with thing:
            assert not is_free(thing)
    with pytest.raises(ZeroDivisionError), thing:
        raise ZeroDivisionError
    assert is_free(thing)


def test_more_at_once_than_are_kept_to_be_used_again() -> None:
    locks = [forkful.Lock() for _ in range(50)]
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            assert not any(map(is_free, locks))
        bound = [lock.__enter__ for lock in locks]
        for lock, enter in zip(locks, bound, strict=True):
            enter()
            lock.__exit__(None, None, None)
            assert enter.__self__ is lock
        del bound, enter


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_of_what_was_used(kind: str) -> None:
    thing = KINDS[kind]()
    method = thing.__enter__
    counts = sys.getrefcount(thing), sys.getrefcount(type(method))
    del method
    for _ in range(1000):
        with thing:
            pass
    method = thing.__enter__
    assert (sys.getrefcount(thing), sys.getrefcount(type(method))) == counts
    del method
    ref = weakref.ref(thing)
    del thing
    gc.collect()
    assert ref() is None


def test_a_lock_may_go_within_its_own_with() -> None:
    lock = forkful.Lock()
    ref = weakref.ref(lock)
    with lock:
        del lock
        assert ref() is not None
    assert ref() is None


@pytest.mark.parametrize("cls", NATIVE, ids=lambda cls: cls.__name__)
def test_they_tell_of_themselves_as_methods_do(cls: Any) -> None:
    for name, shown in [("__enter__", "(self, /)"), ("__exit__", "(self, /, *exc)")]:
        method = getattr(cls, name)
        assert method is cls.__dict__[name] is getattr(cls, name)
        assert (method.__name__, method.__qualname__) == (name, f"{cls.__name__}.{name}")
        assert method.__objclass__ is cls
        assert method.__doc__
        assert "--" not in method.__doc__
        assert inspect.isroutine(method)
        assert str(inspect.signature(method)) == shown
        assert f"{name}{shown}" in pydoc.plain(pydoc.render_doc(cls))
        assert repr(method) == f"<method '{name}' of 'forkful._native.{cls.__name__}' objects>"


def test_a_bound_one_is_equal_to_the_like_and_travels_with_its_object() -> None:
    lock, other = forkful.Lock(), forkful.Lock()
    assert lock.__enter__ == lock.__enter__
    assert hash(lock.__enter__) == hash(lock.__enter__)
    assert lock.__enter__ != other.__enter__
    assert lock.__enter__ != lock.__exit__
    assert lock.__enter__ != 1
    assert "method __enter__ of " in repr(lock.__enter__)
    pickle.loads(pickle.dumps(lock.__enter__))()
    assert not lock.acquire(False)
    assert pickle.loads(pickle.dumps(_native.Lock.__exit__)) is _native.Lock.__exit__
    assert copy.deepcopy(_native.Lock.__enter__) is _native.Lock.__enter__


def test_a_bound_one_tells_of_itself_as_methods_do() -> None:
    lock = forkful.Lock()
    assert (lock.__enter__.__name__, lock.__enter__.__doc__) == ("__enter__", "acquire()")
    assert inspect.isroutine(lock.__enter__)
    assert str(inspect.signature(lock.__exit__)) == "(*exc)"
    enter = lock.__enter__
    assert enter.__get__(1) is enter
    ref = weakref.ref(enter)
    assert ref() is enter
    del enter
    assert ref() is None


def test_an_object_that_keeps_one_of_its_own_is_collected() -> None:
    lock = forkful.Lock()
    lock.leave = lock.__exit__  # type: ignore[attr-defined]
    ref = weakref.ref(lock)
    del lock
    assert ref() is not None
    gc.collect()
    assert ref() is None


ANOTHER_MODULE = """
import gc, importlib.util
from forkful import _native
spec = importlib.util.spec_from_file_location("forkful._native", _native.__file__)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
method = module.Semaphore.__enter__
del module, spec
gc.collect()
print(repr(method))
try:
    method(1)
except TypeError as e:
    print(e)
"""


def test_one_outlives_its_module() -> None:
    # In a process of its own, as forkful works with the module that was made last.
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_MODULE], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "<method '__enter__' of 'forkful._native.Semaphore' objects>",
        "__enter__() needs a forkful._native.Semaphore object",
    ]


def test_they_are_called_unbound_and_by_subclasses() -> None:
    class Counting(type(forkful.Lock())):  # type: ignore[misc]
        entered = 0

        def __enter__(self) -> bool:
            self.entered += 1
            return bool(super().__enter__())

    lock = Counting()
    with lock:
        assert lock.entered == 1
    assert _native.Lock.__enter__(lock) is True
    _native.Lock.__exit__(lock, None, None, None)
    assert lock.acquire(False)


def test_wrong_calls_are_refused() -> None:
    lock = forkful.Lock()
    with pytest.raises(TypeError, match="takes no arguments"):
        lock.__enter__(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="no keyword arguments"):
        lock.__enter__(x=1)  # type: ignore[call-arg]
    for wrong in [(), (1,), (forkful.RLock(),)]:
        with pytest.raises(TypeError, match=r"needs a forkful\._native\.Lock object"):
            _native.Lock.__enter__(*wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"needs a forkful\._native\.Lock object"):
        _native.Lock.__dict__["__enter__"].__get__(1)
    with pytest.raises(TypeError):
        type(lock.__enter__)()
    assert lock.acquire(False)
