"""Traffic lights: an event is green while it is set, and all who wait for it drive at once.

$ python examples/traffic_lights.py
"""

from multiprocessing import Event, Process, Queue


def drive(car, green, news):
    if not green.is_set():
        news.put((car, "waits at red"))
    green.wait()
    news.put((car, "drives"))


def start(cars, green, news):
    processes = [Process(target=drive, args=(car, green, news)) for car in cars]
    for process in processes:
        process.start()
    return processes


def tell(news, number):
    for car, what in sorted(news.get() for _ in range(number)):
        print(" ", car, what)


def main():
    green, news = Event(), Queue()
    print("red")
    early = start(["bus", "car", "tram"], green, news)
    tell(news, 3)  # now all three stand there

    print("green")
    green.set()
    tell(news, 3)
    late = start(["taxi", "van"], green, news)
    tell(news, 2)  # they come at green and do not stop

    print("red")
    green.clear()
    last = start(["bicycle"], green, news)
    tell(news, 1)

    print("green")
    green.set()
    tell(news, 1)
    for process in early + late + last:
        process.join()


if __name__ == "__main__":
    main()
