"""Where a program's standard streams are closed, no file of forkful's takes their numbers."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.contract.children import LONG

PROGRAM = """
    import os, sys
    import forkful

    def streams():
        found = []
        for fd in range(3):
            try:
                found.append(os.readlink(f"/proc/self/fd/{fd}"))
            except OSError:
                pass
        return found

    if __name__ == "__main__":
        ctx = forkful.get_context(sys.argv[1])
        gate = ctx.Event()
        child = ctx.Process(target=gate.wait)
        child.start()
        text = "\\n".join(["known", *streams()])
        gate.set()
        child.join()
        with open(sys.argv[2], "w") as file:
            file.write(text)
    """


def test_no_memfd_and_no_epoll_object_is_a_standard_stream(
    start_method: str, tmp_path: Path
) -> None:
    """With a living child: what is kept for it is there."""
    program, answer = tmp_path / "program.py", tmp_path / "answer"
    program.write_text(textwrap.dedent(PROGRAM))
    subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, program, start_method, answer],
        timeout=LONG,
        check=True,
    )
    known, *streams = answer.read_text().splitlines()
    assert known == "known"
    assert not [link for link in streams if "memfd" in link or "eventpoll" in link], streams


EPOLL = """
    import os, sys
    from forkful import _native, descriptors
    os.close(0)
    poll, fd = descriptors.epoll(), _native.own_file("one")
    try:
        os.fstat(0)
        print("taken")
    except OSError:
        print(poll.fileno() > 2, fd > 2, os.get_inheritable(poll.fileno()), os.get_inheritable(fd))
        print(poll.poll(0))
    """


def test_each_is_made_above_them_and_works() -> None:
    command = [sys.executable, "-c", textwrap.dedent(EPOLL)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    assert (done.stdout, done.stderr) == ("True True False False\n[]\n", "")
