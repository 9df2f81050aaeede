"""Pictures of a run for people: a snapshot in, lines of text out. Nothing here reads a clock, a
file or a process.
"""
