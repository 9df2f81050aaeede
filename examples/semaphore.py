"""A semaphore of 5: a room for five, and ten who want to go in.

$ python examples/semaphore.py
"""

from multiprocessing import Barrier, Process, Semaphore, Value

PLACES, VISITORS = 5, 10


def visit(room, inside, most, table):
    with room:  # waits while five are inside
        with inside.get_lock():
            inside.value += 1
            most.value = max(most.value, inside.value)
        table.wait()  # dinner begins when all five places are taken
        with inside.get_lock():
            inside.value -= 1


def main():
    room, table = Semaphore(PLACES), Barrier(PLACES)
    inside, most = Value("i", 0), Value("i", 0, lock=False)
    visitors = [Process(target=visit, args=(room, inside, most, table)) for _ in range(VISITORS)]
    for process in visitors:
        process.start()
    for process in visitors:
        process.join()
    print(VISITORS, "visitors, never more than", most.value, "inside")
    print(inside.value, "inside now, and room for", room.get_value())


if __name__ == "__main__":
    main()
