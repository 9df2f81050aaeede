"""Which children have ended: what each start asks, as by contract it joins them.

The stdlib asks each child, so that a start takes the longer the more are alive. Here the kernel is asked once
for all: whether any child of this process has ended, and for those of a fork server, which are
no children to the kernel, which of their sentinels are ready.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import select
import threading
from contextlib import contextmanager
from multiprocessing import process

from forkful import descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess
    from typing import Any

__all__ = ["collect", "forget", "watching"]

_stdlib: Any = process


_lock = threading.RLock()  # a signal's handler may join a process, too
os.register_at_fork(after_in_child=_lock._at_fork_reinit)


class _Watched:
    """Sentinels of processes that a fork server has made for this process, until they are joined."""

    owner = 0
    poll: select.epoll | None = None  # there while one is watched or awaited: it takes a descriptor
    by_sentinel: dict[int, BaseProcess] = {}  # noqa: RUF012 (one object for the process)
    awaited = 0


@contextmanager
def watching() -> Iterator[Callable[[int, BaseProcess], None]]:
    """Let `collect` know of a process that has a fork server for its parent.

    What that takes is there before the process is asked for, or an exception says that it is not: a
    process that runs cannot be taken back. Gives the function to call with its sentinel and its object.
    """
    with _lock:
        if _Watched.owner != os.getpid():  # what a fork has left here is the parent's
            _Watched.owner, _Watched.poll, _Watched.by_sentinel = os.getpid(), None, {}
            _Watched.awaited = 0
        if _Watched.poll is None:
            _Watched.poll = descriptors.epoll()
        _Watched.awaited += 1
    try:
        yield _watch
    finally:
        with _lock:
            _Watched.awaited -= 1
            _close_if_idle()


def _watch(sentinel: int, process_obj: BaseProcess) -> None:
    with _lock:
        assert _Watched.poll is not None
        _Watched.poll.register(sentinel, select.EPOLLIN)
        _Watched.by_sentinel[sentinel] = process_obj


def forget(sentinel: int) -> None:
    """Watch no more; before the sentinel is closed."""
    with _lock:
        if _Watched.owner != os.getpid() or sentinel not in _Watched.by_sentinel:
            return
        assert _Watched.poll is not None
        del _Watched.by_sentinel[sentinel]
        _Watched.poll.unregister(sentinel)
        _close_if_idle()


def _close_if_idle() -> None:
    if _Watched.poll is not None and not _Watched.by_sentinel and not _Watched.awaited:
        _Watched.poll.close()
        _Watched.poll = None


def collect() -> None:
    """Join the children of this process that have ended. Does not wait."""
    if _a_child_may_have_ended():
        _stdlib._cleanup()
        return
    for ended in _watched_that_have_ended():
        if ended._popen.poll() is not None:
            _stdlib._children.discard(ended)


def _watched_that_have_ended() -> list[Any]:
    with _lock:
        if _Watched.poll is None or _Watched.owner != os.getpid():
            return []
        ready = _Watched.poll.poll(0)
        found = [_Watched.by_sentinel.get(sentinel) for sentinel, _ in ready]
        return [process_obj for process_obj in found if process_obj is not None]


def _a_child_may_have_ended() -> bool:
    # Not `signal.getsignal`, which converts to an enumeration: pages to be copied, at each start.
    if _signal.getsignal(_signal.SIGCHLD) is _signal.SIG_IGN:
        return True  # the kernel forgets them at once: each must be asked
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        # It knows none: whoever is no fork server's has ended, and somebody has waited for it.
        watched = len(_Watched.by_sentinel) if _Watched.owner == os.getpid() else 0
        return len(_stdlib._children) > watched
