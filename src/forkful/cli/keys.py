"""By what a journal knows an item."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from forkful.cli.trays import KEY_SIZE

_text = blake2b(digest_size=KEY_SIZE, person=b"text")
_json = blake2b(digest_size=KEY_SIZE, person=b"json")


def key_of(item: Any, said: bytes) -> bytes:
    """Return the hash that an item is known by. A string and a JSON value that looks like it
    differ.

    Args:
        item: A string, or a JSON value.
        said: The same as `encode` says it.
    """
    if isinstance(item, str):
        hasher = _text.copy()  # half the price of a new one
        hasher.update(item.encode("utf-8", "surrogatepass"))
    else:
        hasher = _json.copy()
        hasher.update(said)
    return hasher.digest()
