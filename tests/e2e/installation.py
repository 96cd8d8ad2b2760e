"""deploy/base as it is, in a real API server, and servers beside it that act as its account."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.e2e.harness import Cluster
from tests.e2e.harness.manifests import pod
from tests.e2e.harness.process import HOST, Daemon, free_port

BASE = Path(__file__).parents[2] / "deploy" / "base"
OURS = "pullproof"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/pullproof"
PULLPROOF = [sys.executable, "-W", "error", "-m", "webhook"]

_REVIEWS = re.compile(r"^pullproof_reviews_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """One server of the installation."""

    daemon: Daemon
    url: str
    ops: str

    def reviews(self) -> int:
        """Count the reviews that it has answered."""
        text = httpx.get(f"{self.ops}/metrics", trust_env=False).raise_for_status().text
        return sum(int(float(number)) for number in _REVIEWS.findall(text))

    def is_ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.ops}/readyz", trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def said(self) -> str:
        return self.daemon.log.read_text(encoding="utf-8")


class Installation:
    """`kubectl apply -k deploy/base`, then its init container's work, then its server.

    All is as it stands there (token, rights, rules, conditions, arguments) but for
    the address that the API server calls: nothing routes a Service's address to
    processes of this machine. It is asked about every namespace that deploy/base
    wants checked, so it must not outlive the tests that are about it.
    """

    def __init__(self, cluster: Cluster, policies: Sequence[Path]) -> None:
        self.cluster = cluster
        self._policies = policies
        self._stack = ExitStack()
        self._asked: Server | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="pullproof-installation-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._wait_for_the_last_one_to_go()
            stack.callback(self._remove)
            apply = ("apply", "-k", str(BASE))
            self.applied = self.cluster.kubectl(*apply, "--validate=strict", check=True)
            self.account = self.cluster.token_kubeconfig(OURS, OURS)
            wait_for_rights(self.cluster, self.account, OURS)
            self.tls = self.folder / "tls"
            issue(self.account, self.tls)
            before = ca_bundle(self.cluster)
            self.cluster.kubectl(*apply, check=True)
            self.ca_bundles = (before, ca_bundle(self.cluster))
            self.server = stack.enter_context(self.serving())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextmanager
    def serving(
        self, policies: Sequence[Path] | None = None, env: Mapping[str, str] | None = None
    ) -> Iterator[Server]:
        """Start one more server, by itself with the same policies; it is asked till the end.

        It remembers nothing of what another one was told. Its policies stand beside
        deploy/base's own.
        """
        folder = Path(tempfile.mkdtemp(prefix="server-", dir=self.folder))
        port, ops = free_port(), free_port()
        arguments = serve_args(folder, policies or self._policies, self.tls, port, ops)
        command = [*PULLPROOF, *arguments, f"--kubeconfig={self.account}"]
        daemon = Daemon("serve", command, folder=folder, env=env)
        server = Server(daemon, f"https://{HOST}:{port}/validate", f"http://{HOST}:{ops}")
        before = self._asked
        try:
            daemon.start()
            daemon.wait_until(server.is_ready)
            self._let_be_asked(server)
            yield server
            if before is not None:
                self._let_be_asked(before)
        finally:
            self._asked = before
            daemon.stop()
        assert "Traceback" not in server.said(), server.said()

    def _let_be_asked(self, server: Server) -> None:
        webhook = {"url": server.url, "caBundle": self.ca_bundles[1]}
        patch = [{"op": "replace", "path": "/webhooks/0/clientConfig", "value": webhook}]
        self.cluster.kubectl(
            *("patch", "validatingwebhookconfiguration", OURS, "--type=json"),
            f"--patch={json.dumps(patch)}",
            check=True,
        )
        self._asked = server
        # With failurePolicy Ignore a webhook that is not called yet lets everything pass.
        # What is tried is refused with no registry, and never stored.
        probe = json.dumps(pod("default", "probe", "UPPERCASE"))
        before = server.reviews()

        def is_asked() -> bool:
            self.cluster.kubectl("create", "--dry-run=server", "-f-", stdin=probe)
            return server.reviews() > before

        server.daemon.wait_until(is_asked)

    def _wait_for_the_last_one_to_go(self) -> None:
        end = time.monotonic() + 30
        while self.cluster.get(f"/api/v1/namespaces/{OURS}"):
            assert time.monotonic() < end, f"namespace {OURS} does not end"
            time.sleep(0.1)

    def _remove(self) -> None:
        """Take the way out that docs/install.md tells: it works while the webhook is down."""
        cluster = self.cluster
        cluster.kubectl("delete", "validatingwebhookconfiguration", OURS, check=True)
        cluster.kubectl("delete", "-k", str(BASE), "--ignore-not-found", "--wait=false")


def wait_for_rights(cluster: Cluster, account: Path, namespace: str) -> None:
    """Wait until the API server has taken up what was bound a moment ago."""
    end = time.monotonic() + 10
    for words in (
        ("create", "secrets"),
        ("update", "secrets/pullproof-tls"),
        ("patch", "validatingwebhookconfigurations/pullproof"),
    ):
        asked = ("auth", "can-i", *words, f"--namespace={namespace}")
        while cluster.kubectl(*asked, kubeconfig=account).stdout.strip() != "yes":
            assert time.monotonic() < end, words
            time.sleep(0.1)


def issue(account: Path, *folders: Path) -> list[str]:
    """Run what the init container runs, as its account, in as many processes at once."""
    running = [
        subprocess.Popen(
            [
                *(*PULLPROOF, "certs", "issue", f"--secret={OURS}/pullproof-tls"),
                *("--service=pullproof", f"--names={HOST}", f"--webhook-configuration={OURS}"),
                *(f"--kubeconfig={account}", f"--dir={folder}"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    said = [process.communicate(timeout=30) for process in running]
    assert [errors for _, errors in said] == ["" for _ in running]
    return [out for out, _ in said]


def serve_args(folder: Path, policies: Sequence[Path], tls: Path, port: int, ops: int) -> list[str]:
    """Return the Deployment's own arguments, its paths and addresses put where we may."""
    mounted = folder / "policies"
    mounted.mkdir()
    for path in (BASE / "policies" / "default.yaml", *policies):
        shutil.copy(path, mounted)
    [container] = template()["spec"]["containers"]
    here = {
        "0.0.0.0:8443": f"{HOST}:{port}",
        "0.0.0.0:8080": f"{HOST}:{ops}",
        "/run/pullproof/tls": str(tls),
        "/etc/pullproof/policies": str(mounted),
    }
    arguments = container["args"]
    for there, local in here.items():
        arguments = [argument.replace(there, local) for argument in arguments]
    return list(arguments)


def template() -> dict[str, Any]:
    deployment = yaml.safe_load((BASE / "deployment.yaml").read_text())
    found: dict[str, Any] = deployment["spec"]["template"]
    return found


def ca_bundle(cluster: Cluster) -> str:
    found: str = cluster.get(CONFIGURATION)["webhooks"][0]["clientConfig"].get("caBundle", "")
    return found
