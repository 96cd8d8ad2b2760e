"""``pullproof certs`` against a real API server: one Secret, however many ask for it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certs.agree import Agreed, Done, agree, identity_in
from certs.authority import issue, new_authority
from certs.bundle import verifies
from certs.cluster import ApiServer
from certs.identity import Identity, fault_of
from tests.e2e.harness import Cluster
from webhook.cli import main

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class Site:
    """A namespace, a webhook configuration that concerns nothing, and the command for both."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.configuration = f"certs-{namespace}"
        self.names = [f"hook.{namespace}.svc"]

    def command(self, *words: str, kubeconfig: Path | None = None) -> list[str]:
        return [
            *("certs", *words, f"--secret={self.namespace}/tls", "--service=hook"),
            f"--webhook-configuration={self.configuration}",
            f"--kubeconfig={kubeconfig or self.cluster.kubeconfig}",
        ]

    def run(self, *words: str, kubeconfig: Path | None = None) -> list[str]:
        """Run the command in this process; return its lines and its exit."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main(self.command(*words, kubeconfig=kubeconfig))
        return [*said.getvalue().splitlines(), f"exit {code}"]

    def agree_at_once(self, times: int) -> list[Agreed]:
        """Let as many as asked look at the Secret in the same moment."""
        barrier = threading.Barrier(times)

        def one(_number: int) -> Agreed:
            with closing(ApiServer(self.cluster.kubeconfig, timeout=30)) as api:
                barrier.wait(30)
                return agree(api, self.namespace, "tls", self.names)

        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(one, range(times)))

    def secret(self) -> dict[str, Any]:
        return self.cluster.get(f"/api/v1/namespaces/{self.namespace}/secrets/tls")

    def bundles(self) -> list[bytes]:
        webhooks = self.cluster.get(f"{CONFIGURATIONS}/{self.configuration}")["webhooks"]
        return [base64.b64decode(each["clientConfig"].get("caBundle", "")) for each in webhooks]

    def versions(self) -> tuple[str, str]:
        configuration = self.cluster.get(f"{CONFIGURATIONS}/{self.configuration}")
        first, second = self.secret()["metadata"], configuration["metadata"]
        return first["resourceVersion"], second["resourceVersion"]

    def put_secret(self, data: dict[str, bytes], kind: str = "Opaque") -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        self.cluster.api.post(
            f"/api/v1/namespaces/{self.namespace}/secrets",
            json={"metadata": {"name": "tls"}, "type": kind, "data": encoded},
        ).raise_for_status()

    def put_configuration(self, bundles: Sequence[bytes | None]) -> None:
        webhooks = []
        for number, bundle in enumerate(bundles):
            service: dict[str, Any] = {"service": {"name": "hook", "namespace": self.namespace}}
            if bundle is not None:
                service["caBundle"] = base64.b64encode(bundle).decode()
            webhooks.append(
                {
                    "name": f"w{number}.certs.example",
                    "clientConfig": service,
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Ignore",
                }
            )
        body = {"metadata": {"name": self.configuration}, "webhooks": webhooks}
        self.cluster.api.post(CONFIGURATIONS, json=body).raise_for_status()

    def assert_agreed(self) -> Identity:
        """Assert that the Secret holds an identity that every webhook's caBundle verifies."""
        identity = identity_in(self.secret())
        assert fault_of(identity, self.names) is None
        assert all(verifies(bundle, identity.pair.certificate) for bundle in self.bundles())
        return identity


@pytest.fixture
def site(cluster: Cluster, namespace: str) -> Iterator[Site]:
    it = Site(cluster, namespace)
    yield it
    cluster.api.delete(f"{CONFIGURATIONS}/{it.configuration}")


def expired() -> dict[str, bytes]:
    then = datetime.now(UTC) - timedelta(days=500)
    authority = new_authority(now=then)
    pair = issue(authority, ["hook"], now=then)
    return {"ca.crt": authority.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}


def test_processes_that_start_at_once_agree_on_one_secret(site: Site) -> None:
    site.put_configuration([None, None])
    command = [sys.executable, "-m", "webhook", *site.command("issue")]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sum(": created, valid until" in out for out in said) == 1, said
    assert sum(": unchanged, valid until" in out for out in said) == 1, said
    site.assert_agreed()
    assert site.secret()["type"] == "kubernetes.io/tls"


def test_one_of_many_that_find_no_secret_creates_it(site: Site) -> None:
    agreed = site.agree_at_once(6)
    assert sorted(each.done for each in agreed) == [Done.CREATED] + [Done.UNCHANGED] * 5
    assert {each.identity for each in agreed} == {identity_in(site.secret())}


def test_a_second_run_changes_nothing(site: Site) -> None:
    site.put_configuration([None])
    site.run("issue")
    before = site.versions()
    lines = site.run("issue")
    assert lines[0].startswith(f"Secret {site.namespace}/tls: unchanged")
    name = site.configuration
    assert lines[1:] == [f"ValidatingWebhookConfiguration {name}: caBundle unchanged", "exit 0"]
    assert site.versions() == before


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (expired(), "the certificate ends at"),
        ({"tls.crt": b"half", "tls.key": b"half"}, "no PEM certificate"),
        ({}, "no PEM certificate"),
    ],
    ids=["expired", "damaged", "empty"],
)
def test_one_of_many_that_find_what_cannot_be_used_replaces_it(
    site: Site, data: dict[str, bytes], why: str
) -> None:
    site.put_secret({**data, "somebody": b"else's"})
    agreed = site.agree_at_once(6)
    assert sorted(each.done for each in agreed) == [Done.REPLACED] + [Done.UNCHANGED] * 5
    assert next(each.why for each in agreed if each.done is Done.REPLACED).startswith(why)
    assert {each.identity for each in agreed} == {identity_in(site.secret())}
    assert fault_of(agreed[0].identity, site.names) is None
    assert base64.b64decode(site.secret()["data"]["somebody"]) == b"else's"


def test_the_authorities_of_others_stay_and_expired_ones_go(site: Site) -> None:
    other = new_authority("other").certificate
    gone = new_authority(now=datetime.now(UTC) - timedelta(days=5000)).certificate
    site.put_configuration([gone + other, other])
    site.run("issue")
    site.assert_agreed()
    for bundle in site.bundles():
        assert other in bundle
        assert gone not in bundle
        assert bundle.count(b"BEGIN CERTIFICATE") == 2


def test_a_secret_of_another_kind_is_left_alone(site: Site) -> None:
    site.put_configuration([None])
    site.put_secret({".dockerconfigjson": b"{}"}, "kubernetes.io/dockerconfigjson")
    before = site.versions()
    [line, code] = site.run("issue")
    assert line.endswith("is of type kubernetes.io/dockerconfigjson: not one of ours")
    assert code == "exit 1"
    assert site.versions() == before


def test_who_is_not_allowed_is_told_so_on_one_line(site: Site) -> None:
    nobody = site.cluster.token_kubeconfig(site.namespace, "default")
    [line, code] = site.run("issue", kubeconfig=nobody)
    assert line.startswith(f"pullproof: cannot get Secret {site.namespace}/tls: the API server")
    assert "answers 403" in line
    assert "cannot get resource" in line
    assert code == "exit 1"


def test_a_configuration_that_is_not_there_is_told(site: Site) -> None:
    lines = site.run("issue")
    assert lines[-1] == "exit 1"
    assert f"cannot get ValidatingWebhookConfiguration {site.configuration}" in lines[-2]
    assert "answers 404" in lines[-2]


def test_an_api_server_that_is_not_there_is_told_within_the_time(
    site: Site, tmp_path: Path
) -> None:
    config = json.loads(site.cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(json.dumps(config))
    [line, code] = site.run("issue", kubeconfig=elsewhere)
    assert "the API server cannot be reached" in line
    assert code == "exit 1"


def test_status_tells_where_the_certificate_stands(site: Site) -> None:
    site.put_configuration([None])
    assert "answers 404" in site.run("status")[0]
    site.run("issue")
    lines = site.run("status")
    assert lines[0] == f"Secret {site.namespace}/tls"
    assert site.names[0] in lines[1]
    assert lines[2].endswith("(364 days)")
    assert lines[3:] == ["exit 0"]

    site.cluster.api.delete(f"{CONFIGURATIONS}/{site.configuration}").raise_for_status()
    site.put_configuration([new_authority("other").certificate])
    lines = site.run("status")
    wrong = "no authority in the caBundle of w0.certs.example verifies the certificate"
    assert lines[3:] == [f"  wrong     {wrong}", "exit 1"]
