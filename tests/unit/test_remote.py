"""Exceptions of a real other process: they arrive whole, whatever they are made of."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import json
import multiprocessing
import multiprocessing.pool
import os
import pdb
import pickle
import subprocess
import sys
import threading
import traceback
import urllib.error
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forkful
from forkful import RemoteError
from forkful.remote import (
    RemoteTraceback,
    format_remote,
    pack,
    packing,
    process_label,
    type_name,
    unpack,
    variables,
)
from tests.unit import evil

ROOT = Path(__file__).parents[2]
WHERE = "Child-1 (pid 4711)"

CHILD = """
import pickle, sys, traceback
from forkful import remote
from tests.unit import evil

class OfMain(Exception):
    pass

def of_main():
    return evil.raised(OfMain("of main"))

sent = {}
for name, make in {**evil.MAKERS, "class of __main__": of_main}.items():
    exc = make()
    data = remote.pack(exc, WHERE)
    try:
        text = "".join(traceback.format_exception(exc))
    except BaseException:
        text = None
    sent[name] = data, text
sys.stdout.buffer.write(pickle.dumps(sent))
"""

NAMES = [*evil.MAKERS, "class of __main__"]
EVERY = pytest.mark.parametrize("name", NAMES)

CHANGED = {
    # Its text when printed is not the child's, because:
    "attribute unpickles badly",  # a note tells of the loss
    "argument unpickles badly",
    "unpicklable attribute",
    "unpicklable argument",
    "evil attribute",
    "HTTPError",  # so does its open file
    "deep argument",
    "__reduce__ raises",
    "__reduce__ exits",
    "rebuilding raises",
    "rebuilding interrupts",
    "rebuilds to text",
    "__setstate__ raises",
    "local class",  # it is a RemoteError
    "class of __main__",
    "evil access",  # not even the child can format it
    "evil class",
    "long chain",  # it is cut
    "deep groups",
    "recursion of 10000",
    "recursion by turns",
    "falsy",  # the traceback module takes it for nothing
}


@pytest.fixture(scope="module")
def sent() -> dict[str, tuple[bytes, str | None]]:
    """Each exception as another process packed it, and as it was printed there."""
    child = subprocess.run(
        [sys.executable, "-c", f"WHERE = {WHERE!r}\n{CHILD}"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{Path(forkful.__file__).parents[1]}:{ROOT}"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr.decode()
    found: dict[str, tuple[bytes, str | None]] = pickle.loads(child.stdout)
    return found


@pytest.fixture
def arrive(sent: dict[str, tuple[bytes, str | None]]) -> Callable[[str], Any]:
    return lambda name: unpack(sent[name][0])


def function_names(exc: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(exc.__traceback__)]


def notes(exc: BaseException) -> list[str]:
    return list(vars(exc).get("__notes__", []))


def chain(exc: BaseException | None) -> list[BaseException]:
    """What is printed, from below; a circle is cut."""
    names = ("__cause__", "__context__", "__suppress_context__")
    get = {name: vars(BaseException)[name].__get__ for name in names}  # no class is in the way
    found: list[BaseException] = []
    while exc is not None and not any(exc is each for each in found):
        found.append(exc)
        cause, context = get["__cause__"](exc), get["__context__"](exc)
        exc = cause if cause is not None or get["__suppress_context__"](exc) else context
    return found


# ---- what holds for all ----------------------------------------------------------------------


@EVERY
def test_it_arrives_and_says_where_it_was_raised(name: str, arrive: Callable[[str], Any]) -> None:
    exc = arrive(name)
    assert issubclass(type(exc), BaseException)
    if name == "circle of causes":  # a chain without an end
        assert notes(exc) == [f"raised in {WHERE}"]
        return
    (origin,) = (link for link in chain(exc) if type(link) is RemoteTraceback)
    assert origin.where == WHERE
    assert str(origin) == f"what follows was raised in {WHERE}"


@EVERY
def test_it_can_be_printed(name: str, arrive: Callable[[str], Any]) -> None:
    exc = arrive(name)
    if name in ("evil access", "deep groups"):  # it cannot be printed where it was raised either
        return
    with contextlib.redirect_stderr(io.StringIO()) as out:
        traceback.print_exception(exc)
        sys.__excepthook__(type(exc), exc, exc.__traceback__)
    assert out.getvalue()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CHANGED])
def test_its_text_is_that_of_the_other_process(
    name: str, sent: dict[str, tuple[bytes, str | None]]
) -> None:
    data, text = sent[name]
    exc = unpack(data)
    if name.startswith("circle of causes"):
        text = text and text + f"raised in {WHERE}\n"
    assert format_remote(exc) == text


@EVERY
def test_it_can_go_on_to_another_process(name: str, arrive: Callable[[str], Any]) -> None:
    once = arrive(name)
    twice = unpack(pack(once, "Middle (pid 2)"))
    assert type(twice) is type(once)
    if name not in ("evil access", "evil class"):
        assert type_name(twice) == type_name(once)
        assert function_names(twice) == function_names(once)


@EVERY
def test_no_raised_exception_loses_its_frames(name: str, arrive: Callable[[str], Any]) -> None:
    tb = BaseException.__dict__["__traceback__"].__get__(arrive(name))
    made_only = {"not raised", "deep groups", "wide group", "evil class"}
    assert (tb is None) == (name in made_only)


# ---- type, arguments, attributes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "args"),
    [
        ("plain", ValueError, ("x", 1, None, b"y", 2.5, True)),
        ("no arguments", ValueError, ()),
        ("arguments of all kinds", ValueError, ([1, {"a": (2,)}], Path("/x"), 10**50)),
        ("KeyError", KeyError, ("missing",)),
        ("KeyboardInterrupt", KeyboardInterrupt, ()),
        ("KeyboardInterrupt subclass", evil.MyInterrupt, ("x",)),
        ("GeneratorExit", GeneratorExit, ()),
        ("two arguments", evil.TwoArguments, ("gone (404)",)),
        ("keyword only", evil.KeywordOnly, ()),
        ("__init__ raises", evil.InitRaises, ("x",)),
        ("__new__ raises", evil.NewRaises, ("x", "y")),
        ("__reduce__ raises", evil.ReduceRaises, ("x", 1)),
        ("__reduce__ exits", evil.ReduceExits, ("x",)),
        ("own __reduce__", evil.OwnReduce, ("x",)),
        ("rebuilding raises", evil.RebuildRaises, ("x", 1)),
        ("rebuilding interrupts", evil.RebuildInterrupts, ("x",)),
        ("rebuilds to text", evil.RebuildsToText, ("x",)),
        ("__setstate__ raises", evil.StateRaises, ("x",)),
        ("falsy", evil.Falsy, ("x",)),
        ("evil text", evil.EvilText, ("x",)),
    ],
)
def test_type_and_arguments_are_kept(
    name: str, kind: type, args: tuple[object, ...], arrive: Callable[[str], Any]
) -> None:
    exc = arrive(name)
    assert (type(exc), exc.args) == (kind, args)


@pytest.mark.parametrize(
    ("name", "kind", "attributes"),
    [
        ("SystemExit", SystemExit, {"code": 3}),
        ("SystemExit subclass", evil.MyExit, {"code": "bye"}),
        ("StopIteration", StopIteration, {"value": 7}),
        (
            "FileNotFoundError",
            FileNotFoundError,
            {"errno": errno.ENOENT, "filename": "/no/such/file", "filename2": None},
        ),
        (
            "two file names",
            FileNotFoundError,
            {"filename": "/no/such", "filename2": "/no/where"},
        ),
        ("BlockingIOError", BlockingIOError, {"errno": 11, "characters_written": 5}),
        ("OSError without errno", OSError, {"errno": None, "args": ("text",)}),
        (
            "OSError subclass",
            evil.MyOSError,
            {"errno": 28, "filename": "/disk", "extra": ["/disk"]},
        ),
        ("OSError subclass without super", evil.BareOSError, {"errno": None, "code": 5}),
        (
            "UnicodeDecodeError",
            UnicodeDecodeError,
            {"encoding": "utf-8", "object": b"a\xff", "start": 1, "end": 2},
        ),
        ("UnicodeEncodeError", UnicodeEncodeError, {"object": "ä", "start": 0}),
        (
            "SyntaxError",
            SyntaxError,
            {"filename": "some.py", "lineno": 1, "offset": 5, "text": "x = = 1\n"},
        ),
        ("changed SyntaxError", SyntaxError, {"filename": "other.py"}),
        ("ImportError", ModuleNotFoundError, {"name": "no_such_module_anywhere"}),
        ("NameError", NameError, {"name": "no_such_name"}),
        ("AttributeError", AttributeError, {"name": "nothing"}),
        (
            "CalledProcessError",
            subprocess.CalledProcessError,
            {"returncode": 3, "cmd": ["ls"], "output": b"o", "stderr": b"e"},
        ),
        ("JSONDecodeError", json.JSONDecodeError, {"pos": 1, "doc": "{", "lineno": 1}),
        ("HTTPError", urllib.error.HTTPError, {"code": 404, "url": "http://x"}),
        ("two arguments", evil.TwoArguments, {"code": 404, "what": "gone"}),
        ("keyword only", evil.KeywordOnly, {"code": 3}),
        ("own __reduce__", evil.OwnReduce, {"origin": "reduce"}),
        ("properties", evil.Properties, {"value": 5}),
        ("frozen dataclass", evil.Frozen, {"code": 7, "text": "frozen"}),
        ("slots", evil.Slots, {"message": "in a slot", "nothing": None}),
    ],
)
def test_attributes_are_kept(
    name: str, kind: type, attributes: dict[str, object], arrive: Callable[[str], Any]
) -> None:
    exc = arrive(name)
    assert type(exc) is kind
    assert {key: getattr(exc, key) for key in attributes} == attributes
    assert not [note for note in notes(exc) if name != "HTTPError"]


def test_a_slot_that_was_never_set_is_still_not_set(arrive: Callable[[str], Any]) -> None:
    assert not hasattr(arrive("slots"), "never_set")


def test_text_of_an_oserror_is_not_changed_by_attributes_that_are_not_set() -> None:
    exc = unpack(pack(evil.MyOSError("/disk")))
    assert str(exc) == "[Errno 28] No space: '/disk'"
    assert str(unpack(pack(evil.BareOSError(5)))) == str(evil.BareOSError(5))


@pytest.mark.parametrize(
    ("name", "value", "note"),
    [
        (
            "unpicklable attribute",
            lambda exc: exc.lock.startswith("<unlocked _thread.lock object at"),
            "lock is only its repr: to pickle it raised TypeError: "
            "cannot pickle '_thread.lock' object",
        ),
        (
            "unpicklable argument",
            lambda exc: exc.args[1].startswith("<unlocked _thread.lock object at"),
            "args[1] is only its repr: to pickle it raised TypeError: "
            "cannot pickle '_thread.lock' object",
        ),
        (
            "evil attribute",
            lambda exc: exc.evil == "<EvilRepr whose repr() raises RuntimeError>",
            "evil is only its repr: to pickle it raised RuntimeError: no pickling",
        ),
        (
            "attribute unpickles badly",
            lambda exc: exc.bad == "<lost: RuntimeError: no unpickling>",
            "bad was lost: to unpickle it raised RuntimeError: no unpickling",
        ),
        (
            "argument unpickles badly",
            lambda exc: exc.args == ("<lost: RuntimeError: no unpickling>", "x"),
            "args[0] was lost: to unpickle it raised RuntimeError: no unpickling",
        ),
        (
            "__reduce__ raises",
            lambda exc: exc.args == ("x", 1),
            "it was taken apart: to pickle it raised RuntimeError: no pickling",
        ),
        (
            "__reduce__ exits",
            lambda exc: exc.args == ("x",),
            "it was taken apart: to pickle it raised SystemExit: 3",
        ),
        (
            "rebuilding raises",
            lambda exc: exc.args == ("x", 1),
            "it was taken apart: to unpickle it raised RuntimeError: no unpickling",
        ),
        (
            "rebuilding interrupts",
            lambda exc: exc.args == ("x",),
            "it was taken apart: to unpickle it raised KeyboardInterrupt",
        ),
        (
            "rebuilds to text",
            lambda exc: exc.args == ("x",),
            "it was taken apart: it unpickles to str",
        ),
    ],
)
def test_what_is_lost_is_replaced_and_told(
    name: str, value: Callable[[Any], bool], note: str, arrive: Callable[[str], Any]
) -> None:
    exc = arrive(name)
    assert value(exc)
    assert notes(exc) == [note]
    if "attribute" in name:
        assert exc.good == [1]  # the others are not lost with it


def test_no_init_is_called() -> None:
    before = evil.InitRaises.calls
    unpack(pack(evil.InitRaises.__new__(evil.InitRaises, "x")))
    assert evil.InitRaises.calls == before


def test_an_attribute_that_is_an_argument_too_stays_the_same_object(
    arrive: Callable[[str], Any],
) -> None:
    exc = arrive("shared attribute")
    assert exc.payload == {"big": 1}
    assert exc.payload is exc.args[1]


def test_exceptions_held_by_an_exception_arrive_as_such(arrive: Callable[[str], Any]) -> None:
    exc = arrive("holding another")
    assert exc.first is exc.both[0] is exc.both[1]["other"]
    assert function_names(exc.first)[-1] == "fail"
    assert type(exc.first.__cause__) is KeyError
    assert exc.first.back is exc


def test_an_exception_that_holds_itself_arrives(arrive: Callable[[str], Any]) -> None:
    exc = arrive("holding itself")
    assert exc.me is exc
    assert exc.args == (exc, "x")


def test_where_nothing_can_be_made_before_itself_something_stands_for_it(
    arrive: Callable[[str], Any],
) -> None:
    exc = arrive("circle of own")
    assert type(exc) is evil.ByOwnArguments
    assert type(exc.held) is RemoteError
    assert str(exc.held) == "tests.unit.evil.ByOwnArguments: holds another"
    assert notes(exc.held) == ["it stands here for itself"]


def test_a_class_of_a_function_comes_along(arrive: Callable[[str], Any]) -> None:
    exc = arrive("local class")
    assert isinstance(exc, ValueError)
    assert type_name(exc) == "tests.unit.evil.local.<locals>.Local"
    assert type(arrive("local class")) is type(exc)
    assert notes(exc) == []


def test_a_class_of_a_function_that_cannot_come_along_becomes_a_remote_error() -> None:
    class Local(ValueError):
        lock = threading.Lock()

    exc = unpack(pack(Local("x")))
    assert type(exc) is RemoteError
    assert notes(exc) == ["its class is missing here: LookupError: it cannot be found by its name"]


def test_a_class_that_cannot_be_found_becomes_a_remote_error(arrive: Callable[[str], Any]) -> None:
    exc = arrive("class of __main__")
    type_name_, text = "OfMain", "of main"
    assert type(exc) is RemoteError
    assert (exc.type_name, exc.text, type_name(exc)) == (type_name_, text, type_name_)
    assert str(exc) == f"{type_name_}: {text}"
    assert "raise exc  # the line that failed" in exc.traceback_text
    assert f"\n{type_name_}: {text}\n" in exc.traceback_text
    assert notes(exc)[0].startswith("its class is missing here: ")
    assert function_names(exc)[-1] == "raise_it"


def test_classes_that_forbid_everything_arrive_as_what_can_be_said(
    arrive: Callable[[str], Any],
) -> None:
    assert type(arrive("evil access")) is evil.EvilAccess
    assert type(arrive("evil class")) is RemoteError


def test_reducers_that_others_registered_are_respected() -> None:
    import copyreg

    copyreg.pickle(evil.Frozen, lambda exc: (evil.Frozen, (exc.code + 1, "by reducer")))
    try:
        assert unpack(pack(evil.Frozen(1))) == evil.Frozen(2, "by reducer")
    finally:
        del copyreg.dispatch_table[evil.Frozen]


# ---- chains, groups, notes -------------------------------------------------------------------


def test_a_cause_is_kept_and_the_origin_hangs_at_its_end(arrive: Callable[[str], Any]) -> None:
    exc = arrive("cause")
    inner = exc.__cause__
    assert (type(exc), type(inner)) == (ValueError, KeyError)
    assert (exc.__suppress_context__, exc.__context__ is inner) == (True, True)
    assert function_names(inner) == ["fail", "raise_it"]
    assert type(inner.__cause__) is RemoteTraceback
    assert inner.__suppress_context__ is False


def test_an_implied_context_is_kept_and_printed(arrive: Callable[[str], Any]) -> None:
    exc = arrive("context")
    assert type(exc.__cause__) is RemoteTraceback
    assert type(exc.__context__) is KeyError
    assert exc.__suppress_context__ is False
    printed = "".join(traceback.format_exception(exc))
    assert printed.count("KeyError: 'inner'") == printed.count("ValueError: outer") == 1


def test_a_hidden_context_is_kept_and_not_printed(arrive: Callable[[str], Any]) -> None:
    exc = arrive("from None")
    assert type(exc.__context__) is KeyError
    assert exc.__suppress_context__ is True
    assert "KeyError" not in "".join(traceback.format_exception(exc))


def test_notes_are_kept(arrive: Callable[[str], Any]) -> None:
    assert arrive("notes").__notes__ == ["first", "second\nline"]
    assert arrive("odd notes").__notes__ == "no list"


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_a_circle_is_still_a_circle(link: str, arrive: Callable[[str], Any]) -> None:
    exc = arrive(f"circle of {link.strip('_')}s")
    second = getattr(exc, link)
    assert type(second) is KeyError
    assert getattr(second, link) is exc


def test_of_a_very_long_chain_the_nearest_arrive(arrive: Callable[[str], Any]) -> None:
    links = chain(arrive("long chain"))
    assert [str(link) for link in links[:201]] == [str(n) for n in range(1999, 1798, -1)]
    assert type(links[201]) is RemoteError
    assert str(links[201]) == "ValueError: 1798"
    assert "left behind" in notes(links[201])[0]
    assert type(links[202]) is RemoteTraceback


def test_a_group_arrives_with_its_members(arrive: Callable[[str], Any]) -> None:
    exc = arrive("group")
    assert (type(exc), exc.message) == (ExceptionGroup, "outer")
    value_error, inner = exc.exceptions
    assert function_names(value_error) == ["raise_it"]
    assert str(inner.exceptions[0].__cause__) == "'inner'"
    assert exc.args == ("outer", [value_error, inner])
    matched, rest = exc.split(TypeError)
    assert (len(matched.exceptions), len(rest.exceptions)) == (1, 2)


def test_groups_of_other_kinds_arrive(arrive: Callable[[str], Any]) -> None:
    mine = arrive("group subclass")
    assert (type(mine), mine.code, mine.message) == (evil.MyGroup, 3, "1 failed")
    assert [type(each) for each in mine.exceptions] == [ValueError]
    mixed = arrive("BaseExceptionGroup")
    assert type(mixed) is BaseExceptionGroup
    assert [type(each) for each in mixed.exceptions] == [KeyboardInterrupt, ValueError]
    assert [each.args for each in arrive("wide group").exceptions] == [(i,) for i in range(3000)]


def test_of_groups_nested_too_deep_the_outer_ones_arrive(arrive: Callable[[str], Any]) -> None:
    exc = arrive("deep groups")
    levels = 0
    while isinstance(exc, ExceptionGroup):
        (exc,) = exc.exceptions
        levels += 1
    assert levels == 201
    assert type(exc) is RemoteError
    assert exc.type_name == "ExceptionGroup"


# ---- frames ----------------------------------------------------------------------------------


def test_frames_have_files_lines_names_and_source(arrive: Callable[[str], Any]) -> None:
    outer, inner = traceback.extract_tb(arrive("cause").__cause__.__traceback__)
    assert (outer.name, inner.name) == ("fail", "raise_it")
    assert {outer.filename, inner.filename} == {evil.__file__}
    assert inner.line == "raise exc  # the line that failed"
    assert (inner.colno, inner.end_colno) == (4, 13)
    code = arrive("cause").__cause__.__traceback__.tb_frame.f_code
    assert (code.co_filename, code.co_name) == (evil.__file__, "fail")
    assert code.co_qualname == "caused.<locals>.fail"


def test_local_frames_stand_above_the_remote_ones(arrive: Callable[[str], Any]) -> None:
    def here() -> None:
        raise arrive("plain")

    with pytest.raises(ValueError) as caught:
        here()
    names = function_names(caught.value)
    assert names == [caught.traceback[0].name, "here", "raise_it"]
    assert " in here" not in format_remote(caught.value)


def test_a_debugger_can_walk_the_frames(arrive: Callable[[str], Any]) -> None:
    out = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO("p __name__\nw\nq\n"), stdout=out)
    debugger.use_rawinput = False
    debugger.reset()
    debugger.interaction(None, arrive("cause").__traceback__)
    assert "'tests.unit.evil'" in out.getvalue()
    assert "raise ValueError" in out.getvalue()


class Secretive:
    def __repr__(self) -> str:
        raise SystemExit


def fail_with_variables(number: int) -> None:
    long, odd = "x" * 10_000, Secretive()
    for _ in range(1000 // number):
        {}[long, odd][number]


def test_local_variables_come_as_text_if_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORKFUL_LOCALS", "on")
    with pytest.raises(KeyError) as caught:
        fail_with_variables(7)
    tb: Any = unpack(pack(caught.value)).__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    found = {name: repr(value) for name, value in tb.tb_frame.f_locals.items()}
    assert found["number"] == "7"
    assert found["odd"] == "<Secretive whose repr() raises SystemExit>"
    assert 100 < len(found["long"]) < 1000
    assert traceback.extract_tb(tb)[0].line == "{}[long, odd][number]"


class Unlistable(dict[Any, Any]):
    def items(self) -> Any:
        raise ValueError("not told")


@pytest.mark.parametrize("given_to_exec", [{1: 2, "x": 3, None: 4}, Unlistable(x=3)])
def test_variables_that_are_no_usual_ones_cost_the_traceback_nothing(
    given_to_exec: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORKFUL_LOCALS", "on")
    with pytest.raises(ZeroDivisionError) as caught:
        exec("x // 0", {}, given_to_exec)
    tb: Any = unpack(pack(caught.value)).__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    assert tb.tb_frame.f_code.co_filename == "<string>"
    assert repr(tb.tb_frame.f_locals) in ("{'x': 3}", "{}")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_while_variables_are_shown_is_not_taken_for_theirs() -> None:
    class Slow:
        __repr__ = interrupt  # type: ignore[assignment]

    def wait(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        wait(Slow())
    frame: Any = caught.tb.tb_next
    with pytest.raises(KeyboardInterrupt):
        variables.shown(frame.tb_frame)


def test_an_interrupt_while_a_class_is_pickled_is_not_taken_for_its_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cloudpickle.dumps", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packing._class_by_value(ValueError)


def test_frames_hold_nothing_of_the_process_that_makes_them(arrive: Callable[[str], Any]) -> None:
    tb = arrive("plain").__traceback__
    while tb is not None:
        assert tb.tb_frame.f_back is None
        assert tb.tb_frame.f_locals == {}
        tb = tb.tb_next


@pytest.mark.parametrize(
    ("name", "frames", "left_out"),
    [
        ("recursion of 50", 54, 0),
        ("recursion of 10000", 1024, 8980),
        ("recursion by turns", 1024, 8980),
    ],
)
def test_of_absurdly_many_frames_the_first_and_the_last_arrive(
    name: str, frames: int, left_out: int, arrive: Callable[[str], Any]
) -> None:
    exc = arrive(name)
    names = function_names(exc)
    assert len(names) == frames
    assert names[0] == "by"
    assert names[-1] == "raise_it"
    told = f"{left_out} frames in the middle of the traceback were left out"
    assert notes(exc) == ([told] if left_out else [])


def test_a_recursion_error_of_the_usual_limit_arrives_whole(arrive: Callable[[str], Any]) -> None:
    exc = arrive("RecursionError")
    assert type(exc) is RecursionError
    assert len(function_names(exc)) > 900
    assert notes(exc) == []
    assert "Previous line repeated" in "".join(traceback.format_exception(exc))


def test_frames_of_forkful_that_lead_to_a_task_are_not_shown() -> None:
    namespace = {"__name__": "forkful.pool.worker", "task": evil.raise_it}
    exec("def run(exc):\n    task(exc)", namespace)
    try:
        namespace["run"](ValueError("x"))  # type: ignore[operator]
    except ValueError as caught:
        exc = caught.with_traceback(caught.__traceback__.tb_next)  # type: ignore[union-attr]
    assert function_names(exc) == ["run", "raise_it"]
    assert function_names(unpack(pack(exc))) == ["raise_it"]


def test_frames_of_forkful_are_shown_if_there_are_no_others() -> None:
    namespace = {"__name__": "forkful.queues"}
    exec("def get():\n    raise ValueError('x')", namespace)
    try:
        namespace["get"]()  # type: ignore[operator]
    except ValueError as caught:
        exc = caught.with_traceback(caught.__traceback__.tb_next)  # type: ignore[union-attr]
    assert function_names(unpack(pack(exc))) == ["get"]


@pytest.mark.parametrize(
    ("line", "columns"), [(1, (5, 3)), (2**31 - 1, (0, 1)), (0, (0, 0)), (7, (None, None))]
)
def test_places_that_no_compiler_gives_do_not_lose_the_frame(
    line: int, columns: tuple[int | None, int | None]
) -> None:
    from forkful.remote.frames import rebuild

    tb = rebuild([(("a\0b\udc80.py", "f", "q.f", None, line, line, *columns), 2, None)])
    assert tb is not None
    assert tb.tb_frame.f_code.co_filename == "a\0b\udc80.py"
    assert tb.tb_next is not None
    assert tb.tb_next.tb_next is None


def test_python_without_columns_shows_none(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom forkful.remote import pack\n"
        "try:\n    int('x')\nexcept ValueError as exc:\n    sys.stdout.buffer.write(pack(exc))\n"
    )
    child = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", script],
        env={"PYTHONPATH": str(Path(forkful.__file__).parents[1])},
        capture_output=True,
        check=True,
    )
    printed = format_remote(unpack(child.stdout))
    assert "    int('x')\n" in printed
    assert "^" not in printed


# ---- the origin, and what is printed ---------------------------------------------------------


def test_the_cause_is_what_users_of_the_stdlib_look_for(arrive: Callable[[str], Any]) -> None:
    cause = arrive("plain").__cause__
    assert isinstance(cause, multiprocessing.pool.RemoteTraceback)
    assert type(cause) is RemoteTraceback
    assert cause.tb.startswith('\n"""\nTraceback (most recent call last):\n')
    assert "    raise exc  # the line that failed\n" in cause.tb
    assert cause.tb.endswith("ValueError: ('x', 1, None, b'y', 2.5, True)\n\"\"\"")


def test_what_is_printed_says_everything_once(arrive: Callable[[str], Any]) -> None:
    printed = "".join(traceback.format_exception(arrive("plain")))
    assert printed.count("the line that failed") == 1
    assert printed.startswith(
        f"forkful.remote.RemoteTraceback: what follows was raised in {WHERE}\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
    )


def test_the_excepthook_prints_the_same(arrive: Callable[[str], Any]) -> None:
    exc = arrive("plain")
    with contextlib.redirect_stderr(io.StringIO()) as out:
        sys.__excepthook__(type(exc), exc, exc.__traceback__)
    assert out.getvalue() == "".join(traceback.format_exception(exc))


def test_each_process_on_the_way_is_named() -> None:
    exc = unpack(pack(unpack(pack(ValueError("x"), "A (pid 1)")), "B (pid 2)"))
    first, second = chain(exc)[1:]
    assert (str(first), str(second)) == (
        "what follows was raised in A (pid 1)",
        "what follows was raised in B (pid 2)",
    )
    assert "ValueError: x" in first.tb  # type: ignore[attr-defined]


def test_the_origin_survives_plain_pickling(arrive: Callable[[str], Any]) -> None:
    cause = arrive("plain").__cause__
    copy = pickle.loads(pickle.dumps(cause))
    assert (type(copy), str(copy), copy.tb) == (RemoteTraceback, str(cause), cause.tb)


def test_without_a_label_the_current_process_is_named() -> None:
    label = process_label()
    assert label == f"{multiprocessing.current_process().name} (pid {os.getpid()})"
    assert unpack(pack(ValueError())).__cause__.where == label  # type: ignore[union-attr]


def test_an_exception_raised_here_is_formatted_as_it_is(arrive: Callable[[str], Any]) -> None:
    exc = evil.raised(ValueError("local"))
    assert format_remote(exc) == "".join(traceback.format_exception(exc))
    with pytest.raises(RuntimeError) as wrapped:
        raise RuntimeError("wrapped") from arrive("plain")
    assert format_remote(wrapped.value) == "".join(traceback.format_exception(wrapped.value))


def test_what_arrived_is_freed_without_the_garbage_collector() -> None:
    data = pack(evil.raised(evil.TwoArguments(1, "x")))
    gc.disable()
    try:
        exc = unpack(data)
        gone = weakref.ref(exc)
        del exc
        assert gone() is None
    finally:
        gc.enable()


# ---- never raises ----------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_no_bytes_make_unpack_raise(data: bytes) -> None:
    exc = unpack(data)
    assert type(exc) is RemoteError
    assert "unreadable" in str(exc)


@given(st.integers(min_value=0, max_value=10_000))
def test_cut_bytes_are_unreadable(length: int) -> None:
    data = pack(evil.caused())
    exc = unpack(data[: length % len(data)])
    assert type(exc) is RemoteError


def test_what_is_no_exception_is_packed_as_its_text() -> None:
    exc = unpack(pack(5))  # type: ignore[arg-type]
    assert type(exc) is RemoteError
    assert str(exc) == "int: 5"


def test_packing_near_the_limit_of_recursion_does_not_raise() -> None:
    exc = evil.raised(evil.TwoArguments(1, "x"))
    packed: list[bytes] = []

    def dig() -> None:
        try:
            dig()
        except RecursionError:
            pass
        packed.append(pack(exc))

    dig()
    assert all(issubclass(type(unpack(data)), BaseException) for data in packed[:300])
    assert type(unpack(packed[-1])) is evil.TwoArguments


def test_unpacking_near_the_limit_of_recursion_does_not_raise() -> None:
    data = pack(evil.raised(evil.TwoArguments(1, "x")))
    found: list[BaseException] = []

    def dig() -> None:
        try:
            dig()
        except RecursionError:
            pass
        found.append(unpack(data))

    dig()
    assert type(found[-1]) is evil.TwoArguments


# ---- properties ------------------------------------------------------------------------------

plain = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.binary(max_size=9)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(plain, inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from([ValueError, KeyError, OSError, SystemExit, StopIteration, ImportError]),
    st.lists(values, max_size=6),
    st.lists(st.text(max_size=9), max_size=3),
    st.dictionaries(st.text(max_size=9), values, max_size=3),
)
def test_any_arguments_notes_and_attributes_arrive(
    kind: type[BaseException], args: list[Any], texts: list[str], attributes: dict[str, Any]
) -> None:
    exc = kind(*args)
    for text in texts:
        exc.add_note(text)
    vars(exc).update({f"my_{key}": value for key, value in attributes.items()})
    got = unpack(pack(exc))
    assert (type(got), got.args, vars(got), str(got)) == (
        type(exc),
        exc.args,
        vars(exc),
        str(exc),
    )


@settings(max_examples=200)
@given(st.data())
def test_any_web_of_exceptions_arrives_in_its_shape(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 6))
    web: list[BaseException] = []
    for number in range(size):
        exc: BaseException = ValueError(number)
        if web and data.draw(st.booleans()):
            exc = BaseExceptionGroup(
                str(number), data.draw(st.lists(st.sampled_from(web), min_size=1, max_size=3))
            )
        web.append(exc)
    for exc in web:
        for link in ("__cause__", "__context__"):
            if data.draw(st.booleans()):
                setattr(exc, link, data.draw(st.sampled_from(web)))
        exc.__suppress_context__ = data.draw(st.booleans())
    sent, got = shape(web[-1]), shape(unpack(pack(web[-1])))
    assert got == sent


def shape(root: BaseException) -> list[Any]:
    """Number all that can be reached, and list how each is linked. The origin is left out."""
    numbers: dict[int, int] = {}
    order: list[BaseException] = []

    def number(exc: BaseException | None) -> int | None:
        if exc is None or isinstance(exc, RemoteTraceback):
            return None
        if id(exc) not in numbers:
            numbers[id(exc)] = len(order)
            order.append(exc)
        return numbers[id(exc)]

    number(root)
    found = []
    for exc in order:
        members = exc.exceptions if isinstance(exc, BaseExceptionGroup) else ()
        found.append(
            (
                type(exc),
                str(exc),
                number(exc.__cause__),
                number(exc.__context__),
                exc.__suppress_context__,
                [number(member) for member in members],
            )
        )
    return found
