"""A client of the upper-case servers: one line there and back for each word.

$ python examples/tcp_client.py PORT WORD...
"""

import socket
import sys


def main(port, words):
    with socket.create_connection(("127.0.0.1", port)) as server:
        with server.makefile("rw", encoding="utf-8") as lines:
            for word in words:
                lines.write(word + "\n")
                lines.flush()
                print(lines.readline(), end="")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
