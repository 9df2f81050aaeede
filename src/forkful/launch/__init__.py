"""Starting processes: one start method a file, one interface (the stdlib's `Popen`).

Each `Popen` here has beside the stdlib's: `owner`, the family's word for the child (0: not known),
and `keep(handle)`, which holds a handle until the child has ended.
"""

__all__: list[str] = []
