"""A pool, many calls at once: `apply_async` returns at once, and `get` of its result waits.

$ python examples/pool_async.py
"""

from multiprocessing import Pool, TimeoutError
from time import sleep


def is_prime(number):
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))


def main():
    with Pool(4) as pool:
        results = {n: pool.apply_async(is_prime, (n,)) for n in (2, 9, 97, 561, 104729)}
        for number, result in results.items():  # all are under way; these waits do not add up
            print(number, "is prime:", result.get())

        slow = pool.apply_async(sleep, (3600,))
        try:
            slow.get(timeout=0.1)
        except TimeoutError:
            print("not ready in time:", not slow.ready())

        bad = pool.apply_async(is_prime, ("seven",))
        bad.wait()
        print("successful:", bad.successful())
        try:
            bad.get()
        except TypeError as error:
            print("TypeError:", error)
    # Leaving the block terminates the pool, the task that still sleeps included.


if __name__ == "__main__":
    main()
