"""A main program whose children raise exceptions of many kinds, and which looks at what arrives: `... METHOD`.

It prints a line of JSON: what was wrong in each case, and null where nothing was. Its classes are of a `__main__`.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import logging
import pdb
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import forkful
from tests.programs import deeds


class OfMain(LookupError):
    pass


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Mismatch(Exception):
    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what} has {number}")
        self.what, self.number = what, number


class Slotted(Exception):
    __slots__ = ("inside",)

    def __init__(self, inside: list[int]) -> None:
        super().__init__("slotted")
        self.inside = inside


class Holding(Exception):
    def __init__(self) -> None:
        super().__init__("holding")
        self.file, self.number = sys.stdout, 5


class OwnInterrupt(KeyboardInterrupt):
    pass


class OwnGroup(ExceptionGroup[Exception]):
    def derive(self, excs: Any) -> OwnGroup:
        return OwnGroup(self.message, excs)


Check = Callable[[Any], object]
CASES: dict[str, tuple[Callable[[], object], Check]] = {}


def case(check: Check) -> Callable[[Callable[[], object]], Callable[[], object]]:
    """What the parent looks at; it returns what is falsy if that is not right."""

    def note(task: Callable[[], object]) -> Callable[[], object]:
        CASES[task.__name__] = task, check
        return task

    return note


def names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def is_a(kind: type[BaseException], *args: object, **attributes: object) -> Check:
    """Exactly of that type, with those arguments and attributes."""

    def check(error: Any) -> bool:
        found = {name: getattr(error, name, "missing") for name in attributes}
        return type(error) is kind and error.args == args and found == attributes

    return check


@case(is_a(OfMain, "of main", 1))
def class_of_main() -> None:
    raise OfMain("of main", 1)


@case(is_a(KeywordOnly, "code 7", code=7))
def keyword_only() -> None:
    raise KeywordOnly(code=7)


@case(is_a(Mismatch, "cat has 9", what="cat", number=9))
def arguments_that_do_not_match() -> None:
    raise Mismatch("cat", 9)


@case(is_a(Slotted, "slotted", inside=[1, 2]))
def slots() -> None:
    raise Slotted([1, 2])


@case(lambda e: type(e) is Holding and e.number == 5 and "only its repr" in e.__notes__[0])
def an_attribute_that_does_not_pickle() -> None:
    raise Holding


@case(
    lambda e: (
        isinstance(e, ValueError)
        and (type(e).__name__, e.args, e.what) == ("Local", ("local",), [3])
        and names(e)[-1] == "class_of_a_closure"
    )
)
def class_of_a_closure() -> None:
    what = [3]

    class Local(ValueError):
        def __init__(self, text: str) -> None:
            super().__init__(text)
            self.what = what

    raise Local("local")


@case(
    lambda e: (
        names(e)[-1] == "chained"
        and type(e.__cause__) is KeyError
        and names(e.__cause__)[-1] == "chained"
        and e.__suppress_context__
        and e.__context__ is e.__cause__
        and type(e.__cause__.__context__) is ZeroDivisionError
        and e.__notes__ == ["first", "second\nline"]
    )
)
def chained() -> None:
    try:
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            {}["a"]
    except KeyError as inner:
        outer = ValueError("outer")
        outer.add_note("first")
        outer.add_note("second\nline")
        raise outer from inner


@case(
    lambda e: type(e) is ValueError and e.__suppress_context__ and type(e.__context__) is KeyError
)
def from_none() -> None:
    try:
        {}["a"]
    except KeyError:
        raise ValueError("x") from None


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@case(
    lambda e: (
        type(e) is OwnGroup
        and e.message == "outer"
        and [type(each) for each in e.exceptions] == [ValueError, ExceptionGroup]
        and names(e.exceptions[0])[-1] == "raised"
        and names(e.exceptions[1].exceptions[0])[-1] == "raised"
        and type(e.subgroup(OfMain)) is OwnGroup
    )
)
def group() -> None:
    inner = ExceptionGroup("inner", [raised(OfMain("deep"))])
    raise OwnGroup("outer", [raised(ValueError("v")), inner])


@case(
    lambda e: (
        (e.msg, e.filename, e.lineno, e.text.strip()) == ("invalid syntax", "s.py", 1, "x = = 1")
    )
)
def syntax_error() -> None:
    compile("x = = 1", "s.py", "exec")


@case(
    lambda e: type(e) is FileNotFoundError and (e.errno, e.filename) == (errno.ENOENT, "/no/such")
)
def os_error() -> None:
    open("/no/such").close()


@case(lambda e: (e.encoding, e.object, e.start, e.end) == ("utf-8", b"a\xff", 1, 2))
def unicode_error() -> None:
    b"a\xff".decode()


@case(is_a(StopIteration, 7, value=7))
def stop_iteration() -> None:
    raise StopIteration(7)


@case(is_a(OwnInterrupt, "as if"))
def interrupt() -> None:
    raise OwnInterrupt("as if")


@case(is_a(GeneratorExit))
def base_exception() -> None:
    raise GeneratorExit


@case(is_a(UserWarning, "turned into an error"))
def warning() -> None:
    warnings.warn("turned into an error", UserWarning, stacklevel=1)  # by -W of this program


def task_that_fails(x: int) -> NoReturn:
    raise ValueError(f"from the depth {x}")  # this very line


def logged(error: BaseException) -> str:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    log = logging.Logger("whole")
    log.addHandler(handler)
    log.error("it failed", exc_info=error)
    return out.getvalue()


def debugged(error: BaseException, *commands: str) -> str:
    out = io.StringIO()
    debugger = pdb.Pdb(
        stdin=io.StringIO("\n".join([*commands, "q", ""])), stdout=out, nosigint=True
    )
    debugger.use_rawinput = False
    debugger.reset()
    debugger.interaction(None, error.__traceback__)
    return out.getvalue()


@case(
    lambda e: all(
        text in shown
        for shown in (logged(e), "".join(traceback.format_exception(e)))
        for text in (
            "in task_that_fails",
            "# this very line",
            "what follows was raised in",
            "depth 1",
        )
    )
)
def printed() -> None:
    task_that_fails(1)


@case(
    lambda e: (
        (shown := debugged(e, "where", "p 'at', __name__", "list", "up", "p x"))
        and "task_that_fails" in shown
        and "# this very line" in shown
        and "task_that_fails(1)" in shown
        and "NameError" in shown
    )
)
def debugged_after_death() -> None:
    task_that_fails(1)


def check_all(get: Callable[[Callable[[], object]], BaseException | None]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, (task, check) in CASES.items():
        error = get(task)
        try:
            right = error is not None and check(error)
            found[name] = None if right else "".join(traceback.format_exception(error))
        except Exception:
            found[name] = traceback.format_exc() + "of " + repr(error)
    return found


def caught(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:
        return error
    return None


def of_a_process(ctx: Any, task: Callable[[], object]) -> BaseException | None:
    process = ctx.Process(target=task)
    process.start()
    error: BaseException | None = process.exception(60)
    return error


def fail_with_a_hook() -> None:
    sys.excepthook = lambda kind, error, tb: print("hook:", kind.__name__, error, file=sys.stderr)
    task_that_fails(2)


def main(method: str) -> None:
    ctx = forkful.get_context(method)
    with ctx.Pool(1) as pool:
        found = check_all(lambda task: caught(functools.partial(pool.apply, task)))
    if method == "fork":  # where it is cheap
        found |= {
            f"{name} of a process": text
            for name, text in check_all(functools.partial(of_a_process, ctx)).items()
        }
    if not isinstance(of_a_process(ctx, fail_with_a_hook), ValueError):
        found["hook"] = "not raised"
    print(json.dumps(found))


if __name__ == "__main__":
    assert deeds
    main(sys.argv[1])
