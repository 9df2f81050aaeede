"""CPython's tests of `multiprocessing` under forkserver. Children import them by this module's name."""

from test import _test_multiprocessing

# The fork server imports CPython's own entry in advance; this one stands for it.
_test_multiprocessing.PRELOAD.append(__name__)
_test_multiprocessing.install_tests_in_module_dict(globals(), "forkserver")
