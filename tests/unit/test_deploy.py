"""What deploy/ promises, read from its files; tests/e2e/test_install.py applies them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook.images.workloads import POD_SPECS
from webhook.policy.files import PolicySet, load
from webhook.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "base"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((BASE / name).read_text()))


@pytest.fixture
def deployment() -> dict[str, Any]:
    [found] = documents("deployment.yaml")
    return found


@pytest.fixture
def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


@pytest.fixture
def webhook() -> dict[str, Any]:
    [configuration] = documents("webhook.yaml")
    [found] = configuration["webhooks"]
    return dict(found)


@pytest.mark.parametrize("name", ["default.yaml", "registries.yaml"])
def test_the_policies_of_the_config_map_are_the_shipped_ones(name: str) -> None:
    assert (BASE / "policies" / name).read_text() == (ROOT / "policies" / name).read_text()
    [generator] = documents("policies/kustomization.yaml")[0]["configMapGenerator"]
    assert name in generator["files"]


def test_the_policies_of_the_config_map_load_without_a_warning(tmp_path: Path) -> None:
    for file in documents("policies/kustomization.yaml")[0]["configMapGenerator"][0]["files"]:
        (tmp_path / file).write_text((BASE / "policies" / file).read_text())
    result = load([tmp_path])
    assert isinstance(result, PolicySet), result
    assert result.warnings == ()


def test_every_manifest_is_in_the_kustomization() -> None:
    named = set(documents("kustomization.yaml")[0]["resources"])
    there = {path.name for path in BASE.iterdir() if path.name != "kustomization.yaml"}
    assert named == there


def test_every_kind_that_makes_pods_is_reviewed(webhook: dict[str, Any]) -> None:
    named = {
        (group, resource)
        for rule in webhook["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    known = {(group, f"{kind.lower()}s") for group, kind in POD_SPECS}
    assert named == known | {("", "pods/ephemeralcontainers")}
    for rule in webhook["rules"]:
        assert rule["operations"] == ["CREATE", "UPDATE"]
        assert rule["scope"] == "Namespaced"


def test_the_webhook_never_stands_in_the_way(webhook: dict[str, Any]) -> None:
    assert webhook["name"] == "images.pullproof.dev"
    assert webhook["failurePolicy"] == "Ignore"
    assert webhook["timeoutSeconds"] == 5
    assert webhook["sideEffects"] == "None"
    assert webhook["matchPolicy"] == "Equivalent"
    [expression] = webhook["namespaceSelector"]["matchExpressions"]
    assert expression["key"] == "kubernetes.io/metadata.name"
    assert {"kube-system", "kube-node-lease", "kube-public", "pullproof"} == set(
        expression["values"]
    )
    assert "objectSelector" not in webhook, "whoever sets labels could opt out"
    assert "caBundle" not in webhook["clientConfig"], "certs issue owns that field"


def test_a_rollout_never_leaves_fewer_replicas_than_two(deployment: dict[str, Any]) -> None:
    spec = deployment["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    [budget] = documents("poddisruptionbudget.yaml")
    assert budget["spec"]["maxUnavailable"] == 1
    selectors = [budget["spec"]["selector"]["matchLabels"], spec["selector"]["matchLabels"]]
    assert selectors == [spec["template"]["metadata"]["labels"]] * 2


def test_a_stop_has_the_time_that_the_server_takes(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits == 10
    drains = ServerSettings(tls_cert=Path(), tls_key=Path()).graceful_seconds
    assert pod["terminationGracePeriodSeconds"] >= max(50, waits + drains)


def test_every_container_is_restricted_and_bounded(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
    writable = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
    assert [(each["medium"], bool(each["sizeLimit"])) for each in writable] == [
        ("Memory", True)
    ] * 2


def test_probes_ask_the_plain_listener(pod: dict[str, Any]) -> None:
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"--ops-listen=0.0.0.0:{ports['ops']}" in container["args"]
    assert f"--listen=0.0.0.0:{ports['https']}" in container["args"]
    asked = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}
    assert asked == {
        "startupProbe": {"path": "/healthz", "port": "ops"},
        "readinessProbe": {"path": "/readyz", "port": "ops"},
        "livenessProbe": {"path": "/healthz", "port": "ops"},
    }
    [service] = documents("service.yaml")
    assert service["spec"]["ports"] == [{"name": "https", "port": 443, "targetPort": "https"}]


def test_the_names_that_belong_together_are_the_same(
    deployment: dict[str, Any], pod: dict[str, Any], webhook: dict[str, Any]
) -> None:
    given = {each["name"]: each.get("value") for each in pod["initContainers"][0]["env"]}
    [service] = documents("service.yaml")
    [configuration] = documents("webhook.yaml")
    assert given["PULLPROOF_SERVICE"] == service["metadata"]["name"]
    assert given["PULLPROOF_WEBHOOK_CONFIGURATION"] == configuration["metadata"]["name"]
    target = webhook["clientConfig"]["service"]
    assert (target["name"], target["namespace"]) == ("pullproof", service["metadata"]["namespace"])
    secret = str(given["PULLPROOF_SECRET"]).rpartition("/")[2]
    rules = [rule for role in documents("rbac.yaml") for rule in role.get("rules", ())]
    assert [secret] in [rule.get("resourceNames") for rule in rules]
    assert deployment["metadata"]["namespace"] == service["metadata"]["namespace"]
    [container] = pod["containers"]
    assert f"--tls-cert={given['PULLPROOF_DIR']}/tls.crt" in container["args"]


def test_no_rule_of_the_account_holds_a_wildcard_or_lists_secrets() -> None:
    rules = [rule for role in documents("rbac.yaml") for rule in role.get("rules", ())]
    for rule in rules:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        if "secrets" in rule["resources"]:
            assert not {"list", "watch", "delete", "patch"} & set(rule["verbs"])


def test_nodes_and_namespaces_may_be_watched_and_never_written() -> None:
    rules = [rule for role in documents("rbac.yaml") for rule in role.get("rules", ())]
    for resource in ("nodes", "namespaces"):
        [verbs] = [rule["verbs"] for rule in rules if resource in rule["resources"]]
        assert sorted(verbs) == ["get", "list", "watch"]


def test_the_image_runs_as_the_user_of_the_deployment(pod: dict[str, Any]) -> None:
    text = DOCKERFILE.read_text()
    user = re.search(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert user is not None
    context = pod["securityContext"]
    assert (int(user[1]), int(user[2])) == (context["runAsUser"], context["runAsGroup"])
    assert 'ENTRYPOINT ["pullproof"]' in text


def test_the_image_is_built_of_what_is_there_and_of_locked_packages() -> None:
    text = DOCKERFILE.read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == {
        *("requirements.lock", "requirements-dev.lock", "pyproject.toml", "README.md"),
        *("LICENSE", "webhook", "certs"),
    }
    assert all((ROOT / name).exists() for name in names)
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == names
    installs = re.findall(r"pip install .*", text)
    assert len(installs) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)
