"""The crawler reads every page that can be read, and says of every other one why not."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest

from tests.examples.conftest import Runner

PAGES = {
    "/": '<html><title>Home</title><a href="about">About</a> <a href="missing">?</a>'
    '<a href="slow">...</a> <a href="broken">!</a> <a href="deep/">down</a>'
    '<a href="http://elsewhere.invalid/">out</a> <a name="no link">',
    "/about": '<title> About us </title><a href="/#top">home</a><a href="about">here</a>',
    "/broken": "<html><title>Half a ti",
    "/deep/": '<title>Deep</title><a href="deeper">x</a>',
    "/deep/deeper": '<title>Deeper &amp; last</title><a href="../about">up</a>',
    "/deadly-home": '<title>Danger</title><a href="deadly-home/deadly">x</a>'
    '<a href="deadly-home/harmless">y</a>',
    "/deadly-home/harmless": "<title>Harmless</title>",
}


class Site(ThreadingHTTPServer):
    """Serves PAGES, leaves /slow without an answer, and kills who asks for a deadly page."""

    daemon_threads = False  # so that server_close() waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self.asked: Counter[str] = Counter()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked[self.path] += 1
        if self.path == "/slow":
            self.server.closing.wait()
            return
        if self.path.endswith("/deadly"):
            os.kill(self.client_pid(), signal.SIGKILL)
            return
        if self.path not in PAGES:
            self.send_error(404)
            return
        body = PAGES[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def client_pid(self) -> int:
        # By both ends: another connection may have the same port of its own, to another place.
        ends = self.client_address[1], self.connection.getsockname()[1]
        found = (c for c in psutil.net_connections("tcp") if c.raddr)
        (pid,) = {c.pid for c in found if (c.laddr.port, c.raddr.port) == ends}
        assert pid is not None
        return pid

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        site.shutdown()
        thread.join()
        site.closing.set()


def test_each_page_is_read_once_and_each_failure_has_its_reason(runner: Runner, site: Site) -> None:
    ran = runner.run("crawler.py", f"{site.address}/")

    *lines, broken, missing, slow = ran.out.splitlines()
    assert lines == [
        f"{site.address}/ - Home",
        f"{site.address}/about - About us",
        f"{site.address}/deep/ - Deep",
        f"{site.address}/deep/deeper - Deeper & last",
    ]
    assert broken == f"{site.address}/broken FAILED: BrokenPage: it has no whole title"
    assert missing.startswith(f"{site.address}/missing FAILED: HTTPError: 404 Client Error: ")
    assert slow.startswith(f"{site.address}/slow FAILED: ReadTimeout: ")
    assert (ran.status, ran.err) == (1, "")
    paths = ["/", "/about", "/broken", "/deep/", "/deep/deeper", "/missing", "/slow"]
    assert site.asked == dict.fromkeys(paths, 1)


@pytest.mark.parametrize("runner", ["forkful run"], indirect=True)  # `python` waits for ever
def test_a_page_whose_worker_was_killed_is_named_and_the_others_are_read(
    runner: Runner, site: Site
) -> None:
    ran = runner.run("crawler.py", f"{site.address}/deadly-home")

    *titles, failure = ran.out.splitlines()
    assert titles == [
        f"{site.address}/deadly-home - Danger",
        f"{site.address}/deadly-home/harmless - Harmless",
    ]
    assert failure.startswith(f"{site.address}/deadly-home/deadly FAILED: WorkerDied: ")
    assert "SIGKILL" in failure
    assert (ran.status, ran.err) == (1, "")
