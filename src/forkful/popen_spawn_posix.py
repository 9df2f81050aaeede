"""`multiprocessing.popen_spawn_posix` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import popen_spawn_posix

sys.modules[__name__] = popen_spawn_posix
