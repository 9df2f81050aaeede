"""A service over a pipe: requests there, answers back, an error as an answer like any other.

$ python examples/adder_service.py
"""

from multiprocessing import Pipe, Process


def serve(requests):
    for numbers in iter(requests.recv, None):
        try:
            requests.send((True, sum(numbers)))
        except Exception as error:  # of the request, so the client's: the service goes on
            requests.send((False, error))


class Adder:
    """The client's side: a call is a request and its answer."""

    def __enter__(self):
        self.requests, there = Pipe()
        self.process = Process(target=serve, args=(there,))
        self.process.start()
        there.close()
        return self

    def __exit__(self, *_):
        self.requests.send(None)
        self.process.join()

    def add(self, *numbers):
        self.requests.send(numbers)
        good, answer = self.requests.recv()
        if not good:
            raise answer
        return answer


def main():
    with Adder() as adder:
        print("2 + 3 =", adder.add(2, 3))
        print("1 + ... + 100 =", adder.add(*range(1, 101)))
        try:
            adder.add(1, "two")
        except TypeError as error:
            print("1 + 'two':", error)
        print("0.5 + 0.25 =", adder.add(0.5, 0.25))
    print("exit code", adder.process.exitcode)


if __name__ == "__main__":
    main()
