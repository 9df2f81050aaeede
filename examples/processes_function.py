"""A process for a function call, and why it needs a way to answer.

$ python examples/processes_function.py

A process has memory of its own: what it changes there, nobody else sees. What others should know is
sent.
"""

from multiprocessing import Process, SimpleQueue

seen = []


def square(number, answers, *, name="?"):
    seen.append(number)  # in this process only
    answers.put((name, number * number))


def main():
    answers = SimpleQueue()
    processes = [
        Process(target=square, args=(number, answers), kwargs={"name": f"square of {number}"})
        for number in range(5)
    ]
    for process in processes:
        process.start()  # all of them run now, at the same time
    for name, answer in sorted(answers.get() for _ in processes):  # they come in any order
        print(name, "is", answer)
    for process in processes:
        process.join()
    print("seen here:", seen)


if __name__ == "__main__":
    main()
