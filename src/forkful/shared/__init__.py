"""State that processes share at memory speed, without a server: `Dict`, `List`, `Namespace`, `Broadcast`.

    from forkful import Process
    from forkful.shared import Dict

    def work(counts):
        counts.apply("done", lambda n: n + 1, 0)

    counts = Dict()
    children = [Process(target=work, args=(counts,)) for _ in range(4)]

Each is a handle of an object in the family's shared memory, which lives as long as any process has one.
Handles may be passed to children, to tasks, through queues, and be values of one another.

What a container keeps is a copy of each value, pickled; what is read is another copy. Changing that changes
nothing that is shared: `d["k"].append(1)` is lost, with a plain list there. Put a `List` or `Dict` there, which is
shared itself; or set the value again; or, where others may set it meanwhile, use the `apply` of a `Dict` or
`List`. A `Namespace` has none, for each name is an attribute's. Each operation is one step for all processes,
whole or not at all, also when a process is killed in it; nothing is left locked.

A `Broadcast` is an object that is written once, and that all read where it lies.

`Value` and `Array` are those of `forkful.sharedctypes`: C types in shared memory, with a lock.
"""

from __future__ import annotations

from forkful.shared.broadcast import Broadcast
from forkful.shared.dicts import Dict
from forkful.shared.lists import List
from forkful.shared.namespaces import Namespace
from forkful.sharedctypes import Array, Value

__all__ = ["Array", "Broadcast", "Dict", "List", "Namespace", "Value"]
