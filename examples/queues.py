"""A queue: what one process puts, another gets, in order and as a copy.

$ python examples/queues.py
"""

import queue
from multiprocessing import Process, Queue


def fill(basket):
    for item in ("apple", ["pear", "plum"], {"figs": 3}, None, 2.5):
        basket.put(item)  # anything that can be pickled


def main():
    basket = Queue()
    process = Process(target=fill, args=(basket,))
    process.start()
    for _ in range(5):
        print("got", basket.get())  # waits until there is something
    process.join()

    item = ["mine"]
    basket.put(item)
    copy = basket.get()
    print("the same:", copy is item, "- equal:", copy == item)

    try:
        basket.get(timeout=0.1)
    except queue.Empty:
        print("nothing came in time")

    small = Queue(maxsize=2)
    small.put(1)
    small.put(2)
    try:
        small.put(3, block=False)  # a put waits while the queue is full, unless told not to
    except queue.Full:
        print("full with", small.get(), "and", small.get())


if __name__ == "__main__":
    main()
