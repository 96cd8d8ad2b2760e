"""`pullproof serve` as a process of its own, and how an API server is told of it."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.e2e.harness.cluster import Cluster
from tests.e2e.harness.manifests import pod
from tests.e2e.harness.process import HOST, Daemon, DaemonError

NAME = "images.pullproof.dev"
SYSTEM = "pullproof-system"
# Not the name of deploy/base's own account and role, which come and go in the same cluster.
ACCOUNT = "pullproof-test"
RIGHTS = Path(__file__).parents[3] / "deploy" / "base" / "rbac.yaml"
SERVED_BY = "test.pullproof.dev/served-by"

_SERVING = re.compile(
    r"serving on (https://127\.0\.0\.1:\d+/validate) "
    r"\(health and metrics on (http://127\.0\.0\.1:\d+)\)"
)
_REVIEWS = re.compile(r"^pullproof_reviews_total\{[^}]*} (\S+)$", re.MULTILINE)
_WORKLOADS: tuple[tuple[str, list[str]], ...] = (
    ("", ["pods", "pods/ephemeralcontainers", "replicationcontrollers", "podtemplates"]),
    ("apps", ["deployments", "replicasets", "statefulsets", "daemonsets"]),
    ("batch", ["jobs", "cronjobs"]),
)


class Webhook:
    """A server that reads `cluster` as a ServiceAccount with the ClusterRole of deploy/base.

    It is asked about the namespaces that carry `label` only, so that several can
    serve one cluster, and tests of other things none.
    """

    def __init__(
        self,
        cluster: Cluster,
        policies: Sequence[Path],
        *,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.cluster = cluster
        self.name = f"pullproof-{secrets.token_hex(3)}"
        self.label = {SERVED_BY: self.name}
        self._policies = policies
        self._options = options
        self._env = env
        self.url = self.ops = ""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pullproof-webhook-"))
        self._daemon = Daemon("pullproof", self._command(), folder=self.folder, env=self._env)
        try:
            self._start()
            self._install()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self.cluster.api.delete(f"{_CONFIGURATIONS}/{self.name}")
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server; the API server goes on asking it."""
        self._daemon.stop()

    def said(self) -> str:
        """Return what the server has written so far."""
        return self._daemon.log.read_text(encoding="utf-8")

    def reviews(self) -> int:
        """Return how many reviews were answered so far."""
        text = httpx.get(f"{self.ops}/metrics", trust_env=False).raise_for_status().text
        return int(sum(float(count) for count in _REVIEWS.findall(text)))

    def serve_namespace(self, name: str | None = None, **labels: str) -> str:
        """Create a namespace that this server is asked about; returns its name."""
        name = self.cluster.create_namespace(name, labels={**labels, **self.label})
        self.wait_until_asked(name)
        return name

    def wait_until_asked(self, namespace: str) -> None:
        """Wait until the API server asks this server about Pods of a namespace.

        It learns of configurations and labels by a watch. What is tried can be
        refused with no registry, and is never stored.
        """
        probe = json.dumps(pod(namespace, "probe", "UPPERCASE"))
        end = time.monotonic() + 20
        while True:
            tried = self.cluster.kubectl("create", "--dry-run=server", "-f-", stdin=probe)
            if NAME in tried.stderr:
                return
            if time.monotonic() > end:
                msg = f"{self.name} is not asked about {namespace}: {tried}\n{self._daemon.tail()}"
                raise DaemonError(msg)
            time.sleep(0.1)

    def _command(self) -> list[str]:
        _allow_account(self.cluster)
        return [
            *(sys.executable, "-W", "error", "-m", "webhook", "serve"),
            *("--listen", f"{HOST}:0", "--ops-listen", f"{HOST}:0"),
            *("--self-signed", str(self.folder / "certificates")),
            *("--kubeconfig", str(self.cluster.token_kubeconfig(SYSTEM, ACCOUNT))),
            *(part for path in self._policies for part in ("--policy", str(path))),
            *self._options,
        ]

    def _start(self) -> None:
        self._daemon.start()
        self._daemon.wait_until(lambda: _SERVING.search(self.said()) is not None)
        serving = _SERVING.search(self.said())
        assert serving is not None
        self.url, self.ops = serving[1], serving[2]
        self._daemon.wait_until(self._is_ready)

    def _is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.ops}/readyz", trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def _install(self) -> None:
        ca = (self.folder / "certificates" / "ca.crt").read_bytes()
        self.cluster.api.post(
            _CONFIGURATIONS, json=_configuration(self.name, self.url, ca, self.label)
        ).raise_for_status()


_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def _configuration(name: str, url: str, ca: bytes, label: dict[str, str]) -> dict[str, Any]:
    outside = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", SYSTEM],
    }
    return {
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": NAME,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": url, "caBundle": base64.b64encode(ca).decode()},
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "namespaceSelector": {"matchLabels": label, "matchExpressions": [outside]},
                "rules": [
                    {
                        "operations": ["CREATE", "UPDATE"],
                        "apiGroups": [group],
                        "apiVersions": ["v1"],
                        "resources": resources,
                    }
                    for group, resources in _WORKLOADS
                ],
            }
        ],
    }


def _allow_account(cluster: Cluster) -> None:
    """Let the account do what deploy/base lets its own do in the whole cluster."""
    if cluster.get(f"/api/v1/namespaces/{SYSTEM}"):
        return
    cluster.create_namespace(SYSTEM)
    run = cluster.kubectl
    run("create", "serviceaccount", ACCOUNT, f"--namespace={SYSTEM}", check=True)
    documents = yaml.safe_load_all(RIGHTS.read_text(encoding="utf-8"))
    [role] = [document for document in documents if document["kind"] == "ClusterRole"]
    role["metadata"] = {"name": ACCOUNT}
    run("create", "-f-", stdin=json.dumps(role), check=True)
    bind_account(cluster)


def bind_account(cluster: Cluster) -> None:
    """Give the account what its role allows."""
    account = f"--serviceaccount={SYSTEM}:{ACCOUNT}"
    role = f"--clusterrole={ACCOUNT}"
    cluster.kubectl("create", "clusterrolebinding", ACCOUNT, role, account, check=True)
    _wait_for_permission(cluster, given=True)


def unbind_account(cluster: Cluster) -> None:
    """Take it away again."""
    cluster.kubectl("delete", "clusterrolebinding", ACCOUNT, check=True)
    _wait_for_permission(cluster, given=False)


def _wait_for_permission(cluster: Cluster, *, given: bool) -> None:
    end = time.monotonic() + 20
    account = f"--as=system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    while (cluster.kubectl("auth", "can-i", "get", "secrets", account).returncode == 0) != given:
        assert time.monotonic() < end, "the API server never learned of the role binding"
        time.sleep(0.05)
