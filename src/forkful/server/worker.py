"""A worker of a pre-fork server: takes a connection, serves it, takes the next.

All workers accept on one socket. Each tries without waiting first, so a busy server pays one system call for a
connection; who finds none waits in an epoll of its own, of which the kernel wakes only one for a connection
(EPOLLEXCLUSIVE). A connection that wakes a worker which is killed before it accepts is found by whoever
tries next: by its successor, at once.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import current_process
from typing import Any

from forkful.family import Words
from forkful.server.service import Orders, Service

__all__ = ["CONNECTIONS", "READY", "SINCE", "WORDS", "WorkerConfig", "work"]

READY, SINCE, CONNECTIONS, WORDS = range(4)
"""A worker's words: 1 once it accepts; when its connection began (monotonic ns; 0: it has none); how many it
has served. Written by the worker alone, read by the parent."""

_SLICE = 1.0  # seconds after which an idle worker looks whether it has missed a signal
_SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

logger = logging.getLogger("forkful.server")


@dataclass(slots=True)
class WorkerConfig:
    """All that a worker needs; it travels to it at its start."""

    listener: socket.socket
    service: Service
    words: Words
    max_requests: int  # 0: no end
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]


def work(config: WorkerConfig) -> None:
    """Be a worker, in a process of its own, until told to stop or `max_requests` are served."""
    orders = Orders()
    if config.initializer is not None:
        config.initializer(*config.initargs)
    gc.freeze()  # what was there at the start stays: let no collection walk (and copy) it
    listener, store = config.listener, config.words.store
    listener.setblocking(False)
    with select.epoll() as waiting:
        waiting.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        waiting.register(orders.wake, select.EPOLLIN)
        store(READY, 1)
        served = 0
        while not orders.stopping:
            try:
                client, address = listener.accept()
            except BlockingIOError:
                waiting.poll(_SLICE)
                continue
            except OSError as error:
                if error.errno == errno.EINVAL:
                    return  # the parent has shut it
                _bear(error)
                continue
            store(SINCE, time.monotonic_ns())
            config.service.serve(client, address, orders)
            del client  # a reference would keep what the handler has left open
            served += 1
            store(CONNECTIONS, served)
            store(SINCE, 0)
            if served == config.max_requests:
                return


def _bear(error: OSError) -> None:
    """Accepting has failed: go on if that will pass."""
    if error.errno in _SHORT_OF:
        logger.error(
            "%s (pid %d) cannot accept: %s. It will try again: close what handlers no longer need, or raise "
            "the limit (ulimit -n)",
            current_process().name,
            os.getpid(),
            error,
        )
        time.sleep(0.1)  # nothing tells when there is room again
    elif error.errno in (errno.EBADF, errno.ENOTSOCK):
        sys.exit(f"a handler has closed the listening socket: {error}")
