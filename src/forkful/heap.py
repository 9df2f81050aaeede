"""`multiprocessing.heap` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import heap

sys.modules[__name__] = heap
