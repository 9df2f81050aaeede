"""One file that several processes append to: a lock keeps each record whole.

$ python examples/shared_file.py
"""

import os
import tempfile
from multiprocessing import Lock, Process
from time import sleep

WRITERS, RECORDS = 4, 25


def write(path, lock, writer):
    for number in range(RECORDS):
        with lock, open(path, "a") as file:
            file.write(f"begin {writer} {number}\n")
            file.flush()
            sleep(0.001)  # without the lock, others would write in between here
            file.write(f"end {writer} {number}\n")


def main():
    lock = Lock()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "records.txt")
        writers = [Process(target=write, args=(path, lock, n)) for n in range(WRITERS)]
        for process in writers:
            process.start()
        for process in writers:
            process.join()

        with open(path) as file:
            lines = file.read().splitlines()
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    torn = [pair for pair in pairs if pair[0].split()[1:] != pair[1].split()[1:]]
    print(len(pairs), "records from", WRITERS, "processes,", len(torn), "torn")
    for n in range(WRITERS):
        own = [int(begin.split()[2]) for begin, _ in pairs if begin.split()[1] == str(n)]
        print(f"those of writer {n} are in order:", own == list(range(RECORDS)))


if __name__ == "__main__":
    main()
