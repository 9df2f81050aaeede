"""Functions that the tests of `forkful map` run in its workers."""

from __future__ import annotations

import ctypes
import datetime
import os
import signal
import sys
from typing import Any


class Unpicklable(Exception):
    """Holds what no pickle can carry."""

    def __init__(self, reason: str, other: int) -> None:
        super().__init__(f"because {reason}")
        self.hook = lambda: other


class Greeter:
    """Has a method that needs no instance."""

    @staticmethod
    def greet(name: str) -> str:
        return f"hello {name}"


def same(x: Any) -> Any:
    return x


def double(x: str) -> int:
    return 2 * int(x)


def members(a: int, b: int = 10) -> int:
    return a + b


def refuse_odd(x: str) -> str:
    if int(x) % 2:
        raise ValueError(f"{x} is odd")
    return x


def changes_its_input(x: dict[str, int]) -> int:
    x.clear()
    return 1


def pid(x: Any) -> int:
    return os.getpid()


def prints(x: str) -> str:
    print("printed", x)
    os.write(1, b"written\n")
    return x


def reads_input(x: str) -> str:
    return sys.stdin.read() + os.read(0, 10).decode()


def odd_value(name: str) -> Any:
    circle: list[Any] = [1]
    circle.append(circle)
    values: dict[str, Any] = {
        "set": {1},
        "bytes": b"\xff",
        "nan": float("nan"),
        "inside": {"when": datetime.date(2020, 2, 29), "n": 1},
        "tuple": (1, 2),
        "circle": circle,
        "lambda": lambda: 1,
        "surrogate": "a\udcff",
        "huge": 10**5000,
        "tuple_key": {(1, 2): 3},
    }
    return values[name]


def dies(how: str) -> Any:
    """End in the way that is asked for; anything else is returned."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segv":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(3)
    if how == "loop":
        while True:
            pass
    if how == "unpicklable":
        raise Unpicklable("it can", 1)
    if how == "interrupt":
        raise KeyboardInterrupt
    return how


def flaky(path: str) -> int:
    """Fail until the file at `path` has three lines; each try adds one."""
    with open(path, "a+") as file:
        file.write("tried\n")
        file.seek(0)
        tries = len(file.readlines())
    if tries < 3:
        raise OSError(f"try {tries}")
    return tries


def at_gate(x: str) -> str:
    """Wait at the gate if the input names one; a test opens it."""
    if x.startswith("/"):
        with open(x):
            pass
    return x


def grows(x: str) -> int:
    """Hold 64 MiB more, for ever."""
    held.append(bytearray(os.urandom(1) * (64 << 20)))
    return os.getpid()


held: list[bytearray] = []


def logs(line: str) -> str:
    """Append to the log that the input names before the `|`; return the rest."""
    path, _, rest = line.partition("|")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{rest}\n".encode())
    os.close(descriptor)
    return rest


def ends_badly_at_times(line: str) -> str:
    """Log the number after the `|`; kill the worker at 13, 113, ..., raise at 57, 157, ..."""
    number = int(logs(line))
    if number % 100 == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number % 100 == 57:
        raise ValueError(f"{number} is refused")
    return f"done {number}"


def raises_at_57(line: str) -> str:
    """The same without the kills."""
    number = int(logs(line))
    if number % 100 == 57:
        raise ValueError(number)
    return line


def never_ends_at_1400(line: str) -> str:
    """Log the number after the `|`; wait for ever at 1400."""
    number = logs(line)
    while number == "1400":
        signal.pause()
    return number


def refuses_sevens(x: str) -> int:
    """Refuse a multiple of 7, if the test says so."""
    if int(x) % 7 == 0 and os.environ["SEVENS"] == "refused":
        raise ValueError(x)
    return int(x)


def repeats(x: str) -> str:
    """Return so many letters."""
    return "x" * int(x)


not_callable = 3


async def asynchronous(x: str) -> str:
    return x
