"""The folder that `forkful run` puts in front of PYTHONPATH, for the one module in it."""
