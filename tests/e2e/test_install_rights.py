"""What the account of deploy/base may do, as the real API server sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Cluster
from tests.e2e.installation import BASE, OURS, wait_for_rights


@pytest.fixture
def account(cluster: Cluster, namespace: str) -> Iterator[Path]:
    """A kubeconfig of the account, its rights bound in a namespace of the test's own."""
    files = ("serviceaccount.yaml", "rbac.yaml")
    manifests = "---\n".join((BASE / name).read_text() for name in files)
    here = manifests.replace(f"namespace: {OURS}\n", f"namespace: {namespace}\n")
    assert here.count(namespace) == 5
    cluster.kubectl("apply", "-f-", "--validate=strict", stdin=here, check=True)
    token = cluster.token_kubeconfig(namespace, OURS)
    wait_for_rights(cluster, token, namespace)
    yield token
    cluster.kubectl("delete", "-f-", stdin=here, check=True)


def test_the_account_may_do_what_it_needs_and_nothing_else(
    cluster: Cluster, account: Path, namespace: str
) -> None:
    # What any account may do is not ours: ask who it is, and the like.
    anybody = rules(cluster, cluster.token_kubeconfig("default", "default"), "default")
    everywhere = rules(cluster, account, "default")
    assert everywhere - anybody == {
        ("get", "secrets", ""),
        ("get", "serviceaccounts", ""),
        *((verb, "namespaces", "") for verb in ("get", "list", "watch")),
        *((verb, "nodes", "") for verb in ("get", "list", "watch")),
        ("get", "validatingwebhookconfigurations", "pullproof"),
        ("patch", "validatingwebhookconfigurations", "pullproof"),
    }
    assert rules(cluster, account, namespace) - everywhere == {
        ("create", "secrets", ""),
        ("get", "secrets", "pullproof-tls"),
        ("update", "secrets", "pullproof-tls"),
    }


def rules(cluster: Cluster, account: Path, namespace: str) -> set[tuple[str, str, str]]:
    """Return verb, resource and name of all that an account may do in a namespace."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.kubectl(
        *("create", "-f-", "--output=json", "--validate=false"),
        stdin=json.dumps(review),
        kubeconfig=account,
        check=True,
    ).json["status"]
    assert not answer["incomplete"]
    return {
        (verb, resource, name)
        for rule in answer["resourceRules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
    }


def test_kubectl_agrees_on_what_the_account_may_not(
    cluster: Cluster, account: Path, namespace: str
) -> None:
    def may(*words: str) -> str:
        asked = ("auth", "can-i", *words, f"--namespace={namespace}")
        return cluster.kubectl(*asked, kubeconfig=account).stdout.strip()

    assert may("update", "secrets/pullproof-tls") == "yes"
    for words in (
        ("list", "secrets"),
        ("watch", "secrets"),
        ("delete", "secrets"),
        ("update", "secrets/other"),
        ("create", "pods"),
        ("patch", "validatingwebhookconfigurations/other"),
        ("delete", "validatingwebhookconfigurations/pullproof"),
    ):
        assert may(*words) == "no", words
