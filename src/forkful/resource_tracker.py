"""`multiprocessing.resource_tracker` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import resource_tracker

sys.modules[__name__] = resource_tracker
