"""Exceptions that are hard to carry, for test_remote.py: each is made in another process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

LOCK = threading.Lock()


class TwoArguments(Exception):
    """Its arguments are not what __init__ takes."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{what} ({code})")
        self.code = code
        self.what = what


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        self.code = code


class InitRaises(Exception):
    calls = 0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        InitRaises.calls += 1
        if InitRaises.calls > 1:
            raise RuntimeError("made twice")


class NewRaises(Exception):
    def __new__(cls, first: object, second: object) -> NewRaises:
        return super().__new__(cls, first)


class ReduceRaises(Exception):
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no pickling")


class ReduceExits(Exception):
    def __reduce__(self) -> NoReturn:
        raise SystemExit(3)


class OwnReduce(Exception):
    """What its __reduce__ says is respected."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.origin = "init"

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnReduce.rebuilt, (self.args[0],)

    @classmethod
    def rebuilt(cls, data: str) -> OwnReduce:
        made = cls(data)
        made.origin = "reduce"
        return made


class ByOwnArguments(Exception):
    """Its class asks for what it holds when it is made."""

    held: BaseException

    def __reduce__(self) -> tuple[Any, ...]:
        return ByOwnArguments.holding, (self.held,)

    @classmethod
    def holding(cls, held: BaseException) -> ByOwnArguments:
        made = cls("holds another")
        made.held = held
        return made


def explode(*args: object) -> NoReturn:
    raise RuntimeError("no unpickling")


def interrupt(*args: object) -> NoReturn:
    raise KeyboardInterrupt


class RebuildRaises(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return explode, (1,)


class RebuildInterrupts(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return interrupt, (1,)


class RebuildsToText(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("no exception",)


class StateRaises(Exception):
    def __setstate__(self, state: object) -> None:
        raise RuntimeError("no state")


class UnpicklesBadly:
    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ()


class EvilText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class EvilAccess(Exception):
    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise RuntimeError(f"no {name}")


class EvilRepr:
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("no pickling")

    def __repr__(self) -> NoReturn:
        raise RuntimeError("no repr")


class Slots(Exception):
    __slots__ = ("message", "never_set", "nothing")

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        self.nothing = None


class Properties(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self._value = value

    @property
    def value(self) -> int:
        return self._value

    @property
    def args(self) -> NoReturn:
        raise RuntimeError("hidden")


@dataclass(frozen=True)
class Frozen(Exception):
    code: int
    text: str = "frozen"


class MyOSError(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(28, "No space", path)
        self.extra = [path]


class BareOSError(OSError):
    def __init__(self, errno: int) -> None:
        self.code = errno


class MyExit(SystemExit):
    pass


class MyInterrupt(KeyboardInterrupt):
    pass


class MyGroup(ExceptionGroup[Exception]):
    def __new__(cls, errors: list[Exception], code: int) -> MyGroup:
        made = super().__new__(cls, f"{len(errors)} failed", errors)
        made.code = code
        return made

    code: int

    def __init__(self, errors: list[Exception], code: int) -> None:
        pass


class Falsy(Exception):
    def __bool__(self) -> bool:
        return False


class Holding(Exception):
    def __init__(self, **held: object) -> None:
        super().__init__("holding")
        vars(self).update(held)


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__module__", "__qualname__", "__reduce__", "__reduce_ex__"):
            raise RuntimeError("no class attributes")
        return super().__getattribute__(name)


class EvilClass(Exception, metaclass=Meta):
    pass


# ---- made by code that fails, so that there are frames ----------------------------------------


def raise_it(exc: BaseException) -> NoReturn:
    raise exc  # the line that failed


def raised(exc: BaseException) -> BaseException:
    try:
        raise_it(exc)
    except BaseException as caught:
        return BaseException.__dict__["with_traceback"](
            exc, BaseException.__dict__["__traceback__"].__get__(caught).tb_next
        )


def by(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def local() -> BaseException:
    class Local(ValueError):
        pass

    return raised(Local("of a function"))


def noted() -> BaseException:
    exc = ValueError("x")
    exc.add_note("first")
    exc.add_note("second\nline")
    return raised(exc)


def odd_notes() -> BaseException:
    exc = ValueError("x")
    exc.__notes__ = "no list"  # type: ignore[assignment]
    return raised(exc)


def caused() -> BaseException:
    def fail() -> None:
        try:
            raise_it(KeyError("inner"))
        except KeyError as inner:
            raise ValueError("outer") from inner

    return by(fail)


def in_context() -> BaseException:
    def fail() -> None:
        try:
            raise_it(KeyError("inner"))
        except KeyError:
            raise ValueError("outer")  # noqa: B904

    return by(fail)


def from_none() -> BaseException:
    def fail() -> None:
        try:
            raise_it(KeyError("inner"))
        except KeyError:
            raise ValueError("outer") from None

    return by(fail)


def long_chain(links: int = 2000) -> BaseException:
    exc = raised(ValueError("0"))
    for number in range(1, links):
        outer = raised(ValueError(str(number)))
        outer.__cause__ = exc
        exc = outer
    return exc


def circle(link: str) -> BaseException:
    first, second = raised(ValueError("first")), raised(KeyError("second"))
    setattr(first, link, second)
    setattr(second, link, first)
    return first


def group() -> BaseException:
    inner = ExceptionGroup("inner", [caused_error(), raised_error(TypeError("t"))])
    return raised(ExceptionGroup("outer", [raised_error(ValueError("v")), inner]))


def raised_error(exc: Exception) -> Exception:
    raised(exc)
    return exc


def caused_error() -> Exception:
    exc = caused()
    assert isinstance(exc, Exception)
    return exc


def deep_groups(levels: int = 1000) -> BaseException:
    exc: Exception = ValueError("innermost")
    for _ in range(levels):
        exc = ExceptionGroup("level", [exc])
    return exc


def recursion(depth: int) -> Callable[[], BaseException]:
    def dig(left: int) -> int:
        return dig(left - 1) + 1 if left else raise_it(ValueError("bottom"))

    def make() -> BaseException:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(depth + 1000)
        try:
            return by(lambda: dig(depth))
        finally:
            sys.setrecursionlimit(limit)

    return make


def two_by_turns() -> BaseException:
    """10,000 frames of two functions that call each other."""

    def ping(left: int) -> int:
        return pong(left - 1) + 1

    def pong(left: int) -> int:
        return ping(left - 1) + 1 if left else raise_it(ValueError("bottom"))

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(11_000)
    try:
        return by(lambda: pong(10_000))
    finally:
        sys.setrecursionlimit(limit)


def no_end() -> BaseException:
    def forever() -> int:
        return forever() + 1

    return by(forever)


def deep_argument() -> BaseException:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    return raised(ValueError(deep))


def holding_itself() -> BaseException:
    exc = Holding()
    exc.me = exc  # type: ignore[attr-defined]
    exc.args = (exc, "x")
    return raised(exc)


def holding_another() -> BaseException:
    other = caused()
    exc = Holding(first=other, both=[other, {"other": other}])
    other.back = exc  # type: ignore[attr-defined]
    return raised(exc)


def circle_of_own() -> BaseException:
    first, second = ByOwnArguments("holds another"), ByOwnArguments("holds another")
    first.held, second.held = second, first
    return raised(first)


def changed_syntax_error() -> BaseException:
    exc = by(lambda: compile("x = = 1", "some.py", "exec"))
    exc.filename = "other.py"  # type: ignore[attr-defined]
    return exc


def shared_attribute() -> BaseException:
    payload = {"big": 1}
    exc = Holding(payload=payload)
    exc.args = ("x", payload)
    return raised(exc)


def missing_attribute() -> BaseException:
    class Unpicklable:
        lock = LOCK

    return by(lambda: Unpicklable().nothing)  # type: ignore[attr-defined]


MAKERS: dict[str, Callable[[], BaseException]] = {
    "plain": lambda: raised(ValueError("x", 1, None, b"y", 2.5, True)),
    "not raised": lambda: ValueError("x"),
    "no arguments": lambda: raised(ValueError()),
    "arguments of all kinds": lambda: raised(ValueError([1, {"a": (2,)}], Path("/x"), 10**50)),
    "KeyError": lambda: by(lambda: {}["missing"]),
    "SystemExit": lambda: raised(SystemExit(3)),
    "SystemExit subclass": lambda: raised(MyExit("bye")),
    "KeyboardInterrupt": lambda: raised(KeyboardInterrupt()),
    "KeyboardInterrupt subclass": lambda: raised(MyInterrupt("x")),
    "GeneratorExit": lambda: raised(GeneratorExit()),
    "StopIteration": lambda: raised(StopIteration(7)),
    "FileNotFoundError": lambda: by(Path("/no/such/file").read_bytes),
    "two file names": lambda: by(lambda: Path("/no/such").rename("/no/where")),
    "BlockingIOError": lambda: raised(BlockingIOError(11, "again", 5)),
    "OSError without errno": lambda: raised(OSError("text")),
    "OSError subclass": lambda: raised(MyOSError("/disk")),
    "OSError subclass without super": lambda: raised(BareOSError(5)),
    "UnicodeDecodeError": lambda: by(lambda: b"a\xff".decode()),
    "UnicodeEncodeError": lambda: by(lambda: "ä".encode("ascii")),
    "SyntaxError": lambda: by(lambda: compile("x = = 1", "some.py", "exec")),
    "changed SyntaxError": changed_syntax_error,
    "ImportError": lambda: by(lambda: __import__("no_such_module_anywhere")),
    "NameError": lambda: by(lambda: no_such_name),  # type: ignore[name-defined]  # noqa: F821
    "AttributeError": missing_attribute,
    "CalledProcessError": lambda: raised(
        subprocess.CalledProcessError(3, ["ls"], output=b"o", stderr=b"e")
    ),
    "JSONDecodeError": lambda: by(lambda: json.loads("{")),
    "HTTPError": lambda: raised(
        urllib.error.HTTPError("http://x", 404, "gone", {}, None)  # type: ignore[arg-type]
    ),
    "two arguments": lambda: raised(TwoArguments(404, "gone")),
    "keyword only": lambda: raised(KeywordOnly(code=3)),
    "__init__ raises": lambda: raised(InitRaises("x")),
    "__new__ raises": lambda: raised(NewRaises("x", "y")),
    "__reduce__ raises": lambda: raised(ReduceRaises("x", 1)),
    "__reduce__ exits": lambda: raised(ReduceExits("x")),
    "own __reduce__": lambda: raised(OwnReduce("x")),
    "rebuilding raises": lambda: raised(RebuildRaises("x", 1)),
    "rebuilding interrupts": lambda: raised(RebuildInterrupts("x")),
    "rebuilds to text": lambda: raised(RebuildsToText("x")),
    "__setstate__ raises": lambda: raised(StateRaises("x")),
    "evil text": lambda: raised(EvilText("x")),
    "evil access": lambda: raised(EvilAccess("x")),
    "evil class": lambda: raised(EvilClass("x")),
    "slots": lambda: raised(Slots("in a slot")),
    "properties": lambda: raised(Properties(5)),
    "frozen dataclass": lambda: raised(Frozen(7)),
    "falsy": lambda: raised(Falsy("x")),
    "unpicklable attribute": lambda: raised(Holding(lock=LOCK, good=[1])),
    "unpicklable argument": lambda: raised(ValueError("x", LOCK)),
    "evil attribute": lambda: raised(Holding(evil=EvilRepr(), good=[1])),
    "attribute unpickles badly": lambda: raised(Holding(bad=UnpicklesBadly(), good=[1])),
    "argument unpickles badly": lambda: raised(ValueError(UnpicklesBadly(), "x")),
    "shared attribute": shared_attribute,
    "local class": local,
    "notes": noted,
    "odd notes": odd_notes,
    "cause": caused,
    "context": in_context,
    "from None": from_none,
    "long chain": long_chain,
    "circle of causes": lambda: circle("__cause__"),
    "circle of contexts": lambda: circle("__context__"),
    "group": group,
    "group subclass": lambda: raised(MyGroup([raised_error(ValueError("v"))], 3)),
    "BaseExceptionGroup": lambda: raised(
        BaseExceptionGroup("mixed", [KeyboardInterrupt(), ValueError("v")])
    ),
    "deep groups": deep_groups,
    "wide group": lambda: ExceptionGroup("wide", [ValueError(i) for i in range(3000)]),
    "recursion of 50": recursion(50),
    "recursion of 10000": recursion(10_000),
    "recursion by turns": two_by_turns,
    "RecursionError": no_end,
    "deep argument": deep_argument,
    "holding itself": holding_itself,
    "holding another": holding_another,
    "circle of own": circle_of_own,
}
