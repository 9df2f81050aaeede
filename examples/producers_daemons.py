"""Producers that wait until all is consumed, and consumers that need not be told to stop.

$ python examples/producers_daemons.py

Each item that was got is reported as done, `join` of the queue waits until all are, and the consumers
are daemons: they end with the program.
"""

from multiprocessing import JoinableQueue, Process, Value


def bake(counter, baker):
    for number in range(4):
        counter.put((baker, number))
    counter.join()  # until every bun is eaten, this baker's and the others'


def eat(counter, eaten):
    while True:
        counter.get()
        with eaten.get_lock():
            eaten.value += 1
        counter.task_done()  # only now: what join() waits for has been done


def main():
    counter, eaten = JoinableQueue(), Value("i", 0)
    bakers = [Process(target=bake, args=(counter, n)) for n in range(3)]
    eaters = [Process(target=eat, args=(counter, eaten), daemon=True) for _ in range(2)]
    for process in bakers + eaters:
        process.start()
    for process in bakers:
        process.join()
    print("eaten when the last baker went home:", eaten.value)
    print("eaters still there:", sum(process.is_alive() for process in eaters))


if __name__ == "__main__":
    main()
