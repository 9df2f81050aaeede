"""The classic mistake: nobody tells the consumer that nothing more will come.

$ python examples/producer_forgotten_end.py         # never ends: press Ctrl-C
$ forkful run examples/producer_forgotten_end.py    # DeadlockError: who waits, for what, and where

The producer is done, the consumer waits for the next item, and the parent waits for the consumer.
"""

import sys
from multiprocessing import Process, Queue


def bake(counter):
    for number in range(1, 4):
        counter.put(f"bun {number}")


def eat(counter):
    while True:
        print("ate", counter.get(), flush=True)


def main():
    counter = Queue()
    baker = Process(target=bake, args=(counter,), name="baker")
    eater = Process(target=eat, args=(counter,), name="eater")
    baker.start()
    eater.start()
    baker.join()
    eater.join()
    sys.exit(eater.exitcode)  # who waits for a process should look how it ended


if __name__ == "__main__":
    main()
