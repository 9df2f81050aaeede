"""A TCP server that answers in upper case, with forkful's pre-fork server: four workers accept for themselves.

$ python examples/tcp_prefork_forkful.py [PORT]
$ python examples/tcp_client.py PORT hello world

It prints the port it listens on. SIGTERM lets open connections end, Ctrl-C does not; no process is left.
"""

import sys

from forkful.server import Server


def serve(client, address):
    with client.makefile("rw", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            lines.write(line.upper())
            lines.flush()


def main(port):
    with Server(("127.0.0.1", port), serve, workers=4) as server:
        print("listening on port", server.server_address[1], flush=True)
        server.serve_forever()
    print("stopped")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
