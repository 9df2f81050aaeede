"""Exceptions across processes, whole: what forkful adds to a process.

$ python examples/exceptions_forkful.py

`result()` returns what the process returned or raises what it raised; `exception()` gives that as a
value. Frames, causes, notes and groups arrive as they were. (The tracebacks on standard error are what
children print that end by an exception, as with multiprocessing.)
"""

import signal
import traceback

from forkful import Process, WorkerDied


def parse(text):
    try:
        return int(text)
    except ValueError as error:
        error.add_note(f"while reading {text!r}")
        raise LookupError("no such order") from error


def parse_all(texts):
    errors = []
    for text in texts:
        try:
            parse(text)
        except LookupError as error:
            errors.append(error)
    raise ExceptionGroup("some orders are wrong", errors)


def begin(target, *args):
    process = Process(target=target, args=args)
    process.start()
    return process


def main():
    print("returned:", begin(parse, "42").result())

    error = begin(parse, "many").exception()
    frames = traceback.extract_tb(error.__traceback__)
    print("raised:", repr(error), "in", frames[-1].name, "at", repr(frames[-1].line))
    print("cause:", repr(error.__cause__), error.__cause__.__notes__)

    try:
        begin(parse_all, ["7", "many", "more"]).result()
    except* LookupError as group:
        print("group:", group.message, [str(e.__cause__.__notes__[0]) for e in group.exceptions])

    try:
        begin(signal.raise_signal, signal.SIGKILL).result()
    except WorkerDied as error:
        print("died:", signal.Signals(-error.exitcode).name)


if __name__ == "__main__":
    main()
