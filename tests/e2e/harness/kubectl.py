"""The real kubectl, run with a kubeconfig and none of the caller's own settings."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Completed:
    stdout: str
    stderr: str
    returncode: int

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


class KubectlError(Exception):
    """A kubectl that had to succeed failed; shows what it said."""


def run_kubectl(
    binary: Path,
    kubeconfig: Path,
    args: tuple[str, ...],
    *,
    stdin: str | None = None,
    check: bool = False,
    timeout: float = 30,
    cwd: Path | None = None,
) -> Completed:
    run = subprocess.run(
        [binary, *args],
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=timeout,
        check=False,
        cwd=cwd,
        env=_environment(kubeconfig),
    )
    done = Completed(run.stdout, run.stderr, run.returncode)
    if check and run.returncode != 0:
        msg = f"kubectl {' '.join(args)} ended with {run.returncode}: {run.stderr}{run.stdout}"
        raise KubectlError(msg)
    return done


def kubectl_in_terminal(
    binary: Path, kubeconfig: Path, args: tuple[str, ...], *, cwd: Path, timeout: float = 30
) -> bytes:
    """Return what a terminal gets to show: both streams, in their order, byte for byte."""
    return subprocess.run(
        [binary, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env=_environment(kubeconfig),
    ).stdout


def _environment(kubeconfig: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(kubeconfig.parent),
        "KUBECONFIG": str(kubeconfig),
    }


def write_kubeconfig(
    path: Path, *, server: str, ca: Path, user: Mapping[str, str], namespace: str = "default"
) -> Path:
    """Write a kubeconfig of one context; JSON is YAML too."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "it", "cluster": {"server": server, "certificate-authority": str(ca)}}
        ],
        "users": [{"name": "it", "user": dict(user)}],
        "contexts": [
            {"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}
        ],
        "current-context": "it",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
