"""`multiprocessing.popen_forkserver` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import popen_forkserver

sys.modules[__name__] = popen_forkserver
