"""Where a part is: the assets folder, the PATH, the cache; built only when none has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.parts.build import build, cache_folder, cached_path
from tests.parts.recipe import PARTS, OnPath, Part, PartUnavailableError


def locate(names: Iterable[str]) -> dict[str, Path]:
    """Find each part, building what is missing; raises PartUnavailableError, never skips."""
    return {name: _locate(name) for name in names}


@cache
def _locate(name: str) -> Path:
    part = PARTS.get(name)
    if part is None:
        raise PartUnavailableError(name, f"the parts are {', '.join(PARTS)}")
    if part.on_path is not None:
        given = _in_assets(part) or _on_path(part, part.on_path)
        if given is not None:
            return given
    cached = cached_path(part)
    return cached if cached.exists() else build(part)


def _in_assets(part: Part) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    binary = Path(folder).absolute() / part.name
    return binary if os.access(binary, os.X_OK) else None


def _on_path(part: Part, rule: OnPath) -> Path | None:
    found = shutil.which(part.name)
    if found is None:
        return None
    fits, why = rule.judge(_version_text(Path(found), rule.arguments))
    if fits:
        return Path(found)
    print(f"passing over {found}: {why}", file=sys.stderr, flush=True)
    return None


def _version_text(binary: Path, arguments: tuple[str, ...]) -> str:
    """Remember what a binary said of itself, for as long as the file is the same.

    Some take longer to start than a warm run may take altogether.
    """
    state = binary.stat()
    key = f"{binary} {' '.join(arguments)} {state.st_size} {state.st_mtime_ns}"
    memo = cache_folder() / "versions.json"
    known: dict[str, str] = {}
    with suppress(OSError, ValueError):
        known = json.loads(memo.read_text(encoding="utf-8"))
    if key in known:
        return known[key]
    try:
        run = subprocess.run(
            [binary, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    known[key] = run.stdout[:2000]
    memo.parent.mkdir(parents=True, exist_ok=True)
    unfinished = memo.with_name(f".versions.{os.getpid()}")
    unfinished.write_text(json.dumps(known), encoding="utf-8")
    unfinished.replace(memo)
    return known[key]
