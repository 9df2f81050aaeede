"""What `threading` knows of threads, in a parent and in its children, round a fork of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from weakref import WeakSet

import forkful
from forkful.launch import forking

known = threading._dangling
stop, thread = threading.Event(), None

def begin_a_thread():
    global thread
    thread = threading.Thread(target=stop.wait, name="of a hook")
    thread.start()

def ended():
    stop.set()
    if thread:
        thread.join()
    return sorted(one.name for one in threading._dangling), threading._dangling is known

def refuse():
    raise OSError("no process is left")

HOOK
child = forkful.get_context("fork").Process(target=ended)
child.start()
here = ended()
print(*child.result(), *here, len(forking._others))

os.fork = refuse
try:
    forking.fork()
except OSError as error:
    print(error, threading._dangling is known)
"""


@pytest.mark.parametrize("where", ["after_in_child", "before"])
def test_a_thread_of_another_hook_is_known_where_it_is(where: str) -> None:
    """In the child that of its own hook; in the parent, and so in its child, the one that was there at the fork."""
    hook = f"os.register_at_fork({where}=begin_a_thread)"
    command = [sys.executable, "-c", PROGRAM.replace("HOOK", hook)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    names = {
        "after_in_child": "['MainThread', 'of a hook'] True ['MainThread'] True 0",
        "before": "['MainThread', 'of a hook'] True ['MainThread', 'of a hook'] True 0",
    }
    assert first == names[where]
    assert second == "no process is left True"
