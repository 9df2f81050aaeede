"""Exceptions across processes: what a task raises, its pool raises again in the parent.

$ python examples/exceptions_pool.py

The exception travels by pickle: type, arguments and attributes arrive. Where it was raised arrives as
text, in its cause.
"""

from multiprocessing import Pool

STOCK = {"apple": 5}


class OutOfStock(Exception):
    def __init__(self, item, missing):
        super().__init__(item, missing)  # all arguments: it is rebuilt with them on the other side
        self.item, self.missing = item, missing

    def __str__(self):
        return f"{self.missing} more of {self.item} wanted than there are"


def left_after(count, item):
    left = STOCK[item] - count
    if left < 0:
        raise OutOfStock(item, -left)
    return left


def attempt(pool, *order):
    try:
        left = pool.apply(left_after, order)
    except OutOfStock as error:
        print(order, "-> OutOfStock:", error, (error.item, error.missing))
        print("  raised in left_after:", "in left_after" in error.__cause__.tb)
    except LookupError as error:
        print(order, "->", repr(error))
    else:
        print(order, "->", left, "left")


def main():
    with Pool(2) as pool:
        attempt(pool, 2, "apple")
        attempt(pool, 9, "apple")
        attempt(pool, 1, "fig")
        attempt(pool, 5, "apple")  # a failure costs its own task, and nothing else


if __name__ == "__main__":
    main()
