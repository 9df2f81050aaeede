"""`multiprocessing.shared_memory` itself: shared memory that has a name.

A name is what it is for: processes that have nothing else in common find one another by it. So it
stays in the file system until somebody unlinks it, as with the standard library. What only a
family shares needs no name: see `sharedctypes`.
"""

import sys
from multiprocessing import shared_memory

sys.modules[__name__] = shared_memory
