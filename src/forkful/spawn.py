"""`multiprocessing.spawn` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import spawn

sys.modules[__name__] = spawn
