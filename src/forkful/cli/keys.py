"""By what a journal knows an item."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from forkful.cli.trays import KEY_SIZE


def key_of(item: Any, said: bytes) -> bytes:
    """Return the hash that an item is known by. A string and a JSON value that looks like it
    differ.

    Args:
        item: A string, or a JSON value.
        said: The same as `encode` says it.
    """
    if isinstance(item, str):
        return blake2b(
            item.encode("utf-8", "surrogatepass"), digest_size=KEY_SIZE, person=b"text"
        ).digest()
    return blake2b(said, digest_size=KEY_SIZE, person=b"json").digest()
