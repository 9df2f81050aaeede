"""A TCP server that answers in upper case, with a process for each client.

$ python examples/tcp_upper_processes.py [PORT]
$ python examples/tcp_client.py PORT hello world

It prints the port it listens on. Ctrl-C or SIGTERM ends it, with all its processes.
"""

import signal
import socket
import sys
from multiprocessing import Process


def serve(client):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody: the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked child has its parent's handler
    with client, client.makefile("rw", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            lines.write(line.upper())
            lines.flush()


def main(port):
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same end as by Ctrl-C
    with socket.create_server(("127.0.0.1", port)) as server:
        print("listening on port", server.getsockname()[1], flush=True)
        try:
            while True:
                client, _ = server.accept()
                with client:  # the child has a copy: this one is to be closed
                    Process(target=serve, args=(client,), daemon=True).start()
        except KeyboardInterrupt:
            print("stopped")  # daemonic processes end with their parent


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
