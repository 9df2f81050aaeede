"""Every public callable has the standard library's parameters: names, order, kinds, defaults.

What forkful adds are keyword-only parameters with a default: `ADDED` lists them all. Where the
standard library asks for a `ctx`, forkful's is optional.
"""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import forkful

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(multiprocessing.__path__, "multiprocessing.")
    if not module.name.endswith("win32")
)

# Keyword-only parameters that the standard library does not have, by forkful's callables.
_LIMITS = ["timeout", "retries", "retry_on", "backoff"]
ADDED: dict[str, list[str]] = {
    "Context.JoinableQueue": ["redeliver"],
    "Context.Pool": ["max_memory_per_child"],
    "JoinableQueue": ["redeliver"],
    "JoinableQueue.join": ["timeout"],
    "Pool": ["max_memory_per_child"],
    "Pool.apply": _LIMITS,
    "Pool.apply_async": _LIMITS,
    "Pool.imap": _LIMITS,
    "Pool.imap_unordered": _LIMITS,
    "Pool.map": _LIMITS,
    "Pool.map_async": _LIMITS,
    "Pool.starmap": _LIMITS,
    "Pool.starmap_async": _LIMITS,
    "Process.terminate": ["tree"],
}

_BY_POOLS = "made by pools only"
DIFFERENT: dict[str, str] = {
    "Pool": "forkful.Pool is the class itself, which has a context, as multiprocessing.pool.Pool",
    "context.DefaultContext": "there is one; its start method is set and not its context",
    "managers.SharedMemoryManager": "says which arguments *args and **kwargs stand for",
    "pool.ApplyResult": _BY_POOLS,
    "pool.AsyncResult": _BY_POOLS,
    "pool.MapResult": _BY_POOLS,
    "pool.IMapIterator": _BY_POOLS,
    "pool.IMapUnorderedIterator": _BY_POOLS,
    "pool.RemoteTraceback": _BY_POOLS,
    "pool.worker": "a worker's program, which no caller has a use for; here a module of that name",
}

NOUNS: dict[str, Callable[[Any], Any]] = {
    "Lock": lambda ctx: ctx.Lock(),
    "RLock": lambda ctx: ctx.RLock(),
    "Semaphore": lambda ctx: ctx.Semaphore(),
    "BoundedSemaphore": lambda ctx: ctx.BoundedSemaphore(),
    "Condition": lambda ctx: ctx.Condition(),
    "Event": lambda ctx: ctx.Event(),
    "Barrier": lambda ctx: ctx.Barrier(2),
    "Queue": lambda ctx: ctx.Queue(),
    "JoinableQueue": lambda ctx: ctx.JoinableQueue(),
    "SimpleQueue": lambda ctx: ctx.SimpleQueue(),
    "Process": lambda ctx: ctx.Process(),
    "Value": lambda ctx: ctx.Value("i"),
    "Array": lambda ctx: ctx.Array("i", 2),
}


def differences(theirs: Any, ours: Any) -> tuple[list[str], list[str]]:
    """Compare two callables: what is wrong, and which parameters forkful adds."""
    if theirs is ours:
        return [], []
    have = inspect.signature(ours).parameters
    want = inspect.signature(theirs).parameters
    wrong = []
    added = [n for n, p in have.items() if n not in want and n != "ctx"]
    for name in added:
        if have[name].kind is not inspect.Parameter.KEYWORD_ONLY or is_required(have[name]):
            wrong.append(f"{name} is added, and not keyword-only with a default")
    for name, p in want.items():
        if name not in have:
            wrong.append(f"{name} is missing")
        elif name not in ("ctx", "self") and not is_alike(have[name], p):
            wrong.append(f"{have[name]} instead of {p}")
    order = [name for name in have if name in want]
    if order != [name for name in want if name in have]:
        wrong.append(f"the order is {order}")
    context = have.get("ctx")
    if context and context.kind is context.KEYWORD_ONLY and is_required(context):
        wrong.append("ctx is required")
    return wrong, added


def is_alike(a: inspect.Parameter, b: inspect.Parameter) -> bool:
    return (a.kind, a.default) == (b.kind, b.default)


def is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty


def members(name: str, theirs: Any, ours: Any) -> Iterator[tuple[str, Any, Any]]:
    """The public methods of a class or instance, by what a program writes."""
    for attribute in dir(theirs):
        if attribute[0] == "_" or isinstance(inspect.getattr_static(theirs, attribute), property):
            continue
        if callable(getattr(theirs, attribute)):
            yield f"{name}.{attribute}", getattr(theirs, attribute), getattr(ours, attribute, None)


def module_callables(module: str) -> Iterator[tuple[str, Any, Any]]:
    theirs = importlib.import_module(module)
    ours = importlib.import_module(module.replace("multiprocessing", "forkful", 1))
    for name, value in vars(theirs).items():
        if name[0] == "_" or getattr(value, "__module__", None) != theirs.__name__:
            continue
        if not callable(value):
            continue
        path = f"{module.partition('.')[2]}.{name}"
        mine = getattr(ours, name, None)
        yield path, value, mine
        if isinstance(value, type) and mine is not None:
            yield from members(path, value, mine)


def all_callables() -> Iterator[tuple[str, Any, Any]]:
    """Every public callable by its name: the standard library's, and forkful's or None."""
    for name in multiprocessing.__all__:
        if callable(getattr(multiprocessing, name)):
            yield name, getattr(multiprocessing, name), getattr(forkful, name, None)
    for module in MODULES:
        yield from module_callables(module)
    for method in (None, *multiprocessing.get_all_start_methods()):
        theirs, ours = multiprocessing.get_context(method), forkful.get_context(method)
        yield from members(f"get_context({method!r})", theirs, ours)
    theirs, ours = multiprocessing.get_context("fork"), forkful.get_context("fork")
    for name, make in NOUNS.items():
        yield from members(f"{name}()", make(theirs), make(ours))


def test_every_public_callable_is_there_with_the_same_parameters() -> None:
    wrong: dict[str, list[str]] = {}
    added: dict[str, list[str]] = {}
    absent = []
    own = set()
    for name, theirs, ours in all_callables():
        if ours is None:
            absent.append(name)
        elif name in DIFFERENT:
            assert theirs is not ours, f"{name} is not different"
        else:
            try:
                found, more = differences(theirs, ours)
            except (TypeError, ValueError) as error:  # it has no signature
                found, more = [str(error)], []
            own |= {name} if theirs is not ours else set()
            if found:
                wrong[name] = found
            if more:
                added[ours.__qualname__] = more
    assert (wrong, absent) == ({}, [])
    assert added == ADDED
    assert len(own) > 300


def forkfuls_own() -> Iterator[tuple[str, Any]]:
    """Every public callable that is forkful's own, also without a namesake, by its name."""
    modules = [module.replace("multiprocessing", "forkful", 1) for module in MODULES]
    for module in (forkful, *map(importlib.import_module, modules)):
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            found = {name: value} if callable(value) else {}
            if isinstance(value, type):
                public = [n for n in dir(value) if n[0] != "_" and callable(getattr(value, n))]
                found |= {f"{name}.{n}": getattr(value, n) for n in public}
            for path, member in found.items():
                where = getattr(member, "__module__", None)
                where = where or getattr(member, "__objclass__", type(None)).__module__
                exception = isinstance(member, type) and issubclass(member, BaseException)
                if where.startswith("forkful") and not exception:
                    yield path, member


def test_help_finds_a_signature_and_a_docstring_of_everything() -> None:
    own = dict(forkfuls_own())
    assert {"Lock.recover", "Queue.put", "Process.result", "Pool.outcomes", "Value"} <= own.keys()
    mute = []
    for name, value in own.items():
        try:
            inspect.signature(value)
        except ValueError:
            mute.append(f"{name} has no signature")
        if not inspect.getdoc(value):
            mute.append(f"{name} has no docstring")
    assert mute == []


def test_a_pool_has_the_parameters_of_the_class_in_the_pool_module() -> None:
    theirs = importlib.import_module("multiprocessing.pool").Pool
    assert differences(theirs, forkful.Pool) == ([], ADDED["Pool"])


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_its_namesake_exports(name: str) -> None:
    theirs = importlib.import_module(name)
    ours = importlib.import_module(name.replace("multiprocessing", "forkful", 1))
    assert set(getattr(theirs, "__all__", ())) <= set(getattr(ours, "__all__", ()))
    for exported in getattr(ours, "__all__", ()):
        getattr(ours, exported)


def test_the_package_exports_what_multiprocessing_exports() -> None:
    assert set(multiprocessing.__all__) <= set(forkful.__all__)
    assert set(forkful.__all__) <= set(dir(forkful))
    names: dict[str, Any] = {}
    exec("from forkful import *", names)
    assert set(forkful.__all__) <= names.keys()


@pytest.mark.parametrize(
    "name", ["ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError"]
)
def test_exceptions_are_the_same_classes(name: str) -> None:
    theirs = getattr(multiprocessing, name)
    assert getattr(forkful, name) is theirs
    assert getattr(forkful.get_context("spawn"), name) is theirs
    assert getattr(importlib.import_module("forkful.context"), name) is theirs


# ---- the comparison can fail -------------------------------------------------------------------


def theirs(self: Any, obj: Any, block: bool = True, *, ctx: Any) -> None: ...


def test_a_sound_addition_is_told_and_no_fault() -> None:
    def ours(
        self: Any, obj: Any, block: bool = True, *, ctx: Any = None, more: int = 0
    ) -> None: ...

    assert differences(theirs, ours) == ([], ["more"])


@pytest.mark.parametrize(
    ("ours", "fault"),
    [
        (lambda self, obj, block=False, *, ctx=None: 0, "block=False instead of"),
        (lambda self, item, block=True, *, ctx=None: 0, "obj is missing"),
        (lambda self, block=True, obj=0, *, ctx=None: 0, "the order is"),
        (lambda self, obj, block=True, more=0, *, ctx=None: 0, "more is added"),
        (lambda self, obj, block=True, *, more, ctx=None: 0, "more is added"),
        (lambda self, obj, *, block=True, ctx=None: 0, "block=True instead of"),
        (lambda self, obj, block=True, *, ctx: 0, "ctx is required"),
    ],
)
def test_a_difference_is_found(ours: Callable[..., object], fault: str) -> None:
    wrong, _ = differences(theirs, ours)
    assert any(fault in text for text in wrong)
