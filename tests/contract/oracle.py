"""Whether contract tests run on the standard library, too: FORKFUL_ORACLE=1.

It tells whether a test asks what `multiprocessing` itself does. Not by default: its pool may hang at
`terminate()` (python/cpython#78178 and others), and then a run would fail for what is not ours.
"""

import os

ORACLE = os.environ.get("FORKFUL_ORACLE", "") not in ("", "0")
