"""`multiprocessing.popen_fork` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import popen_fork

sys.modules[__name__] = popen_fork
