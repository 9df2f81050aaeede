"""What a thread waits for that is not the family's own: another's end of a pipe, or what the kernel tells of
where it sleeps.
"""

from __future__ import annotations

from collections.abc import Mapping

from forkful.snapshot import OF_PIPES, Member, Wait

# Parts of names of functions of the kernel; the first that fits.
_IO = {
    "pipe_": "a pipe",
    "tty_": "a terminal",
    "sk_": "a socket",
    "inet_": "a socket",
    "unix_": "a socket",
    "skb_": "a socket",
    "poll": "I/O, by poll",
    "select": "I/O, by select",
    "lock_page": "a file",
    "folio": "a file",
    "nfs": "a file server",
}
_OTHER = {
    "nanosleep": "the end of a sleep",
    "futex": "another thread of its process",
    "do_wait": "the end of a program",
    "sigtimedwait": "a signal",
    "sigsuspend": "a signal",
    "do_pause": "a signal",
}
UNKNOWN = "something outside forkful (I/O, a sleep, a program)"


def reaches_out(wait: Wait, pids: Mapping[int, object]) -> bool:
    """Whether somebody who is not one of these may end a wait."""
    if wait.operation not in OF_PIPES:
        return False
    return wait.others is None or not set(wait.others) <= pids.keys()


def other_end(wait: Wait, names: Mapping[int, str]) -> str:
    """`a pipe whose other end Process-1 (pid 17) has`, as far as it is known."""
    if wait.operation == "Listener.accept":
        return "a client"
    if wait.operation == "connection.wait":
        return "one of several pipes, sockets, processes"
    if not wait.others:
        return "a pipe or socket"
    known = [names.get(pid, f"process {pid}") for pid in wait.others]
    if len(known) == 1:
        return f"a pipe whose other end {known[0]} has"
    return f"a pipe whose other end {', '.join(known[:-1])} and {known[-1]} have"


def what(member: Member) -> tuple[str, bool]:
    """Say what the first unlisted thread of a process waits for, and whether that may be I/O.

    Where each thread is on the board: what the first that waits for a pipe does.
    """
    if not member.unlisted:
        first = next((w for w in member.waits if w.operation in OF_PIPES), None)
        return (other_end(first, {}), True) if first else (UNKNOWN, True)
    if member.state == "D":
        return "a disk", True
    for table, is_io in ((_IO, True), (_OTHER, False)):
        for part, words in table.items():
            if part in member.kernel:
                return words, is_io
    return UNKNOWN, True
