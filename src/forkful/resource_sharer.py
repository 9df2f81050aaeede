"""`multiprocessing.resource_sharer` itself: the same module, so that what it registers and counts is there once."""

import sys
from multiprocessing import resource_sharer

sys.modules[__name__] = resource_sharer
