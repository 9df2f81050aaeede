"""TCP servers on processes: a crew of workers (`Server`), or a process for each client (`ProcessServer`).

    def shout(client, address):
        with client.makefile("rw") as lines:
            for line in lines:
                lines.write(line.upper())
                lines.flush()

    with Server(("127.0.0.1", 8000), shout, workers=4) as server:
        server.serve_forever()

A handler is a function of a connected socket and its address, or a `socketserver.BaseRequestHandler`
class. Names are those of `socketserver` and of gunicorn.
"""

from forkful.server.base import Interrupted
from forkful.server.perclient import ProcessServer
from forkful.server.prefork import Server, ServerStatistics, ServerWorker

__all__ = ["Interrupted", "ProcessServer", "Server", "ServerStatistics", "ServerWorker"]
