"""One ticket and 100 buyers: look and buy must be one step, and a lock makes them one.

$ python examples/tickets.py
"""

from multiprocessing import Barrier, Event, Lock, Process, Queue, Value
from time import sleep


def buy_under_lock(tickets, lock, doors, sold):
    doors.wait()
    with lock:
        there = tickets.value > 0
        if there:
            sleep(0.001)  # to pay takes a moment
            tickets.value -= 1
    sold.put(there)


def buy_without(tickets, everybody_has_looked, sold):
    there = tickets.value > 0
    everybody_has_looked.wait()  # what chance does now and then, a barrier does for certain
    if there:
        tickets.value -= 1
    sold.put(there)


def sell(target, buyers, *args, doors=None):
    sold = Queue()
    processes = [Process(target=target, args=(*args, sold)) for _ in range(buyers)]
    for process in processes:
        process.start()
    if doors:
        doors.set()
    number = sum(sold.get() for _ in processes)
    for process in processes:
        process.join()
    return number


def main():
    tickets, doors = Value("i", 1, lock=False), Event()
    number = sell(buy_under_lock, 100, tickets, Lock(), doors, doors=doors)
    print(f"with a lock: 1 ticket, 100 buyers, {number} sold, {tickets.value} left")

    tickets = Value("i", 1, lock=False)
    number = sell(buy_without, 5, tickets, Barrier(5))
    print(f"without: 1 ticket, 5 buyers, {number} sold")


if __name__ == "__main__":
    main()
