"""CPython's tests of `multiprocessing` under fork. Children import them by this module's name."""

from test import _test_multiprocessing

_test_multiprocessing.install_tests_in_module_dict(globals(), "fork")
