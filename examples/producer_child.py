"""A producer as a child, consumed by the parent, until a sentinel says that this was all.

$ python examples/producer_child.py
"""

from multiprocessing import Process, Queue

END = None  # a value that is never an item


def bake(counter):
    for number in range(1, 6):
        counter.put(f"bun {number}")
    counter.put(END)


def main():
    counter = Queue(maxsize=2)  # the baker waits when two lie there
    baker = Process(target=bake, args=(counter,))
    baker.start()
    for bun in iter(counter.get, END):
        print("ate", bun)
    baker.join()
    print("sold out")


if __name__ == "__main__":
    main()
