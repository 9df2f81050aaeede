"""One producer, one consumer, each a process, with a queue between them.

$ python examples/producer_consumer.py
"""

from multiprocessing import Process, Queue

END = None  # a value that is never an item


def bake(counter):
    for number in range(1, 6):
        counter.put(f"bun {number}")
    counter.put(END)


def eat(counter):
    while (bun := counter.get()) is not END:
        print("ate", bun, flush=True)


def main():
    counter = Queue(maxsize=2)
    baker = Process(target=bake, args=(counter,))
    eater = Process(target=eat, args=(counter,))
    baker.start()
    eater.start()
    baker.join()
    eater.join()
    print("sold out")


if __name__ == "__main__":
    main()
