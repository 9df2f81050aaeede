"""The parent of a program that is run with a report: it waits, passes signals on, and then tells.

The program's processes write what there is to tell into a file without a name (`forkful.ledger`). The
file is read when the program has ended, however it ended.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping

from forkful import ledger
from forkful.cli.streams import say
from forkful.report import processes

_PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
_BY_THE_KERNEL = 128  # SI_KERNEL: a terminal sends to all its processes, the program has it as well


def run(arguments: list[str], environment: Mapping[str, str]) -> int:
    """Run a program and tell of its processes when it has ended.

    Returns:
        Its exit status. If a signal has ended it, the same signal ends this process.
    """
    book = os.memfd_create("forkful-ledger", os.MFD_CLOEXEC)
    here = {ledger.VARIABLE: f"/proc/{os.getpid()}/fd/{book}"}
    waited_for = _PASSED_ON | {signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    pid = os.posix_spawn(arguments[0], arguments, {**environment, **here}, setsigmask=before)
    while True:
        came = signal.sigwaitinfo(waited_for)
        if came.si_signo != signal.SIGCHLD:
            if came.si_code != _BY_THE_KERNEL:
                os.kill(pid, came.si_signo)
            continue
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
    code = os.waitstatus_to_exitcode(status)
    size = os.fstat(book).st_size
    told = os.pread(book, size, 0).decode()
    tree = processes.read(told, pid, code, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)
    say(*processes.lines(tree))
    if code < 0:
        _end_by(-code)
    return code


def _end_by(signum: int) -> None:
    """End this process by the signal that ended the program, without a second core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if signum != signal.SIGKILL:
        signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})
    os.kill(os.getpid(), signum)
