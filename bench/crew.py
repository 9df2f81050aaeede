"""Processes that start working at the same moment and tell when they began and ended.

Held together by plain pipes, so that no peer's own primitive takes part in another's measurement.
"""

import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

Span = tuple[float, float]
"""Begin and end, in seconds of `time.perf_counter`, which all processes of a machine share."""

_SPAN = struct.Struct("dd")


def run_crew(process: Callable[..., Any], works: Sequence[Callable[[], Span]]) -> list[Span]:
    """Run each function in a forked process of its own, all released together.

    Blocks until all have ended.

    Args:
        process: A `Process` class of a fork context.
        works: The functions; each returns its span.

    Returns:
        The spans, in order.

    Raises:
        RuntimeError: A process ended without telling its span.
    """
    ready, i_am_ready = os.pipe()
    gate, open_gate = os.pipe()
    told = [os.pipe() for _ in works]

    def member(work: Callable[[], Span], tell: int) -> None:
        os.close(open_gate)  # or the crew would wait for ever on a parent that is gone
        os.write(i_am_ready, b".")
        if os.read(gate, 1):
            os.write(tell, _SPAN.pack(*work()))

    crew = [process(target=member, args=(w, t)) for w, (_, t) in zip(works, told, strict=True)]
    for each in crew:
        each.start()
    os.close(i_am_ready)
    for _, tell in told:
        os.close(tell)
    for _ in crew:
        if not os.read(ready, 1):
            raise RuntimeError("a process of the measurement ended before it began")
    os.write(open_gate, b"." * len(crew))
    answers = [os.read(hear, _SPAN.size) for hear, _ in told]
    for each in crew:
        each.join()
    if any(len(answer) < _SPAN.size for answer in answers):
        raise RuntimeError("a process of the measurement ended without telling its time")
    return [_SPAN.unpack(answer) for answer in answers]
