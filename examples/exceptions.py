"""Exceptions in one process: many branches, own types, raise, assert, else and finally.

$ python examples/exceptions.py
"""

STOCK = {"apple": 5, "pear": 0, "plum": -1}


class OrderError(Exception):
    """Root of what can be wrong with an order: who catches this catches all of them."""


class OutOfStock(OrderError):
    def __init__(self, item, wanted, left):
        super().__init__(item, wanted, left)  # what str(), repr() and pickle go by
        self.item, self.wanted, self.left = item, wanted, left

    def __str__(self):
        return f"{self.wanted} of {self.item} wanted, {self.left} left"


def left_after(order):
    count, item = order.split()
    count = int(count)
    left = STOCK[item]
    assert left >= 0, f"the stock of {item} is wrong"  # never true of input, only of a mistake
    if count > left:
        raise OutOfStock(item, count, left)
    if count < 1:
        raise OrderError(f"{count} is no number to order")
    return left - count


def attempt(order):
    print(f"{order!r}:")
    try:
        left = left_after(order)
    except OutOfStock as error:  # the special before the general
        print("  out of stock:", error, "- missing:", error.wanted - error.left)
    except OrderError as error:
        print("  refused:", error)
    except (ValueError, KeyError) as error:
        print(f"  not understood: {type(error).__name__}: {error}")
    except AssertionError as error:
        raise RuntimeError("stop selling") from error  # another error, which keeps its cause
    else:
        print("  sold,", left, "left")
    finally:
        print("  (finally: always)")


def main():
    for order in ("2 apple", "9 apple", "0 apple", "many apple", "apple", "1 fig", "1 plum"):
        try:
            attempt(order)
        except RuntimeError as error:
            print(f"  {error}, because {error.__cause__}")


if __name__ == "__main__":
    main()
