"""What 5,000 nodes cost: memory after a sync, and time in a review. `python -m tests.bench.nodes`.

Exits with 1 where a bar is missed: 60 MB that a sync of 5,000 nodes of 50 images each,
drawn from 2,000, adds (PSS, in a fresh process), and 1 ms more than 5 nodes for all that a
review asks of the nodes.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.unit.scripted_api import ScriptedApi, in_pages
from tests.unit.test_cluster_live import kubeconfig
from webhook.cluster.node import node_of
from webhook.cluster.nodes import Nodes
from webhook.cluster.scheduling import eligible, placement_of
from webhook.deadline import Deadline

NODES = 5_000
FEW = 5
IMAGES = 2_000
EACH = 50
MAX_MEGABYTES = 60.0
MAX_MILLISECONDS = 1.0
ROUNDS = 2_000
SPECS: Mapping[str, Mapping[str, Any]] = {
    "any node": {},
    "by architecture": {"nodeSelector": {"kubernetes.io/arch": "arm64"}},
    "by hostname": {"nodeSelector": {"kubernetes.io/hostname": "ip-10-0-0-3.ec2.internal"}},
    "tolerates all": {"tolerations": [{"operator": "Exists"}]},
}


def image(number: int) -> dict[str, Any]:
    name = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team-{number % 40}/service-{number}"
    names = [f"{name}@sha256:{random.Random(number).randbytes(32).hex()}", f"{name}:1.{number}"]
    return {"names": names, "sizeBytes": 100_000_000 + number}


def manifest(number: int, images: list[dict[str, Any]]) -> dict[str, Any]:
    """Make a Node as large as a managed cluster's."""
    name = f"ip-10-0-{number // 256}-{number % 256}.ec2.internal"
    architecture = ("amd64", "arm64")[number % 2]
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "node.kubernetes.io/instance-type": f"m{number % 7}.xlarge",
        "topology.kubernetes.io/zone": f"eu-west-1{'abc'[number % 3]}",
        "example.com/instance-id": f"i-{number:017x}",
        **{f"example.com/label-{one}": f"value-{number % 5}" for one in range(18)},
    }
    condition = {"status": "False", "reason": "KubeletHasSufficientMemory", "message": "m" * 60}
    return {
        "metadata": {
            "name": name,
            "uid": f"{number:032x}",
            "resourceVersion": str(number),
            "labels": labels,
            "annotations": {f"example.com/annotation-{one}": "a" * 40 for one in range(10)},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f": "x" * 2000}}}],
        },
        "spec": {
            "providerID": f"aws:///eu-west-1a/i-{number:017x}",
            "taints": [{"key": "gpu", "effect": "NoSchedule"}] if number % 10 == 0 else [],
        },
        "status": {
            "allocatable": {"cpu": "3920m", "ephemeral-storage": str(95_551_679_124 + number % 9)},
            "conditions": [{"type": f"Condition{one}", **condition} for one in range(5)],
            "images": random.Random(number).sample(images, EACH),
            "nodeInfo": {
                "architecture": architecture,
                "operatingSystem": "linux",
                "containerRuntimeVersion": f"containerd://2.1.{number % 3}",
                "kernelVersion": "6.12.0",
                "osImage": "Amazon Linux 2023",
            },
        },
    }


def fleet(count: int) -> list[dict[str, Any]]:
    images = [image(number) for number in range(IMAGES)]
    return [manifest(number, images) for number in range(count)]


def pss() -> float:
    """Return the proportional set size of this process, in MB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel tells no Pss")


def sync(config: Path) -> None:
    """Sync a view, in this process, and print what that took."""
    from webhook.cluster.live import LiveView  # noqa: PLC0415 - the parent needs none of it

    view = LiveView(config)
    view.probe(Deadline.after(5))
    gc.collect()
    before, began = pss(), time.perf_counter()
    found = view.nodes(Deadline.after(120))
    seconds = time.perf_counter() - began
    if not isinstance(found, Nodes):
        raise SystemExit(found.why)
    print(json.dumps({"nodes": len(found), "before": before, "after": pss(), "s": seconds}))
    view.close()


def memory() -> bool:
    api = ScriptedApi()
    api.nodes.pages = in_pages(fleet(NODES), 500)
    with tempfile.TemporaryDirectory() as folder:
        config = kubeconfig(Path(folder), api.url)
        command = [sys.executable, "-m", "tests.bench.nodes", "--sync", str(config)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    pages = len(api.nodes.lists)
    api.close()
    got = json.loads(output)
    added = got["after"] - got["before"]
    print(
        f"sync of {got['nodes']} nodes in {pages} pages, {got['s']:.1f} s: PSS "
        f"{got['before']:.1f} MB -> {got['after']:.1f} MB, {added:.1f} MB more "
        f"(bar {MAX_MEGABYTES:.0f} MB)"
    )
    return bool(added < MAX_MEGABYTES)


def review(nodes: Nodes, spec: Mapping[str, Any], names: list[str]) -> None:
    """Ask all that a review of two images may ask of the nodes."""
    found = eligible(nodes, placement_of(spec))
    for name in names:
        found.all_hold(name)
        if not found.holding(name):
            found.holding(name.rpartition(":")[0])
        found.count_holding(name)
    _ = (found.platforms, found.runtimes, found.full_lists)
    _ = (found.count, found.virtual, found.unknown_platforms, found.names(3))
    _ = [(one.storage, found.name_of(one.slot)) for one in found.smallest.values()]


def timed(ask: Callable[[], None]) -> tuple[float, float, float]:
    """Return the first, the median and the 99th percentile, in ms."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken[0], statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def speed() -> bool:
    few = Nodes(map(node_of, fleet(FEW)))
    many = Nodes(map(node_of, fleet(NODES)))
    fits = True
    names = [image(number)["names"][1] for number in (3, 4)]
    for label, spec in SPECS.items():
        first_few, small, _ = timed(lambda spec=spec: review(few, spec, names))  # type: ignore[misc] # a default binds it
        first, large, worst = timed(lambda spec=spec: review(many, spec, names))  # type: ignore[misc] # a default binds it
        fits = fits and large - small < MAX_MILLISECONDS
        print(
            f"{label}: {FEW} nodes {small * 1e3:.0f} us, {NODES} nodes {large * 1e3:.0f} us, "
            f"ratio {large / small:.1f}, {large - small:.3f} ms more (bar {MAX_MILLISECONDS:.0f} "
            f"ms); p99 {worst:.2f} ms; the first of its kind {first_few:.2f} and {first:.2f} ms"
        )
    return fits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sync", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sync is not None:
        sync(arguments.sync)
        return 0
    return 0 if all([memory(), speed()]) else 1


if __name__ == "__main__":
    sys.exit(main())
