"""What a thread waits for that is not forkful's, by where in the kernel it sleeps."""

from __future__ import annotations

from forkful.snapshot import Member

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


def what(member: Member) -> tuple[str, bool]:
    """Say what the first unlisted thread of a process waits for, and whether that may be I/O."""
    if member.state == "D":
        return "a disk", True
    for table, is_io in ((_IO, True), (_OTHER, False)):
        for part, words in table.items():
            if part in member.kernel:
                return words, is_io
    return UNKNOWN, True
