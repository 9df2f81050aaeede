"""The life of a process: start, name, pid, is_alive, terminate, join, exit code, daemon.

$ python examples/process_life.py
"""

import os
import signal
import sys
import time
from multiprocessing import Pipe, Process, active_children, current_process


def stay(ready):
    ready.send((current_process().name, os.getpid()))
    time.sleep(3600)


def leave(status):
    sys.exit(status)


def begin_to_stay(**options):
    """Start a process that stays. Returns it when it is there, with what it says of itself."""
    here, there = Pipe()
    process = Process(target=stay, args=(there,), **options)
    process.start()
    return process, here.recv()


def main():
    for status in (None, 0, 7, "words, which go to standard error"):
        process = Process(target=leave, args=(status,))
        process.start()
        process.join()
        print(f"sys.exit({status!r}) gives exit code {process.exitcode}")

    process = Process(target=stay, args=(None,), name="not started")
    print(process.name, process.pid, process.exitcode, process.is_alive())

    process, (name, pid) = begin_to_stay(name="sleeper")
    print(name, "is", process.name, "and alive:", process.is_alive(), pid == process.pid)
    process.join(0.01)  # a join with a timeout may return before the end: look
    print("exit code after a short join:", process.exitcode)

    process.terminate()  # SIGTERM: a request, which only begins the end
    process.join()
    print("terminated:", process.is_alive(), signal.Signals(-process.exitcode).name)

    process, _ = begin_to_stay()
    process.kill()  # SIGKILL: no handler, no finally
    process.join()
    print("killed:", process.is_alive(), signal.Signals(-process.exitcode).name)

    begin_to_stay(name="demon", daemon=True)
    print("left running:", [(child.name, child.daemon) for child in active_children()])
    # The program ends here and takes its daemonic child with it. It would wait for any other.


if __name__ == "__main__":
    main()
