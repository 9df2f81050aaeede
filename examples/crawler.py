"""A crawler: pages are fetched in a pool and parsed in the callback, which finds more of them.

$ pip install requests
$ python examples/crawler.py http://127.0.0.1:8000/

It stays below the first page's address, prints the title of each page that it could read, and names
each that it could not and why. When a worker is killed (by a kernel short of memory, say), plain
`python` waits for ever; with `forkful run` that page is one more that failed.
"""

import sys
from functools import partial
from html.parser import HTMLParser
from multiprocessing import Pool
from urllib.parse import urljoin

import requests


class BrokenPage(Exception):
    pass


class Page(HTMLParser):
    """A page's title and links."""

    def __init__(self, text):
        super().__init__()
        self.tag, self.title, self.links = "", "", []
        self.feed(text)
        self.close()
        if self.tag == "title" or not self.title:
            raise BrokenPage("it has no whole title")

    def handle_starttag(self, tag, attributes):
        self.tag = tag
        if tag == "a":
            self.links += [value for name, value in attributes if name == "href" and value]

    def handle_data(self, data):
        if self.tag == "title":
            self.title += data.strip()

    def handle_endtag(self, tag):
        self.tag = ""


def fetch(url):
    response = requests.get(url, timeout=5)
    response.raise_for_status()
    return response.text


def crawl(start):
    """Fetch all that can be reached. Returns titles and failures, by address."""
    titles, failures, seen, pending = {}, {}, {start}, []

    def submit(url):
        failed = partial(failures.__setitem__, url)
        parsed = partial(parse, url)
        result = pool.apply_async(fetch, (url,), callback=parsed, error_callback=failed)
        pending.append(result)

    def parse(url, text):
        try:
            page = Page(text)
        except BrokenPage as error:  # nobody would catch what a callback raises
            failures[url] = error
            return
        titles[url] = page.title
        for link in page.links:
            link = urljoin(url, link).partition("#")[0]
            if link.startswith(start) and link not in seen:
                seen.add(link)
                submit(link)

    with Pool(4) as pool:
        submit(start)
        for result in pending:  # it grows meanwhile:
            result.wait()  # a result is ready when its callback has run
    return titles, failures


def main(start):
    titles, failures = crawl(start)
    for url, title in sorted(titles.items()):
        print(url, "-", title)
    for url, error in sorted(failures.items()):
        print(url, "FAILED:", f"{type(error).__name__}: {error}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
