"""Pipes between threads: the standard library's `multiprocessing.dummy.connection`."""

from multiprocessing.dummy.connection import Client, Connection, Listener, Pipe

__all__ = ["Client", "Connection", "Listener", "Pipe"]
