"""A process as a subclass: its arguments are attributes, its work is `run`.

$ python examples/processes_subclass.py
"""

from multiprocessing import Process, SimpleQueue


class WordCount(Process):
    def __init__(self, title, text, counts):
        super().__init__(name=f"count of {title}")  # before anything else
        self.title, self.text, self.counts = title, text, counts

    def run(self):
        """Runs in the new process, which has its own copy of this object."""
        self.words = len(self.text.split())
        self.counts.put((self.title, self.words, self.name))


def main():
    texts = {
        "a haiku": "an old silent pond / a frog jumps into the pond / splash silence again",
        "a proverb": "many hands make light work",
    }
    counts = SimpleQueue()
    processes = [WordCount(title, text, counts) for title, text in texts.items()]
    for process in processes:
        process.start()
    for title, words, name in sorted(counts.get() for _ in processes):
        print(f"{title}: {words} words, says the {name}")
    for process in processes:
        process.join()
    print("the parent's objects know them:", any(hasattr(p, "words") for p in processes))


if __name__ == "__main__":
    main()
