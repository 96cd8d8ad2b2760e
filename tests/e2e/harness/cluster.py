"""A real control plane on loopback: etcd, the API server, the controllers."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.harness.audit import AuditLog
from tests.e2e.harness.kubectl import (
    Completed,
    kubectl_in_terminal,
    run_kubectl,
    write_kubeconfig,
)
from tests.e2e.harness.pki import Authority, Identity, client_context
from tests.e2e.harness.process import HOST, Daemon, DaemonError, free_port
from tests.parts import locate

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


class Cluster:
    """A control plane without nodes: what is created is stored, controlled, never run.

    `extra_apiserver_args` go to the API server as they are, for tests that need
    a feature gate or an admission setting.
    """

    def __init__(self, *, extra_apiserver_args: tuple[str, ...] = ()) -> None:
        self._extra = extra_apiserver_args
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._parts = locate(COMPONENTS)
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="pullproof-cluster-"))
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        self.authority = Authority(self.folder / "pki", "cluster-ca")
        self.admin = self.authority.client("admin", ["system:masters"])
        self.url = f"https://{HOST}:{free_port()}"
        self.kubeconfig = self._certificate_kubeconfig("admin", self.admin)
        self.api = stack.enter_context(
            httpx.Client(
                base_url=self.url,
                verify=client_context(self.authority, self.admin),
                timeout=10,
                trust_env=False,
            )
        )
        self.audit = AuditLog(self.folder)
        etcd_url = f"http://{HOST}:{free_port()}"
        etcd, apiserver = self._etcd(etcd_url), self._apiserver(etcd_url)
        self._controllers = self._controller_manager()
        for daemon in (etcd, apiserver, self._controllers):
            # The order of the stack stops the API server before etcd: it would wait
            # for its whole shutdown grace otherwise.
            stack.callback(daemon.stop)
            daemon.start()
            if daemon is apiserver:
                daemon.wait_until(self._is_ready)
        self.wait_for_service_account("default")

    def _etcd(self, url: str) -> Daemon:
        peer = f"http://{HOST}:{free_port()}"
        return Daemon(
            "etcd",
            [
                self._parts["etcd"],
                f"--data-dir={self.folder / 'etcd'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--unsafe-no-fsync=true",
            ],
            folder=self.folder,
        )

    def _apiserver(self, etcd_url: str) -> Daemon:
        self._account_key = self.folder / "service-accounts.key"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._account_key.touch(mode=0o600)
        self._account_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        serving = self.authority.server("kube-apiserver")
        return Daemon(
            "kube-apiserver",
            [
                self._parts["kube-apiserver"],
                f"--etcd-servers={etcd_url}",
                f"--bind-address={HOST}",
                f"--advertise-address={HOST}",
                f"--secure-port={self.url.rpartition(':')[2]}",
                f"--tls-cert-file={serving.cert}",
                f"--tls-private-key-file={serving.key}",
                f"--client-ca-file={self.authority.bundle}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._account_key}",
                f"--service-account-signing-key-file={self._account_key}",
                "--service-cluster-ip-range=10.0.0.0/24",
                # A loopback address is no endpoint that its reconciler would write.
                "--endpoint-reconciler-type=none",
                "--allow-privileged=true",
                *self.audit.flags,
                *self._extra,
            ],
            folder=self.folder,
        )

    def _controller_manager(self) -> Daemon:
        identity = self.authority.client("system:kube-controller-manager")
        return Daemon(
            "kube-controller-manager",
            [
                self._parts["kube-controller-manager"],
                f"--kubeconfig={self._certificate_kubeconfig('controllers', identity)}",
                f"--service-account-private-key-file={self._account_key}",
                f"--root-ca-file={self.authority.bundle}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                "--secure-port=0",
                # Each controller gets its own account at the start: 5 s at the default rate.
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
            ],
            folder=self.folder,
        )

    def _certificate_kubeconfig(self, name: str, identity: Identity) -> Path:
        return write_kubeconfig(
            self.folder / f"{name}.kubeconfig",
            server=self.url,
            ca=self.authority.bundle,
            user={"client-certificate": str(identity.cert), "client-key": str(identity.key)},
        )

    def _is_ready(self) -> bool:
        try:
            return self.api.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def kubectl(
        self,
        *args: str,
        stdin: str | None = None,
        check: bool = False,
        timeout: float = 30,
        kubeconfig: Path | None = None,
        cwd: Path | None = None,
    ) -> Completed:
        """Run kubectl as the admin, or with another kubeconfig."""
        return run_kubectl(
            self._parts["kubectl"],
            kubeconfig or self.kubeconfig,
            args,
            stdin=stdin,
            check=check,
            timeout=timeout,
            cwd=cwd,
        )

    def kubectl_in_terminal(self, *args: str, cwd: Path) -> bytes:
        """Run kubectl as the admin; return what a terminal would show."""
        return kubectl_in_terminal(self._parts["kubectl"], self.kubeconfig, args, cwd=cwd)

    def get(self, path: str) -> dict[str, Any]:
        """Read an object or a list, such as `/api/v1/namespaces`; an absent one is {}."""
        answer = self.api.get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return {}
        content: dict[str, Any] = answer.raise_for_status().json()
        return content

    def create_namespace(
        self, name: str | None = None, *, labels: dict[str, str] | None = None
    ) -> str:
        """Create a namespace of its own for a test, its account `default` in place."""
        name = name or f"test-{secrets.token_hex(4)}"
        self.api.post(
            "/api/v1/namespaces", json={"metadata": {"name": name, "labels": labels or {}}}
        ).raise_for_status()
        self.wait_for_service_account(name)
        return name

    def delete_namespace(self, name: str) -> None:
        self.api.delete(f"/api/v1/namespaces/{name}").raise_for_status()

    def wait_for_service_account(
        self, namespace: str, name: str = "default", *, timeout: float = 30
    ) -> None:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}"
        self._controllers.wait_until(lambda: bool(self.get(path)), timeout=timeout)

    def token_kubeconfig(self, namespace: str, serviceaccount: str) -> Path:
        """Write a kubeconfig that acts as a service account, by a token of one hour."""
        token = self.kubectl(
            "create", "token", serviceaccount, f"--namespace={namespace}", check=True
        ).stdout.strip()
        return write_kubeconfig(
            self.folder / f"{namespace}-{serviceaccount}.kubeconfig",
            server=self.url,
            ca=self.authority.bundle,
            user={"token": token},
            namespace=namespace,
        )

    def wait_for(self, path: str, *, timeout: float = 30) -> dict[str, Any]:
        """Wait until a list has items, or an object exists."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = self.get(path)
            if found and found.get("items") != []:
                return found
            time.sleep(0.1)
        msg = f"{path} is still empty after {timeout:.0f} s\n{self._controllers.tail()}"
        raise DaemonError(msg)
