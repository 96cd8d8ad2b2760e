"""Every kind that makes Pods, and every place of a Pod where an image can stand."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.e2e.harness import Cluster
from tests.e2e.harness.manifests import Manifest, pod
from tests.e2e.installation import Installation
from tests.e2e.stage import Registries, Terminal

# Of the API server's timeoutSeconds for the webhook; what comes later is not heard.
DEADLINE = 5


def workloads(namespace: str, image: str) -> list[Manifest]:
    """Return one object of every other kind that makes Pods, a Deployment's cousins."""
    labels = {"app": "app"}
    containers = {"containers": [{"name": "app", "image": image}]}
    template = {"metadata": {"labels": labels}, "spec": containers}
    selected = {"selector": {"matchLabels": labels}, "template": template}
    job = {"template": {"spec": {**containers, "restartPolicy": "Never"}}}

    def of(version: str, kind: str, **fields: Any) -> Manifest:
        metadata = {"name": "app", "namespace": namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}

    return [
        of("batch/v1", "CronJob", spec={"schedule": "0 4 * * *", "jobTemplate": {"spec": job}}),
        of("batch/v1", "Job", spec=job),
        of("apps/v1", "StatefulSet", spec={"serviceName": "app", **selected}),
        of("apps/v1", "DaemonSet", spec=selected),
        of("apps/v1", "ReplicaSet", spec=selected),
        of("v1", "ReplicationController", spec={"selector": labels, "template": template}),
        of("v1", "PodTemplate", template=template),
    ]


def test_a_missing_tag_is_denied_in_every_kind_that_makes_pods(
    globex: str, registries: Registries, terminal: Terminal
) -> None:
    objects = workloads(globex, f"{registries.open.host}/team/web:1.26")
    done = terminal.apply(*objects)
    assert [one.returncode for one in done] == [1] * len(objects)
    terminal.compare("every-kind")


def test_an_image_volume_counts_where_a_container_mounts_it(
    globex: str, registries: Registries, terminal: Terminal
) -> None:
    image = f"{registries.open.host}/team/web:1.27"
    reference = {"reference": f"{registries.open.host}/team/model:7"}
    volumes = {"volumes": [{"name": "model", "image": reference}]}
    mounted = pod(globex, "model-mounted", image, **volumes)
    mount = {"name": "model", "mountPath": "/model", "readOnly": True}
    mounted["spec"]["containers"][0]["volumeMounts"] = [mount]
    [denied, warned] = terminal.apply(mounted, pod(globex, "model-unmounted", image, **volumes))
    assert (denied.returncode, warned.returncode) == (1, 0)
    terminal.compare("image-volume")


def test_kubectl_debug_is_told_of_a_missing_image(
    globex: str, registries: Registries, terminal: Terminal
) -> None:
    host = registries.open.host
    terminal.apply(pod(globex, "debugged", f"{host}/team/web:1.27"))

    def debug(name: str, tag: str) -> int:
        # Without a name kubectl makes one up, and without -it it does not wait for a node.
        words = ("debug", "debugged", f"--image={host}/team/web:{tag}", f"--container={name}")
        return terminal.kubectl(
            *words, "--profile=general", "--attach=false", f"--namespace={globex}"
        ).returncode

    assert [debug("shell", "debug"), debug("shell", "1.28")] == [1, 0]
    terminal.compare("kubectl-debug")


def thousand(namespace: str, name: str, images: list[str]) -> str:
    containers = [{"name": f"c{n}", "image": images[n % len(images)]} for n in range(1000)]
    manifest = pod(namespace, name, "")
    manifest["spec"]["containers"] = containers
    return json.dumps(manifest)


def test_a_pod_of_a_thousand_bad_images_is_denied_in_a_bounded_message(
    cluster: Cluster, globex: str, registries: Registries
) -> None:
    manifest = thousand(globex, "thousand-bad", [f"{registries.open.host}/team/web:1.26"])
    denied = cluster.kubectl("create", "-f-", stdin=manifest)
    first, *lines = denied.stderr.splitlines()
    assert denied.returncode == 1
    assert first.endswith("1000 images of Pod globex/thousand-bad cannot be used")
    assert lines[-1].startswith("… and ")
    assert len(denied.stderr) < 40_000


def test_a_pod_of_a_thousand_different_images_is_answered_in_time(
    cluster: Cluster, installation: Installation, globex: str, registries: Registries
) -> None:
    images = [f"{registries.open.host}/team/web:0.{n}" for n in range(1000)]
    before = installation.server.reviews()
    started = time.monotonic()
    done = cluster.kubectl("create", "-f-", stdin=thousand(globex, "thousand", images))
    assert time.monotonic() - started < DEADLINE
    # Whether all of them could be asked about depends on the machine; an answer came.
    assert installation.server.reviews() == before + 1
    assert "spec.containers[0].image" in done.stderr
    assert len(done.stderr) < 40_000


def test_a_pod_of_a_thousand_good_images_is_admitted_without_a_word(
    cluster: Cluster, globex: str, registries: Registries
) -> None:
    images = [f"{registries.open.host}/team/web:{tag}" for tag in ("1.27", "1.28")]
    made = cluster.kubectl("create", "-f-", stdin=thousand(globex, "thousand-good", images))
    assert (made.returncode, made.stderr) == (0, "")


def test_one_bad_image_among_a_thousand_is_the_one_that_is_told(
    cluster: Cluster, globex: str, registries: Registries
) -> None:
    images = [f"{registries.open.host}/team/web:1.27"] * 1000
    images[700] = f"{registries.open.host}/team/web:1.26"
    denied = cluster.kubectl("create", "-f-", stdin=thousand(globex, "thousand-mixed", images))
    assert denied.returncode == 1
    assert "1 image of Pod globex/thousand-mixed cannot be used" in denied.stderr
    assert "\nspec.containers[700].image: " in denied.stderr
    assert len(denied.stderr.splitlines()) == 5
