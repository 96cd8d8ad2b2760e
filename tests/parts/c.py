"""The C compiler for the one part that needs one: the machine's, else PyPI's `ziglang`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

ZIG = "ziglang==0.17.1"


class NoCompilerError(Exception):
    """No C compiler is there, and none could be installed."""


def compiler() -> str:
    """Return what Go is to be given as CC."""
    for given in (os.environ.get("CC"), "gcc", "clang", "cc"):
        if given and shutil.which(given.split()[0]):
            return given
    if importlib.util.find_spec("ziglang") is None:
        _install()
    return f"{sys.executable} -m ziglang cc"


def _install() -> None:
    if sys.prefix == sys.base_prefix:
        msg = f"no C compiler is on the PATH, and {ZIG} is only put into a virtual environment"
        raise NoCompilerError(msg)
    print(f"installing {ZIG} into {sys.prefix} (100 MB, once)", file=sys.stderr, flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", ZIG],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        msg = f"`pip install {ZIG}` failed: {run.stderr.strip()[-500:]}"
        raise NoCompilerError(msg)
    importlib.invalidate_caches()
