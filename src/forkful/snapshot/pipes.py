"""Who has the other end of a pipe or socket that somebody waits for, as `/proc` and the kernel tell."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

__all__ = ["other_ends"]

End = tuple[int, int]  # a process and its descriptor
_DIAG_BY_FAMILY, _REQUEST, _SHOW_PEER, _PEER = 20, 1, 4, 2  # of linux/sock_diag.h and unix_diag.h
_HEAD, _ASK, _TOLD, _ATTRIBUTE = "=LHHLL", "=BBHLLLLL", "=BBBBLLL", "=HH"


def other_ends(ends: Iterable[End]) -> dict[End, tuple[int, ...]]:
    """Return the pids of all that have the other end open, for each end of which that is known.

    A socket that is connected to another host, or in another network namespace, is none of these. Processes
    that may not be looked at are not found.
    """
    wanted = {end: found for end in ends if (found := _other(*end)) is not None}
    if not wanted:
        return {}
    holders: dict[tuple[str, int | None], set[int]] = {other: set() for other in wanted.values()}
    links = {link for link, _ in holders}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    link = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if link in links:
                        for key in ((link, None), (link, _mode(pid, int(fd)))):
                            holders.setdefault(key, set()).add(pid)
    return {end: tuple(sorted(holders[other])) for end, other in wanted.items()}


def _other(pid: int, fd: int) -> tuple[str, int | None] | None:
    """How the other end is called in `/proc`, and for pipes which way it is open."""
    with suppress(OSError, ValueError):
        link = os.readlink(f"/proc/{pid}/fd/{fd}")
        if link.startswith("pipe:"):
            return link, os.O_WRONLY if _mode(pid, fd) == os.O_RDONLY else os.O_RDONLY
        if link.startswith("socket:["):
            peer = _peer(int(link[8:-1]))
            return (f"socket:[{peer}]", None) if peer else None
    return None


def _mode(pid: int, fd: int) -> int:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
        for line in f:
            if line.startswith("flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE
    return -1


def _peer(inode: int) -> int | None:
    """The inode of the socket that a Unix socket is connected to."""
    ask = struct.pack(_ASK, socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode, _SHOW_PEER, *(0xFFFFFFFF,) * 2)
    head = struct.calcsize(_HEAD)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as kernel:  # NETLINK_SOCK_DIAG
        kernel.settimeout(1)
        kernel.send(struct.pack(_HEAD, head + len(ask), _DIAG_BY_FAMILY, _REQUEST, 1, 0) + ask)
        answer = kernel.recv(4096)
    if struct.unpack_from(_HEAD, answer)[1] != _DIAG_BY_FAMILY:
        return None
    at, end = head + struct.calcsize(_TOLD), struct.unpack_from(_HEAD, answer)[0]
    while at + 4 <= end:
        size, kind = struct.unpack_from(_ATTRIBUTE, answer, at)
        if kind == _PEER:
            return int(struct.unpack_from("=L", answer, at + 4)[0])
        at += max(4, (size + 3) & ~3)
    return None
