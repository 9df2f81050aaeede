"""The fork server of this process, by the names of `multiprocessing.forkserver`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forkful.launch.forkserver import ForkServer, server
from forkful.stdlib import names_of

__all__ = [
    "ForkServer",
    "connect_to_new_process",
    "ensure_running",
    "get_inherited_fds",
    "set_forkserver_preload",
]

_forkserver = server
connect_to_new_process = server.connect_to_new_process
ensure_running = server.ensure_running
get_inherited_fds = server.get_inherited_fds
set_forkserver_preload = server.set_forkserver_preload

if not TYPE_CHECKING:
    __getattr__ = names_of("forkserver")
