"""Many producers, many consumers: when the last producer is done, a sentinel for each consumer.

$ python examples/producers_consumers.py
"""

from multiprocessing import Process, Queue

PRODUCERS, CONSUMERS, EACH = 3, 2, 4
END = None  # a value that is never an item


def bake(counter, baker):
    for number in range(EACH):
        counter.put(f"bun {number} of baker {baker}")


def eat(counter, eaten):
    buns = []
    while (bun := counter.get()) is not END:
        buns.append(bun)
    eaten.put(buns)


def main():
    counter, eaten = Queue(), Queue()
    bakers = [Process(target=bake, args=(counter, n)) for n in range(PRODUCERS)]
    eaters = [Process(target=eat, args=(counter, eaten)) for _ in range(CONSUMERS)]
    for process in bakers + eaters:
        process.start()
    for process in bakers:
        process.join()  # now everything is in the queue
    for _ in eaters:
        counter.put(END)  # a consumer that has found its sentinel takes no other one's
    buns = sorted(bun for _ in eaters for bun in eaten.get())
    for process in eaters:
        process.join()
    print(*buns, sep="\n")
    print(f"{len(buns)} buns, none lost, none eaten twice: {len(set(buns)) == PRODUCERS * EACH}")


if __name__ == "__main__":
    main()
