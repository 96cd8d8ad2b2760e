"""The lab's own space: processes, mounts and network that nobody outside sees.

Everything that the suite starts lives in namespaces of its own. The first process in
there is the suite itself: with its end, whatever the reason, the kernel ends all the
others and takes down every mount and address.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.differential.names import ADDRESS

INSIDE = "PULLPROOF_DIFFERENTIAL_LAB"

BLACK_HOLE = "10.8.0.0/16"
UNREACHABLE = "10.7.0.0/16"

_COMMANDS = ("unshare", "ip", "mount")
_ADDRESSES = ("10.9.0.0/16", "10.10.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")


def obstacle() -> str | None:
    """Return why the lab cannot be set up on this machine, or None."""
    if sys.platform != "linux":
        return "the real containerd needs Linux"
    if os.geteuid() != 0:
        return "the real containerd needs root"
    missing = [name for name in _COMMANDS if shutil.which(name) is None]
    if missing:
        return f"the lab needs the commands {', '.join(missing)}"
    tried = subprocess.run(
        [*_unshare(), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return None if tried.returncode == 0 else "this machine does not let root make namespaces"


def enter(folder: Path, arguments: list[str], module: str = "tests.differential") -> int:
    """Run a module's command once more, inside; returns its exit status."""
    command = [*_unshare(), sys.executable, "-m", module, *arguments]
    environment = {**os.environ, INSIDE: str(folder)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as running:
        try:
            return running.wait()
        finally:
            running.kill()


def inside() -> Path | None:
    folder = os.environ.get(INSIDE)
    return Path(folder) if folder else None


def end_with_the_outside() -> None:
    """End, and all the space with us, when whoever entered is gone, even if he was killed."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(130)

    threading.Thread(target=watch, daemon=True, name="watch").start()


def furnish(folder: Path) -> None:
    """Give the space its addresses, its name service's configuration and a disk in memory."""
    socket.sethostname("lab")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    _run("mount", "-t", "tmpfs", "-o", "size=6g,mode=0755", "lab", str(folder))
    files = {
        "resolv.conf": f"nameserver {ADDRESS}\noptions timeout:2 attempts:1\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
    }
    etc = folder / "etc"
    etc.mkdir()
    for name, text in files.items():
        (etc / name).write_text(text, encoding="utf-8")
        there = Path("/etc") / name
        if there.exists():
            _run("mount", "--bind", str(etc / name), str(there.resolve()))
    _run("ip", "link", "set", "lo", "up")
    for network in _ADDRESSES:
        _run("ip", "route", "add", "local", network, "dev", "lo")
    _run("ip", "-6", "route", "add", "local", "fd09::/64", "dev", "lo", check=False)
    _run("ip", "route", "add", "unreachable", UNREACHABLE)
    _black_hole()


def _black_hole() -> None:
    """Make a network that takes every packet and answers none."""
    _run("ip", "link", "add", "hole", "type", "veth", "peer", "name", "floor")
    _run("ip", "link", "set", "hole", "up")
    _run("ip", "link", "set", "floor", "up")
    _run("ip", "addr", "add", "10.6.0.1/32", "dev", "hole")
    _run("ip", "neigh", "add", "10.6.0.2", "lladdr", "02:00:00:00:00:02", "dev", "hole")
    _run("ip", "route", "add", BLACK_HOLE, "via", "10.6.0.2", "dev", "hole", "onlink")


def _unshare() -> list[str]:
    return [
        "unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--mount-proc",
        "--kill-child",
    ]  # fmt: skip


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=not check, stdin=subprocess.DEVNULL)
