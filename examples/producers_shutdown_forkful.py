"""Producers and consumers without sentinels: the queue itself is shut down.

$ python examples/producers_shutdown_forkful.py

`shutdown()` is that of `queue.Queue` in Python 3.13, for processes, and on every Python: nothing more
can be put, what is there can still be got, and then every `get` raises ShutDown.
"""

from forkful import Process, Queue, ShutDown


def bake(counter, baker):
    for number in range(4):
        counter.put(f"bun {number} of baker {baker}")


def eat(counter):
    buns = []
    while True:
        try:
            buns.append(counter.get())
        except ShutDown:
            return buns


def main():
    counter = Queue()
    bakers = [Process(target=bake, args=(counter, n)) for n in range(3)]
    eaters = [Process(target=eat, args=(counter,)) for _ in range(2)]
    for process in bakers + eaters:
        process.start()
    for process in bakers:
        process.result()  # as join(), and raises what the baker raised
    counter.shutdown()  # once, however many consumers there are
    buns = sorted(bun for process in eaters for bun in process.result())
    print(*buns, sep="\n")
    try:
        counter.put("one more")
    except ShutDown:
        print("closed")


if __name__ == "__main__":
    main()
