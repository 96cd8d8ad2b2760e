"""Objects that are there already: what a change of them asks, and what it is told."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.harness import Cluster, Registry, push_image
from tests.e2e.harness.manifests import deployment, with_secrets
from tests.e2e.harness.process import HOST
from tests.e2e.installation import OURS, Installation
from tests.e2e.stage import Registries, Terminal


@contextmanager
def knocks_counted(registry: Registry) -> Iterator[list[str]]:
    """Stop a registry and listen in its place; the list holds who called, once it is over."""
    callers: list[str] = []
    registry.stop()
    try:
        with socket.create_server((HOST, registry.port)) as door:
            yield callers
            door.setblocking(False)
            try:
                while True:
                    connection, address = door.accept()
                    connection.close()
                    callers.append(str(address))
            except BlockingIOError:
                pass
    finally:
        registry.start()


def test_a_pull_secret_changed_to_a_wrong_one_is_denied(
    cluster: Cluster, globex: str, registries: Registries, terminal: Terminal
) -> None:
    image = f"{registries.basic.host}/team/api:2.1"
    terminal.apply(deployment(globex, "api", image, **with_secrets("regcred")))
    [denied] = terminal.apply(deployment(globex, "api", image, **with_secrets("regcred-old")))
    assert denied.returncode == 1
    stored = cluster.get(f"/apis/apps/v1/namespaces/{globex}/deployments/api")
    assert stored["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "regcred"}]
    terminal.compare("update-to-a-wrong-secret")


def test_a_label_and_a_scale_ask_nobody_while_the_registry_is_down(
    installation: Installation, globex: str, registries: Registries, terminal: Terminal
) -> None:
    cluster = installation.cluster
    cart = deployment(globex, "cart", f"{registries.shaky.host}/team/cart:1.0")
    cluster.kubectl("create", "-f-", "--save-config", stdin=json.dumps(cart), check=True)
    # One that remembers no answer: it would have to ask.
    with installation.serving() as server:
        before = server.reviews()
        asked = cluster.audit.requests_of(OURS, OURS)
        with knocks_counted(registries.shaky) as callers:
            cart["metadata"]["labels"] = {"owner": "team-checkout"}
            [labelled] = terminal.apply(cart)
            at = f"--namespace={globex}"
            scaled = terminal.kubectl("scale", "deployment/cart", "--replicas=3", at)
            cluster.kubectl(
                *("wait", "deployment/cart", at, "--timeout=20s"),
                "--for=jsonpath={.status.replicas}=3",
                check=True,
            )
        pods = cluster.get(f"/api/v1/namespaces/{globex}/pods?labelSelector=app%3Dcart")["items"]
        # The Deployment's new label; its scale is a subresource, and no Pod is ours to judge.
        assert server.reviews() >= before + 1
        # Neither a secret nor an account nor a node was read for them.
        assert asked
        assert cluster.audit.requests_of(OURS, OURS) == asked
    assert (labelled.returncode, scaled.returncode) == (0, 0)
    assert len(pods) == 3
    assert callers == []
    terminal.compare("label-and-scale-while-the-registry-is-down")


def test_a_restart_while_the_image_is_gone_is_warned_of_only(
    installation: Installation, globex: str, registries: Registries, terminal: Terminal
) -> None:
    cluster = installation.cluster
    shaky = registries.shaky
    digest = push_image(shaky, "team/gone", "1.0")
    gone = deployment(globex, "gone", f"{shaky.host}/team/gone:1.0")
    cluster.kubectl("create", "-f-", stdin=json.dumps(gone), check=True)
    with shaky.client() as client:
        client.delete(f"/v2/team/gone/manifests/{digest}").raise_for_status()
    at = f"--namespace={globex}"
    with installation.serving():
        restarted = terminal.kubectl("rollout", "restart", "deployment/gone", at)
        changed = terminal.kubectl(
            "set", "image", "deployment/gone", f"app={shaky.host}/team/gone:1.1", at
        )
    assert (restarted.returncode, changed.returncode) == (0, 1)
    assert restarted.stderr.count("Warning: ") == 1
    terminal.compare("restart-while-the-image-is-gone")


def test_a_server_side_dry_run_of_an_unchanged_object_asks_nobody(
    cluster: Cluster, globex: str, registries: Registries, terminal: Terminal
) -> None:
    secrets = with_secrets("regcred")
    same = deployment(globex, "same", f"{registries.basic.host}/team/api:2.1", **secrets)
    cluster.kubectl("apply", "--server-side", "-f-", stdin=json.dumps(same), check=True)
    registries.basic.forget_requests()
    [done] = terminal.apply(same, options=("--server-side", "--dry-run=server"))
    assert done.returncode == 0
    assert registries.basic.requests == []
    terminal.compare("dry-run-of-an-unchanged-object")


def test_a_good_image_without_a_secret_costs_one_read_by_name(
    installation: Installation, globex: str, registries: Registries
) -> None:
    cluster = installation.cluster
    moved = deployment(globex, "moved", f"{registries.open.host}/team/web:1.27")
    with installation.serving():
        asked = len(cluster.audit.requests_of(OURS, OURS))
        cluster.kubectl("create", "-f-", stdin=json.dumps(moved), check=True)
        new = cluster.audit.requests_of(OURS, OURS)[asked:]
    assert new == [f"get /api/v1/namespaces/{globex}/serviceaccounts/default"]
