"""The harness proves itself: each part is the real thing and can be broken on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import (
    Authority,
    Cluster,
    Registry,
    Request,
    Rule,
    TokenServer,
    push_image,
)
from tests.e2e.harness.images import INDEX, MANIFEST
from tests.e2e.harness.process import Daemon, DaemonError

ACCEPT = {"Accept": f"{MANIFEST}, {INDEX}"}


def get(registry: Registry, path: str, **arguments: object) -> httpx.Response:
    """Ask as a stranger would: not by the harness's own client."""
    with httpx.Client(verify=registry.ssl_context(), trust_env=False) as client:
        return client.get(f"{registry.url}{path}", headers=ACCEPT, **arguments)  # type: ignore[arg-type]


def deployment(name: str, image: str) -> str:
    labels = {"app": name}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "web", "image": image}]},
                },
            },
        }
    )


def test_the_api_server_answers_with_a_version(cluster: Cluster) -> None:
    answer = cluster.kubectl("version", "--output=json", check=True).json
    assert answer["serverVersion"]["gitVersion"].startswith("v1.")


def test_a_deployment_leads_to_a_pod(cluster: Cluster, namespace: str) -> None:
    manifest = deployment("web", "nginx:1")
    cluster.kubectl("apply", f"--namespace={namespace}", "-f-", stdin=manifest, check=True)
    pods = cluster.wait_for(f"/api/v1/namespaces/{namespace}/pods")["items"]
    assert [pod["spec"]["containers"][0]["image"] for pod in pods] == ["nginx:1"]
    assert pods[0]["spec"]["serviceAccountName"] == "default"


def test_a_service_account_may_do_only_what_it_was_given(cluster: Cluster, namespace: str) -> None:
    mine = cluster.token_kubeconfig(namespace, "default")
    refused = cluster.kubectl("get", "pods", kubeconfig=mine)
    assert refused.returncode == 1
    assert f"system:serviceaccount:{namespace}:default" in refused.stderr
    cluster.kubectl(
        "create",
        "rolebinding",
        "viewer",
        f"--namespace={namespace}",
        "--clusterrole=view",
        f"--serviceaccount={namespace}:default",
        check=True,
    )
    end = time.monotonic() + 10
    while cluster.kubectl("get", "pods", kubeconfig=mine).returncode != 0:
        assert time.monotonic() < end, "the API server never learned of the role binding"


def test_an_open_registry_gives_its_image_to_anybody(registry: Registry) -> None:
    digest = push_image(registry, "team/open", "1")
    registry.forget_requests()
    answer = get(registry, "/v2/team/open/manifests/1")
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (200, digest)
    [request] = registry.requests
    agent = answer.request.headers["User-Agent"]
    assert request == Request("GET", "/v2/team/open/manifests/1", 200, agent)


def test_an_image_of_two_platforms_is_an_index(registry: Registry) -> None:
    digest = push_image(registry, "team/two", "1", ("linux/amd64", "linux/arm64/v8"))
    answer = get(registry, f"/v2/team/two/manifests/{digest}")
    assert answer.headers["Content-Type"] == INDEX
    assert [entry["platform"] for entry in answer.json()["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64", "variant": "v8"},
    ]


def test_other_content_moves_a_tag_and_a_deleted_manifest_is_gone(registry: Registry) -> None:
    first = push_image(registry, "team/moves", "1")
    second = push_image(registry, "team/moves", "1", content="other")
    assert first != second
    with registry.client() as client:
        assert client.delete(f"/v2/team/moves/manifests/{second}").status_code == 202
    assert get(registry, "/v2/team/moves/manifests/1").status_code == 404


def test_a_basic_registry_wants_the_right_password(basic_registry: Registry) -> None:
    push_image(basic_registry, "team/app", "1")
    path = "/v2/team/app/manifests/1"
    basic_registry.forget_requests()
    assert get(basic_registry, path).status_code == 401
    assert get(basic_registry, path, auth=("bot", "wrong")).status_code == 401
    assert get(basic_registry, path, auth=("bot", "right")).status_code == 200
    assert [request.status for request in basic_registry.requests] == [401, 401, 200]


def test_a_mended_password_counts_at_the_next_request(
    start_registry: Callable[..., Registry],
) -> None:
    registry = start_registry(users={"bot": "old"})
    assert get(registry, "/v2/", auth=("bot", "new")).status_code == 401
    registry.set_users({"bot": "new"})
    assert get(registry, "/v2/", auth=("bot", "new")).status_code == 200


def bearer(registry: Registry, path: str, **token_arguments: object) -> httpx.Response:
    """Follow the challenge as a puller does."""
    challenge = get(registry, path).headers["WWW-Authenticate"]
    fields = dict(item.split("=", 1) for item in challenge.removeprefix("Bearer ").split(","))
    realm, service, scope = (fields[key].strip('"') for key in ("realm", "service", "scope"))
    with httpx.Client(verify=registry.ssl_context(), trust_env=False) as client:
        answer = client.get(
            realm,
            params={"service": service, "scope": scope},
            **token_arguments,  # type: ignore[arg-type]
        )
        if answer.status_code != 200:
            return answer
        return client.get(
            f"{registry.url}{path}",
            headers={**ACCEPT, "Authorization": f"Bearer {answer.json()['token']}"},
        )


def test_a_token_registry_grants_what_the_rules_allow(token_registry: Registry) -> None:
    push_image(token_registry, "public/app", "1")
    push_image(token_registry, "private/app", "1")
    public, private = (f"/v2/{name}/app/manifests/1" for name in ("public", "private"))
    assert bearer(token_registry, public).status_code == 200
    assert bearer(token_registry, private, auth=("bot", "right")).status_code == 200
    assert bearer(token_registry, private, auth=("bot", "wrong")).status_code == 401
    refused = bearer(token_registry, private)
    assert refused.status_code == 401
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]


def test_a_token_service_takes_a_password_by_post(token_registry: Registry) -> None:
    push_image(token_registry, "private/posted", "1")
    tokens = token_registry.tokens
    assert tokens is not None
    form = {
        "grant_type": "password",
        "service": "test-registry",
        "client_id": "test",
        "scope": "repository:private/posted:pull",
        "username": "bot",
        "password": "right",
    }
    answer = httpx.post(tokens.realm, data=form, trust_env=False)
    token = answer.json()["access_token"]
    assert "token" not in answer.json()
    pulled = httpx.get(
        f"{token_registry.url}/v2/private/posted/manifests/1",
        headers={**ACCEPT, "Authorization": f"Bearer {token}"},
        trust_env=False,
    )
    assert pulled.status_code == 200
    assert httpx.post(tokens.realm, data={**form, "password": "wrong"}).status_code == 401
    assert (tokens.requests[-2].user, tokens.requests[-1].status) == ("bot", 401)


def test_registry_and_token_service_are_trusted_only_by_their_ca(
    authority: Authority,
    start_registry: Callable[..., Registry],
    start_tokens: Callable[..., TokenServer],
) -> None:
    tokens = start_tokens({"bot": "right"}, [Rule("*", user="bot")], tls=authority)
    registry = start_registry(tokens=tokens, tls=authority)
    digest = push_image(registry, "team/app", "1")
    answer = bearer(registry, "/v2/team/app/manifests/1", auth=("bot", "right"))
    assert answer.headers["Docker-Content-Digest"] == digest
    for url in (f"{registry.url}/v2/", tokens.realm):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(url, trust_env=False)


def test_a_stopped_registry_refuses_and_comes_back_with_its_images(
    start_registry: Callable[..., Registry],
) -> None:
    registry = start_registry()
    digest = push_image(registry, "team/app", "1")
    registry.stop()
    with pytest.raises(httpx.ConnectError, match="refused"):
        get(registry, "/v2/")
    registry.start()
    assert get(registry, f"/v2/team/app/manifests/{digest}").status_code == 200


def test_a_daemon_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    daemon = Daemon("liar", ["/bin/sh", "-c", "echo no way; exit 3"], folder=tmp_path)
    daemon.start()
    with pytest.raises(DaemonError, match=r"liar ended with status 3(.|\n)*no way"):
        daemon.wait_until(lambda: False)
    daemon.stop()


def test_a_killed_run_leaves_no_daemon_behind(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import time
        from pathlib import Path
        from tests.e2e.harness.process import Daemon
        daemon = Daemon("sleeper", ["/bin/sleep", "600"], folder=Path({str(tmp_path)!r}))
        daemon.start()
        print(daemon.pid, flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        sleeper = int(killed.stdout.readline())
        os.kill(sleeper, 0)
        killed.send_signal(signal.SIGKILL)
    end = time.monotonic() + 5
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.kill(sleeper, 0)
            time.sleep(0.05)
