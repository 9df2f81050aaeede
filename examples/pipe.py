"""A pipe: two ends, one process at each, and an end of the conversation.

$ python examples/pipe.py
"""

from multiprocessing import Pipe, Process


def greet(mine, others):
    others.close()  # a forked child holds both ends: the reader sees the end when no writer is left
    while True:
        try:
            name = mine.recv()
        except EOFError:
            break  # the other side has closed its end
        mine.send(f"hello, {name}")
    mine.close()


def main():
    here, there = Pipe()
    process = Process(target=greet, args=(there, here))
    process.start()
    there.close()  # it is the child's now
    for name in ("Ada", "Grace", ["a", "list"]):
        here.send(name)
        print(here.recv())
    print("more to read:", here.poll(0))
    here.close()
    process.join()
    print("exit code", process.exitcode)


if __name__ == "__main__":
    main()
