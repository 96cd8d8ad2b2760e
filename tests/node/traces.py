"""What a node leaves outside its name spaces: folders with fixed names, and control groups."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

# The kubelet and containerd keep to these whatever their configuration says.
_FOLDERS = tuple(
    map(Path, ("/var/lib/kubelet", "/var/log/containers", "/run/containerd", "/opt/containerd"))
)
_GROUPS = Path("/sys/fs/cgroup")


def hide_folders() -> None:
    """Lay memory over the folders, inside the space, so that nothing is written to them."""
    for folder in _FOLDERS:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0755", "node", folder],
            check=True,
            stdin=subprocess.DEVNULL,
        )


class Traces:
    """Makes what is to be hidden; `remove` takes away what was not there before."""

    def __init__(self) -> None:
        self._groups = _control_groups()
        self._made: list[Path] = []
        for folder in _FOLDERS:
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            self._made += missing

    def remove(self) -> None:
        groups = sorted(_control_groups() - self._groups, key=lambda one: -len(one.parts))
        for folder in [*groups, *self._made]:
            # Somebody else may have begun to use it.
            with suppress(OSError):
                folder.rmdir()


def _control_groups() -> set[Path]:
    return {path.parent for path in _GROUPS.glob("**/k8s.io/**/cgroup.procs")}
