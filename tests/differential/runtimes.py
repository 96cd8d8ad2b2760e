"""The real containerd daemons, and the program that pulls through them as the kubelet does."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.differential.plot import Plot
from tests.e2e.harness.process import Daemon
from tests.parts import locate

RUNTIMES = {"2.4": "containerd", "1.7": "containerd-1.7"}
PULL_SECONDS = 180

_IMAGES = {"2.4": "io.containerd.cri.v1.images", "1.7": "io.containerd.grpc.v1.cri"}
_RUNTIME = {"2.4": "io.containerd.cri.v1.runtime", "1.7": "io.containerd.grpc.v1.cri"}
# What plays no part in a pull, and takes time at the start.
_LEFT_OUT = [
    f"io.containerd.snapshotter.v1.{name}"
    for name in ("aufs", "blockfile", "btrfs", "devmapper", "erofs", "zfs")
] + ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]


@dataclass(frozen=True)
class Failure:
    code: str
    message: str


@dataclass(frozen=True)
class Pulled:
    """What the real parts came to. `stage`: parse, keyring or pull; `errors`: one a credential.

    `matched` counts the credentials that the keyring gave; none is one anonymous pull.
    """

    pull: str
    stage: str
    errors: tuple[Failure, ...]
    matched: int = 0
    seconds: float = 0.0


class Containerd:
    """One daemon; its images are in memory and gone with it."""

    def __init__(
        self, kind: str, folder: Path, certs: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self.endpoint = f"unix://{folder / 'c.sock'}"
        self._socket = folder / "c.sock"
        config = folder / "config.toml"
        config.write_text(_configuration(kind, folder, certs), encoding="utf-8")
        self.daemon = Daemon(
            f"containerd-{kind}",
            [locate([RUNTIMES[kind]])[RUNTIMES[kind]], "--config", config],
            folder=folder,
            env={"GODEBUG": "netdns=go", **environment},
        )
        self.daemon.start()

    def wait(self) -> None:
        self.daemon.wait_until(self._answers, timeout=60)

    def _answers(self) -> bool:
        # The socket is there only when every plugin has started.
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(self._socket))
            return True
        return False


def _configuration(kind: str, folder: Path, certs: Path) -> str:
    images = f'plugins."{_IMAGES[kind]}"'
    runtime = f'plugins."{_RUNTIME[kind]}"'
    return f"""
version = {3 if kind == "2.4" else 2}
root = "{folder / "root"}"
state = "{folder / "state"}"
disabled_plugins = {json.dumps(_LEFT_OUT)}
[grpc]
  address = "{folder / "c.sock"}"
[debug]
  level = "warn"
[{runtime}]
  restrict_oom_score_adj = true
[{images}.registry]
  config_path = "{certs}"
[plugins."io.containerd.gc.v1.scheduler"]
  mutation_threshold = 1000
  startup_delay = "1h"
"""


@dataclass
class Puller:
    """The Go program under tests/parts/kubernetes/puller, answering many at once."""

    _waiting: dict[str, Future[Pulled]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._process = subprocess.Popen(
            [locate(["puller"])["puller"], f"-timeout={PULL_SECONDS}s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._read, daemon=True, name="puller").start()

    def pull(self, plot: Plot, endpoint: str) -> Pulled:
        secrets = [one.as_json() for one in plot.secrets if one.data is not None]
        return self.pull_image(f"{plot.case.id} {endpoint}", plot.case.image, endpoint, secrets)

    def pull_image(
        self,
        name: str,
        image: str,
        endpoint: str,
        secrets: Sequence[Mapping[str, Any]],
        *,
        keep: bool = False,
    ) -> Pulled:
        """Pull one image into the containerd at `endpoint`; `name` is this task's alone.

        It is removed again unless `keep`.
        """
        task: dict[str, Any] = {"id": name, "image": image, "endpoint": endpoint, "keep": keep}
        task["secrets"] = list(secrets)
        future: Future[Pulled] = Future()
        with self._lock:
            self._waiting[task["id"]] = future
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        return future.result(PULL_SECONDS * 10)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._lock:
                future = self._waiting.pop(told["id"])
            del told["id"]
            told["errors"] = tuple(Failure(**one) for one in told["errors"])
            future.set_result(Pulled(**told))
        with self._lock:
            for future in self._waiting.values():
                future.set_exception(RuntimeError("the puller ended; its standard error says why"))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


class Nodes:
    """The daemons by runtime and environment: one of each, started when first wanted."""

    def __init__(self, folder: Path, certs: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._certs = certs
        self._environment = environment
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], Containerd] = {}
        self._lock = threading.Lock()

    def node(self, kind: str, env: Mapping[str, str]) -> Containerd:
        key = (kind, tuple(sorted(env.items())))
        with self._lock:
            found = self._known.get(key)
            if found is None:
                folder = self._folder / f"{kind}-{len(self._known)}"
                found = Containerd(kind, folder, self._certs, {**self._environment, **env})
                self._known[key] = found
        found.wait()
        return found

    def close(self) -> None:
        for one in self._known.values():
            one.daemon.stop()
            shutil.rmtree(one.daemon.log.parent, ignore_errors=True)
