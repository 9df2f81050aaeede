"""A pool with callbacks: each result is looked after in the parent as soon as it is there.

$ python examples/pool_callback.py

Callbacks run in the parent, in one thread, one after the other: they can change what they like there,
and should be short.
"""

import os
from functools import partial
from multiprocessing import Pool


def divide(a, b):
    return a / b, os.getpid()


def main():
    parent, quotients, failures = os.getpid(), {}, {}

    def keep(task, result):
        quotient, worker = result
        assert worker != parent == os.getpid()
        quotients[task] = quotient

    def complain(task, error):
        failures[task] = f"{type(error).__name__}: {error}"

    with Pool(2) as pool:
        for task in [(9, 3), (1, 0), (7, 2), ("8", 4)]:
            pool.apply_async(
                divide, task, callback=partial(keep, task), error_callback=partial(complain, task)
            )
        pool.close()  # nothing more will come,
        pool.join()  # so wait until all is done, callbacks included
    for task, quotient in sorted(quotients.items()):
        print(task, "gives", quotient)
    for task in sorted(failures, key=str):
        print(task, "failed:", failures[task])


if __name__ == "__main__":
    main()
