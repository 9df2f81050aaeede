"""A manager's dict and list: they live in a process of their own, and others have proxies of them.

$ python examples/manager.py
"""

from multiprocessing import Manager, Process


def count(text, lengths, log, lock):
    for word in text.split():
        with lock:  # each operation is whole by itself; reading and then writing are two
            lengths[len(word)] = lengths.get(len(word), 0) + 1
    log.append(f"{len(text.split())} words")


def main():
    texts = ["the quick brown fox", "jumps over the lazy dog", "and never looks back"]
    with Manager() as manager:
        lengths, log, lock = manager.dict(), manager.list(), manager.Lock()
        processes = [Process(target=count, args=(text, lengths, log, lock)) for text in texts]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        print("words by length:", dict(sorted(lengths.items())))
        print("log:", sorted(log))

        plain = manager.dict(words=[])
        plain["words"].append("lost")  # changes a copy that nobody keeps
        print("a plain list in it:", plain["words"])
        plain["words"] = plain["words"] + ["kept"]  # tells the manager
        print("assigned again:", plain["words"])


if __name__ == "__main__":
    main()
