"""`multiprocessing.util` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import util

sys.modules[__name__] = util
