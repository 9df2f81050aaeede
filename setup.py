"""Build forkful's one extension module; everything else stands in pyproject.toml.

Switches, read from the environment:

* FORKFUL_DEBUG=1: assertions on, warnings are errors, debug symbols, little optimization.
* FORKFUL_SANITIZE=address|thread: instrument the extension (its runtime must be preloaded).
"""

import os
import shlex
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SANITIZERS = {
    "": [],
    "address": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g"],
    "thread": ["-fsanitize=thread", "-g"],
}
debug = os.environ.get("FORKFUL_DEBUG", "") not in ("", "0")
sanitize = os.environ.get("FORKFUL_SANITIZE", "")

if not sys.platform.startswith("linux"):
    sys.exit(f"forkful runs on Linux only: it needs futex and memfd, which {sys.platform} lacks.")
if sanitize not in SANITIZERS:
    sys.exit(f"FORKFUL_SANITIZE must be 'address' or 'thread', not {sanitize!r}.")


class BuildExt(build_ext):
    """Compile the C files at the same time, always all of them.

    The Makefile knows when to build. The standard rule (is the library older than a source?)
    would not see that a switch has changed.
    """

    def build_extensions(self) -> None:
        self.force = True
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))[0]
        if not shutil.which(compiler):
            sys.exit(f"forkful needs a C compiler, and {compiler!r} is not there: install gcc.")
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            sys.exit("forkful needs Python.h: install your system's python3-dev package.")
        compile_some = self.compiler.compile

        def compile_all(sources, *args, **kwargs):
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                each = threads.map(lambda s: compile_some([s], *args, **kwargs), sources)
                return [obj for objs in each for obj in objs]

        self.compiler.compile = compile_all
        super().build_extensions()


native = Extension(
    "forkful._native",
    sources=sorted(glob("native/core/*.c") + glob("native/bind/*.c")),
    depends=sorted(glob("native/core/*.h") + glob("native/bind/*.h")),
    include_dirs=["native/core", "native/bind"],
    define_macros=[("_GNU_SOURCE", None)],
    undef_macros=["NDEBUG"] if debug else [],
    extra_compile_args=[
        *("-std=c11", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra"),
        *(("-Og", "-g", "-Werror") if debug else ("-O2",)),
        *SANITIZERS[sanitize],
    ],
    extra_link_args=["-pthread", *SANITIZERS[sanitize]],
)
setup(ext_modules=[native], cmdclass={"build_ext": BuildExt})
