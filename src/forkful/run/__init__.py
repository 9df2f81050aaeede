"""A program written for `multiprocessing`, unchanged, on forkful: what `forkful run` does.

`command` says how to start an interpreter in which `install` is called before all else. From then
on the names of `multiprocessing` and of its submodules are forkful's, for everything that imports
them, and in all processes that the program starts through them.
"""
