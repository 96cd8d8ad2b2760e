"""A real node: containerd with runc, and a kubelet that joins a cluster."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness import Cluster
from tests.e2e.harness.kubectl import write_kubeconfig
from tests.e2e.harness.process import Daemon
from tests.parts import locate

NODE = "node-1"
PARTS = ("containerd", "containerd-shim-runc-v2", "runc", "kubelet")
# The lab's one link that is not loopback: a kubelet refuses a loopback address.
ADDRESS = "10.6.0.1"

# What plays no part in a pull or a start, and takes time.
_LEFT_OUT = [
    f"io.containerd.snapshotter.v1.{name}"
    for name in ("aufs", "blockfile", "btrfs", "devmapper", "erofs", "zfs")
] + ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing"]

# Nothing is called through it, since every pod is on the host's network; without one the
# runtime says that its network is not ready, and the node says so too.
_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "none",
    "plugins": [{"type": "loopback"}],
}


@dataclass(frozen=True)
class Outfit:
    """What a node has besides its programs; `environment` is containerd's.

    `pause` is the image of sandboxes. `config_json` is the kubelet's own docker
    configuration; `providers` the text of its CredentialProviderConfig, whose
    programs are in `programs`. `opens` are the hosts that these give a good login for.
    """

    certs: Path
    pause: str
    environment: Mapping[str, str]
    config_json: str | None = None
    providers: str | None = None
    programs: Path | None = None
    opens: frozenset[str] = frozenset()


class Runtime:
    """A containerd that can run containers; its images are gone with its folder."""

    def __init__(self, folder: Path, outfit: Outfit) -> None:
        folder.mkdir(parents=True)
        self._parts = locate(PARTS)
        self._socket = folder / "containerd.sock"
        self.endpoint = f"unix://{self._socket}"
        self.network = folder / "net.d"
        self.network.mkdir()
        (self.network / "none.conflist").write_text(json.dumps(_NETWORK), encoding="utf-8")
        config = folder / "containerd.toml"
        config.write_text(self._configuration(folder, outfit), encoding="utf-8")
        programs = folder / "bin"
        programs.mkdir()
        for name in ("containerd-shim-runc-v2", "runc"):
            (programs / name).symlink_to(self._parts[name])
        path = f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"
        self.daemon = Daemon(
            "containerd",
            [self._parts["containerd"], "--config", config],
            folder=folder,
            env={"GODEBUG": "netdns=go", "PATH": path, **outfit.environment},
        )

    def start(self) -> None:
        self.daemon.start()
        self.daemon.wait_until(self._answers, timeout=60)

    def stop(self) -> None:
        self.daemon.stop()

    def _answers(self) -> bool:
        # The socket is there only when every plugin has started.
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(self._socket))
            return True
        return False

    def _configuration(self, folder: Path, outfit: Outfit) -> str:
        return f"""
version = 3
root = "{folder / "root"}"
state = "{folder / "state"}"
disabled_plugins = {json.dumps(_LEFT_OUT)}
[grpc]
  address = "{self._socket}"
[debug]
  level = "warn"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE runc cannot lower a container's score, and fails.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    # Pods are privileged for want of seccomp alone: they need nothing of the host.
    privileged_without_host_devices = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{folder / "bin"}"]
    conf_dir = "{self.network}"
[plugins."io.containerd.cri.v1.images"]
  image_pull_progress_timeout = "5m"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{outfit.pause}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{outfit.certs}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder / "opt"}"
[plugins."io.containerd.gc.v1.scheduler"]
  mutation_threshold = 1000
  startup_delay = "1h"
"""


class Kubelet:
    """The kubelet of NODE, by a certificate of its own."""

    def __init__(self, cluster: Cluster, runtime: Runtime, folder: Path, outfit: Outfit) -> None:
        self._cluster = cluster
        root = folder / "kubelet"
        root.mkdir(parents=True)
        folders = {name: root / name for name in ("pods", "plugins", "manifests")}
        for one in folders.values():
            one.mkdir()
        if outfit.config_json is not None:
            (root / "config.json").write_text(outfit.config_json, encoding="utf-8")
        # Of the masters too: what a node may read is learnt by a watch, and a kubelet that asks
        # for the secret of a new pod before that is refused it, and pulls without.
        groups = ["system:nodes", "system:masters"]
        identity = cluster.authority.client(f"system:node:{NODE}", groups)
        kubeconfig = write_kubeconfig(
            folder / "kubelet.kubeconfig",
            server=cluster.url,
            ca=cluster.authority.bundle,
            user={"client-certificate": str(identity.cert), "client-key": str(identity.key)},
        )
        config = folder / "kubelet.yaml"
        config.write_text(json.dumps(_configuration(runtime, folder, cluster)), encoding="utf-8")
        command: list[str | Path] = [
            locate(["kubelet"])["kubelet"],
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={root}",
            f"--cert-dir={folder / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        ]
        if outfit.providers is not None and outfit.programs is not None:
            providers = folder / "providers.yaml"
            providers.write_text(outfit.providers, encoding="utf-8")
            command += [
                f"--image-credential-provider-config={providers}",
                f"--image-credential-provider-bin-dir={outfit.programs}",
            ]
        self.daemon = Daemon("kubelet", command, folder=folder)

    def start(self) -> None:
        self.daemon.start()
        self.daemon.wait_until(self._is_ready, timeout=60)

    def stop(self) -> None:
        self.daemon.stop(grace=2)

    def _is_ready(self) -> bool:
        conditions = self.status().get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._cluster.get(f"/api/v1/nodes/{NODE}").get("status", {})
        return found

    def wait_until_told_of(self, images: int, *, timeout: float = 30) -> None:
        """Wait until the node's status names at least so many images."""
        end = time.monotonic() + timeout
        while len(self.status().get("images", [])) < images and time.monotonic() < end:
            time.sleep(0.3)


def _configuration(runtime: Runtime, folder: Path, cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": runtime.endpoint,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(cluster.authority.bundle)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "enableServer": False,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "podLogsDir": str(folder / "logs"),
        "staticPodPath": str(folder / "kubelet" / "manifests"),
        "volumePluginDir": str(folder / "kubelet" / "plugins"),
        # What a machine with cgroup v1 and without CAP_SYS_RESOURCE needs.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "evictionHard": dict.fromkeys(("imagefs.available", "nodefs.available"), "0%"),
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        # Many pods, soon.
        "syncFrequency": "2s",
        "fileCheckFrequency": "2s",
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "nodeStatusMaxImages": -1,
        "maxPods": 2000,
        "podsPerCore": 0,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
    }
