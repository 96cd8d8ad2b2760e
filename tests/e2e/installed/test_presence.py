"""An image that a node holds already: what its pull policy makes of that."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.harness import Cluster
from tests.e2e.harness.manifests import Manifest, pod
from tests.e2e.installation import Installation
from tests.e2e.stage import Registries, Terminal

NODE = "worker-1"


@pytest.fixture(scope="module")
def held(cluster: Cluster, installation: Installation, registries: Registries) -> Iterator[str]:
    """A private image that a node lists; node and listing are gone after these tests."""
    image = f"{registries.basic.host}/team/api:2.1"
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    listed = {"status": {"images": [{"names": [image], "sizeBytes": 4096}]}}
    cluster.kubectl("create", "-f-", stdin=json.dumps(node), check=True)
    try:
        cluster.kubectl(
            *("patch", "node", NODE, "--subresource=status", "--type=merge"),
            f"--patch={json.dumps(listed)}",
            check=True,
        )
        # Of its own, since a server keeps what it read of nodes for a while.
        with installation.serving():
            yield image
    finally:
        cluster.kubectl("delete", "node", NODE, check=True)


def by_policy(namespace: str, name: str, image: str, policy: str) -> Manifest:
    manifest = pod(namespace, name, image)
    manifest["spec"]["containers"][0]["imagePullPolicy"] = policy
    return manifest


def test_a_pull_that_fails_is_warned_of_where_a_node_holds_the_image(
    globex: str, held: str, terminal: Terminal
) -> None:
    [done] = terminal.apply(by_policy(globex, "held-if-not-present", held, "IfNotPresent"))
    assert done.returncode == 0
    assert "the nodes hold it" in done.stderr
    terminal.compare("held-by-a-node-if-not-present")


def test_what_a_node_holds_does_not_count_where_it_always_pulls(
    globex: str, held: str, terminal: Terminal
) -> None:
    [done] = terminal.apply(by_policy(globex, "held-always", held, "Always"))
    assert done.returncode == 1
    terminal.compare("held-by-a-node-always")


def test_what_is_never_pulled_is_warned_of_where_no_node_holds_it_or_a_login_may_have_pulled_it(
    globex: str, held: str, terminal: Terminal
) -> None:
    missing = held.replace(":2.1", ":2.2")
    for name, image in (("never-held", held), ("never-missing", missing)):
        [warned] = terminal.apply(by_policy(globex, name, image, "Never"))
        assert warned.returncode == 0
    terminal.compare("never-pulled")
