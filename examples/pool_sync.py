"""A pool, one call at a time: `apply` waits for its result.

$ python examples/pool_sync.py

Four workers are there, and never more than one has something to do: see pool_async.py.
"""

import os
from multiprocessing import Pool


def cube(number):
    return number**3, os.getpid()


def main():
    with Pool(4) as pool:
        for number in range(5):
            result, pid = pool.apply(cube, (number,))
            print(number, "cubed is", result, "- in another process:", pid != os.getpid())
        print("all of them:", [result for result, _ in pool.map(cube, range(10))])


if __name__ == "__main__":
    main()
