"""deploy/base as it is, in a real API server; the server beside it acts as its account."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs.authority import issue as sign
from certs.authority import new_authority
from certs.bundle import verifies
from tests.e2e.harness import Cluster, Completed, Registry, push_image
from tests.e2e.installation import (
    BASE,
    OURS,
    PULLPROOF,
    Installation,
    ca_bundle,
    issue,
    template,
)

PAGE = BASE.parents[1] / "docs" / "install.md"


@dataclass(frozen=True)
class Installed:
    """The installation, and a registry with one image."""

    base: Installation
    registry: Registry

    @property
    def cluster(self) -> Cluster:
        return self.base.cluster

    def reviews(self) -> int:
        return self.base.server.reviews()

    @property
    def good(self) -> str:
        return f"{self.registry.host}/team/app:1"

    @property
    def bad(self) -> str:
        return f"{self.registry.host}/team/app:no-such-tag"

    def create(self, manifest: dict[str, Any], namespace: str, *more: str) -> Completed:
        words = ("create", f"--namespace={namespace}", "-f-", *more)
        return self.cluster.kubectl(*words, stdin=json.dumps(manifest))


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    push_image(registry, "team/app", "1")
    nodes = tmp_path_factory.mktemp("install") / "registries.yaml"
    config = {
        "apiVersion": "pullproof.dev/v1alpha1",
        "kind": "RegistryConfig",
        "metadata": {"name": "nodes"},
        "spec": {
            "vantage": "node",
            "nodeCredentials": "none",
            "registries": [{"match": registry.host, "plainHTTP": True}],
        },
    }
    nodes.write_text(yaml.safe_dump(config), encoding="utf-8")
    with Installation(cluster, [nodes]) as base:
        yield Installed(base, registry)


def pod(name: str, image: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }


def owned_by_a_controller() -> list[dict[str, Any]]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "made-up"}
    return [{**owner, "controller": True}]


def test_every_manifest_is_accepted_and_warned_of_by_nobody(installed: Installed) -> None:
    lines = installed.base.applied.stdout.splitlines()
    assert len(lines) == 12
    assert all(line.endswith(" created") for line in lines)
    assert installed.base.applied.stderr == ""


def test_pod_security_admits_the_pods_and_would_not_admit_others(installed: Installed) -> None:
    manifest = {"apiVersion": "v1", "kind": "Pod", **template()}
    manifest["metadata"] = {**manifest["metadata"], "name": "by-hand"}
    admitted = installed.create(manifest, OURS, "--dry-run=server")
    assert (admitted.returncode, admitted.stderr) == (0, "")
    manifest["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    assert "violates PodSecurity" in installed.create(manifest, OURS, "--dry-run=server").stderr


def test_the_controllers_make_both_replicas(installed: Installed) -> None:
    installed.cluster.kubectl(
        *("wait", "deployment/pullproof", f"--namespace={OURS}", "--timeout=10s"),
        "--for=jsonpath={.status.replicas}=2",
        check=True,
    )
    pods = installed.cluster.get(f"/api/v1/namespaces/{OURS}/pods")["items"]
    assert {pod["spec"]["priority"] for pod in pods} == {100000000}
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {OURS}


def test_an_apply_leaves_the_ca_bundle_alone(installed: Installed) -> None:
    before, after = installed.base.ca_bundles
    assert before == after
    secret = installed.cluster.get(f"/api/v1/namespaces/{OURS}/secrets/pullproof-tls")
    leaf = base64.b64decode(secret["data"]["tls.crt"])
    assert verifies(base64.b64decode(after), leaf)


def test_a_bad_image_is_denied_and_a_good_one_admitted(
    installed: Installed, namespace: str
) -> None:
    denied = installed.create(pod("web", installed.bad), namespace)
    assert denied.returncode == 1
    assert 'admission webhook "images.pullproof.dev" denied the request' in denied.stderr
    assert "PP-103" in denied.stderr
    admitted = installed.create(pod("web", installed.good), namespace)
    assert (admitted.returncode, admitted.stderr) == (0, "")


@pytest.mark.parametrize(
    ("resource", "more"),
    [
        ("deployment", ()),
        ("job", ()),
        ("cronjob", ("--schedule=* * * * *",)),
    ],
)
def test_what_makes_pods_is_reviewed_too(
    installed: Installed, namespace: str, resource: str, more: tuple[str, ...]
) -> None:
    words = ("create", resource, "web", f"--image={installed.bad}", f"--namespace={namespace}")
    denied = installed.cluster.kubectl(*words, *more)
    assert "PP-103" in denied.stderr


def test_pods_of_a_replicaset_cause_no_review(installed: Installed, namespace: str) -> None:
    before = installed.reviews()
    spec = pod("web", installed.good, labels={"app": "web"})
    replicaset = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec["spec"]},
        },
    }
    created = installed.create(replicaset, namespace)
    assert created.returncode == 0, created.stderr
    installed.cluster.wait_for(f"/api/v1/namespaces/{namespace}/pods")
    # The controller notes in the status, which no rule names, that all three are made.
    installed.cluster.kubectl(
        *("wait", "replicaset/web", f"--namespace={namespace}", "--timeout=10s"),
        "--for=jsonpath={.status.replicas}=3",
        check=True,
    )
    assert installed.reviews() == before + 1
    installed.create(pod("mine", installed.good), namespace)
    assert installed.reviews() == before + 2


def test_only_a_controllers_account_with_a_controller_reference_is_left_out(
    installed: Installed, namespace: str
) -> None:
    controller = "--as=system:serviceaccount:kube-system:replicaset-controller"
    owned = pod("web", installed.bad, ownerReferences=owned_by_a_controller())
    bare = pod("web", installed.bad)
    assert "PP-103" in installed.create(owned, namespace, "--dry-run=server").stderr
    assert "PP-103" in installed.create(bare, namespace, "--dry-run=server", controller).stderr
    both = installed.create(owned, namespace, "--dry-run=server", controller)
    assert (both.returncode, both.stderr) == (0, "")


def test_mirror_pods_are_left_out(installed: Installed, namespace: str) -> None:
    mirror = pod("static", installed.bad, annotations={"kubernetes.io/config.mirror": "x"})
    mirror["spec"]["nodeName"] = "node-1"
    node = ("--as=system:node:node-1", "--as-group=system:nodes")
    made = installed.create(mirror, namespace, "--dry-run=server", *node)
    assert (made.returncode, made.stderr) == (0, "")


@pytest.mark.parametrize("name", ["kube-system", "kube-node-lease", "kube-public"])
def test_the_namespaces_of_the_cluster_are_left_out(installed: Installed, name: str) -> None:
    before = installed.reviews()
    installed.cluster.wait_for_service_account(name)
    made = installed.create(pod("web", installed.bad), name, "--dry-run=server")
    assert (made.returncode, made.stderr) == (0, "")
    assert installed.reviews() == before


def test_kubectl_debug_is_reviewed(installed: Installed, namespace: str) -> None:
    installed.create(pod("web", installed.good), namespace)
    words = ("debug", "web", f"--namespace={namespace}")
    denied = installed.cluster.kubectl(*words, f"--image={installed.bad}")
    assert "PP-103" in denied.stderr
    assert "spec.ephemeralContainers[0].image" in denied.stderr
    assert installed.cluster.kubectl(*words, f"--image={installed.good}").returncode == 0


def test_the_first_check_of_the_page_says_what_the_page_says(installed: Installed) -> None:
    page = PAGE.read_text()
    [command, answer] = re.findall(
        r"^(?:\$ kubectl (create .*)|(error: .*) …)$", page, re.MULTILINE
    )
    said = installed.cluster.kubectl(*command[0].split())
    assert said.stderr.startswith(answer[1])
    assert said.returncode == 1


def test_the_account_may_look_where_the_certificate_stands(installed: Installed) -> None:
    names = {"$(POD_NAMESPACE)": OURS, "/run/pullproof/tls": str(installed.base.tls)}
    variables = {
        each["name"]: names.get(each["value"], each["value"].replace("$(POD_NAMESPACE)", OURS))
        for each in template()["spec"]["containers"][0]["env"]
        if "value" in each
    }
    status = subprocess.run(
        [*PULLPROOF, "certs", "status", f"--kubeconfig={installed.base.account}"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (status.returncode, status.stderr) == (0, "")
    assert f"Secret {OURS}/pullproof-tls\n" in status.stdout
    assert f"{installed.base.tls}\n" in status.stdout


def test_an_expired_certificate_is_replaced_while_the_server_runs(
    installed: Installed, namespace: str, tmp_path: Path
) -> None:
    old = installed.base.tls.joinpath("tls.crt").read_bytes()
    long_ago = datetime.now(UTC) - timedelta(days=400)
    expired = new_authority(now=long_ago)
    pair = sign(expired, ["pullproof.pullproof.svc"], now=long_ago)
    data = {"ca.crt": expired.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
    patch = {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
    secret = ("secret", "pullproof-tls", f"--namespace={OURS}")
    installed.cluster.kubectl("patch", *secret, f"--patch={json.dumps(patch)}", check=True)

    said = issue(installed.base.account, installed.base.tls, tmp_path)

    new = installed.base.tls.joinpath("tls.crt").read_bytes()
    assert new == tmp_path.joinpath("tls.crt").read_bytes() != old
    assert sum("replaced (the certificate ends at" in out for out in said) == 1
    bundle = base64.b64decode(ca_bundle(installed.cluster))
    assert verifies(bundle, new)
    assert verifies(bundle, old), "replicas that still show the old one are believed"
    assert "PP-103" in installed.create(pod("web", installed.bad), namespace).stderr
