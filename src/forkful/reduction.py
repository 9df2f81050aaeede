"""`multiprocessing.reduction` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import reduction

sys.modules[__name__] = reduction
