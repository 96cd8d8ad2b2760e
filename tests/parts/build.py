"""Builds a part from its Go module into the cache, once, also when two runs want it at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.c import NoCompilerError, compiler
from tests.parts.go import NoGoError, toolchain
from tests.parts.recipe import RECIPE_VERSION, Part, PartUnavailableError


def cache_folder() -> Path:
    if own := os.environ.get("PULLPROOF_PARTS_CACHE"):
        return Path(own).absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "pullproof" / "parts"


def cached_path(part: Part) -> Path:
    """Where the part is, or will be: the folder's name tells everything that shaped the binary."""
    shape = hashlib.sha256()
    about = [RECIPE_VERSION, sys.platform, platform.machine()]
    # A source of our own changes often; what it is built beside should not be built again.
    own = part.sources is not None
    if own:
        about += [part.package, part.ldflags]
    shape.update(json.dumps(about).encode())
    files = [part.folder / "go.mod", part.folder / "go.sum"]
    if part.sources is not None:
        files += sorted((part.folder / part.sources).rglob("*.go"))
    for file in files:
        shape.update(file.name.encode() + b"\0" + file.read_bytes())
    folder = f"{part.name if own else part.module}-{shape.hexdigest()[:16]}"
    return cache_folder() / folder / part.name


def build(part: Part) -> Path:
    target = cached_path(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent, part):
        if target.exists():
            return target
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            _compile(part, unfinished)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    return target


def _compile(part: Part, output: Path) -> None:
    try:
        go = toolchain()
        languages = {"CGO_ENABLED": "1", "CC": compiler()} if part.cgo else {"CGO_ENABLED": "0"}
    except (NoGoError, NoCompilerError) as error:
        raise PartUnavailableError(part.name, str(error)) from error
    _say(
        f"building {part.name} {part.version} from its Go module "
        f"(about {part.seconds} s on 2 cores, once)"
    )
    began = time.monotonic()
    run = subprocess.run(
        [
            go,
            "build",
            "-trimpath",
            # Our own repository's state must not be stamped into, or rebuild, a cached binary.
            "-buildvcs=false",
            "-ldflags",
            f"-s -w {part.ldflags}".strip(),
            "-o",
            output,
            part.package,
        ],
        cwd=part.folder,
        env={
            **os.environ,
            **languages,
            "GOWORK": "off",
            # A newer toolchain would be fetched behind our back otherwise.
            "GOTOOLCHAIN": "local",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        said = "\n".join(run.stderr.strip().splitlines()[-15:])
        raise PartUnavailableError(part.name, f"`go build {part.package}` failed:\n{said}")
    _say(f"built {part.name} in {time.monotonic() - began:.0f} s")


@contextmanager
def _alone(folder: Path, part: Part) -> Iterator[None]:
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another run that builds parts beside {part.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
