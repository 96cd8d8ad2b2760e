"""What happens when something is down, changes, or may not be read; and who is not hindered."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Cluster, Registry, push_image
from tests.e2e.harness.manifests import deployment, pod, pull_secret, with_secrets
from tests.e2e.harness.process import HOST
from tests.e2e.harness.webhook import Webhook, bind_account, unbind_account
from tests.e2e.stage import STRICT, Registries, Terminal


@contextmanager
def stopped(registry: Registry) -> Iterator[None]:
    registry.stop()
    try:
        yield
    finally:
        registry.start()


@pytest.fixture
def pod_webhook(cluster: Cluster, registries: Registries, tmp_path: Path) -> Iterator[Webhook]:
    """A server of the test's own, at the default vantage: what it sees proves little of nodes."""
    with Webhook(cluster, registries.policies(tmp_path, "pod")) as running:
        yield running


def test_a_registry_that_is_down_is_warned_of(
    acme: str, registries: Registries, terminal: Terminal
) -> None:
    image = f"{registries.shaky.host}/team/cart:0.1"
    with stopped(registries.shaky):
        done = terminal.apply(deployment(acme, "cart-down", image), pod(acme, "cart-down", image))
    assert [one.returncode for one in done] == [0, 0]
    terminal.compare("registry-down")


def test_where_the_policy_wants_registries_up_and_a_node_sees_it_down_it_is_denied(
    webhook: Webhook, registries: Registries, terminal: Terminal
) -> None:
    webhook.serve_namespace("strict-at-node", **STRICT)
    image = f"{registries.shaky.host}/team/cart:0.2"
    with stopped(registries.shaky):
        [done] = terminal.apply(deployment("strict-at-node", "cart", image))
    assert done.returncode == 1
    terminal.compare("registry-down-strict")


def test_seen_from_a_pod_a_registry_that_is_down_is_warned_of_whatever_the_policy_wants(
    pod_webhook: Webhook, registries: Registries, terminal: Terminal
) -> None:
    pod_webhook.serve_namespace("strict-at-pod", **STRICT)
    image = f"{registries.shaky.host}/team/cart:0.3"
    with stopped(registries.shaky):
        [done] = terminal.apply(deployment("strict-at-pod", "cart", image))
    assert done.returncode == 0
    terminal.compare("registry-down-strict-seen-from-a-pod")


def test_a_loopback_address_that_no_setting_names_is_not_dialled(
    acme: str, registry: Registry, terminal: Terminal
) -> None:
    registry.forget_requests()
    terminal.call(registry.host, "UNNAMED-REGISTRY:PORT")
    image = f"{registry.host}/team/web:1.27"
    done = terminal.apply(deployment(acme, "unnamed", image), pod(acme, "unnamed", image))
    assert [one.returncode for one in done] == [0, 0]
    assert registry.requests == []
    terminal.compare("registry-on-loopback")


def test_a_webhook_that_is_down_hinders_nobody(
    cluster: Cluster, pod_webhook: Webhook, registries: Registries, terminal: Terminal
) -> None:
    name = pod_webhook.serve_namespace("webhook-down")
    image = f"{registries.open.host}/team/web:1.26"
    terminal.remark("the webhook is up")
    terminal.apply(deployment(name, "web", image), pod(name, "web", image))
    pod_webhook.stop()
    terminal.remark("the webhook is down, and its failurePolicy is Ignore")
    done = terminal.apply(deployment(name, "web", image), pod(name, "web", image))
    assert [one.returncode for one in done] == [0, 0]
    assert cluster.get(f"/apis/apps/v1/namespaces/{name}/deployments/web")
    assert cluster.get(f"/api/v1/namespaces/{name}/pods/web")
    terminal.compare("webhook-down")


def test_only_a_change_of_what_is_pulled_asks_a_registry_even_when_that_is_down(
    cluster: Cluster, webhook: Webhook, registries: Registries, terminal: Terminal
) -> None:
    shaky = registries.shaky
    # Created unseen, so that no answer of the registry can be in the server's memory.
    name = cluster.create_namespace("relabelled")
    cart = deployment(name, "cart", f"{shaky.host}/team/cart:1.0")
    cluster.kubectl("create", "-f-", "--save-config", stdin=json.dumps(cart), check=True)
    cluster.wait_for(f"/api/v1/namespaces/{name}/pods")
    [(key, value)] = webhook.label.items()
    cluster.kubectl("label", "namespace", name, f"{key}={value}", check=True)
    webhook.wait_until_asked(name)
    shaky.forget_requests()
    reviews = webhook.reviews()

    terminal.remark("a label changes")
    cart["metadata"]["labels"] = {"owner": "team-cart"}
    [up] = terminal.apply(cart)
    assert shaky.requests == []

    terminal.remark("a label changes, the registry being down")
    with stopped(shaky), socket.create_server((HOST, shaky.port)) as knocks:
        cart["metadata"]["labels"] = {"owner": "team-checkout"}
        [down] = terminal.apply(cart)
        knocks.setblocking(False)
        with pytest.raises(BlockingIOError):
            knocks.accept()
    assert (up.returncode, down.returncode) == (0, 0)
    assert webhook.reviews() >= reviews + 2

    terminal.remark("the image changes, the registry being up again")
    image = f"app={shaky.host}/team/cart:1.1"
    terminal.kubectl("set", "image", "deployment/cart", image, f"--namespace={name}")
    assert "/v2/team/cart/manifests/1.1" in [request.path for request in shaky.requests]
    terminal.compare("update-of-a-label-asks-no-registry")


def test_a_change_to_an_image_that_is_not_there_is_denied(
    cluster: Cluster, acme: str, registries: Registries, terminal: Terminal
) -> None:
    host = registries.open.host
    for tag in ("1.27", "1.26"):
        terminal.apply(deployment(acme, "moving", f"{host}/team/web:{tag}"))
    terminal.kubectl(
        "set", "image", "deployment/moving", f"app={host}/team/web:1.25", f"--namespace={acme}"
    )
    stored = cluster.get(f"/apis/apps/v1/namespaces/{acme}/deployments/moving")
    [container] = stored["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{host}/team/web:1.27"
    terminal.compare("update-to-a-missing-tag")


def test_a_secret_that_we_may_not_read_is_not_called_missing(
    cluster: Cluster, webhook: Webhook, registries: Registries, terminal: Terminal
) -> None:
    name = webhook.serve_namespace("unreadable")
    login = {registries.basic.host: ("bot", "right")}
    secret = json.dumps(pull_secret(name, "regcred", login))
    cluster.kubectl("create", "-f-", stdin=secret, check=True)
    mine = with_secrets("regcred")
    image = f"{registries.basic.host}/team/api:2.1"
    unbind_account(cluster)
    try:
        done = terminal.apply(
            deployment(name, "api", image, **mine), pod(name, "api", image, **mine)
        )
    finally:
        bind_account(cluster)
    assert [one.returncode for one in done] == [0, 0]
    said = "".join(one.stderr for one in done)
    assert "not exist" not in said
    assert "not found" not in said
    terminal.compare("secret-unreadable")


def test_the_pods_of_a_deployment_come_to_be(
    cluster: Cluster, webhook: Webhook, registries: Registries
) -> None:
    name = webhook.serve_namespace()
    reviews = webhook.reviews()
    push_image(registries.open, "team/late", "1")
    wanted = deployment(name, "late", f"{registries.open.host}/team/late:1")
    wanted["spec"]["replicas"] = 2
    cluster.kubectl("apply", "-f-", stdin=json.dumps(wanted), check=True)
    cluster.kubectl(
        "wait",
        "--for=jsonpath={.status.replicas}=2",
        f"--namespace={name}",
        "deployment/late",
        "--timeout=20s",
        check=True,
    )
    pods = cluster.get(f"/api/v1/namespaces/{name}/pods")["items"]
    assert [one["spec"]["containers"][0]["image"] for one in pods] == [
        f"{registries.open.host}/team/late:1"
    ] * 2
    # The Deployment, its ReplicaSet and both Pods: all of them were asked about.
    assert webhook.reviews() >= reviews + 4
    status = cluster.get(f"/apis/apps/v1/namespaces/{name}/deployments/late")["status"]
    assert "ReplicaFailure" not in [one["type"] for one in status.get("conditions", [])]
