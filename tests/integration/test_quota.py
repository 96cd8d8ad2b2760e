"""A registry that counts pulls as Docker Hub does, against the real commands as processes."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scripted.server import Server, Talker, answer, serving

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "a" * 64
TOKEN = json.dumps({"token": "t0k", "access_token": "t0k", "expires_in": 300}).encode()
MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
POLICY = """apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {name: tests}
spec:
  registries: [{match: "%s", plainHTTP: true, depth: exists}]
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: %d
  template:
    spec:
      containers:
        - {name: web, image: "%s/shop/web:1"}
        - {name: log, image: "%s/shop/log:1"}
"""


class Hub:
    """Every image is there; HEAD tells what is left of 100 pulls, to whoever has a token."""

    def __init__(self, remaining: str) -> None:
        self.remaining = remaining
        self.server = Server(0)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    @property
    def asked(self) -> list[str]:
        return [" ".join(r.decode().split(" ", 2)[:2]) for r in self.server.requests]

    def talk(self, one: Talker) -> None:
        while request := one.hear():
            one.say(self.answer(request.decode().lower()))

    def answer(self, request: str) -> bytes:
        if " /token" in request.partition("\r\n")[0]:
            return answer("200 OK", TOKEN)
        if "authorization: bearer" not in request:
            realm = f'Bearer realm="http://{self.host}/token",service="hub"'
            return answer("401 Unauthorized", b"", f"WWW-Authenticate: {realm}")
        lines = [
            *("HTTP/1.1 200 OK", "Content-Length: 1234", f"Content-Type: {MEDIA_TYPE}"),
            *(f"Docker-Content-Digest: {DIGEST}", "RateLimit-Limit: 100;w=21600"),
            *(f"RateLimit-Remaining: {self.remaining}", "Docker-RateLimit-Source: 203.0.113.9"),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub("3;w=21600")
    with serving(made.talk) as server:
        made.server = server
        yield made


def run(folder: Path, hub: Hub, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "registry.yaml").write_text(POLICY % hub.host)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PULLPROOF_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "webhook", *words, "--policy", "registry.yaml"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def cluster(folder: Path, nodes: int, login_at: str) -> str:
    """Write a cluster of so many nodes; its service account may hold a login of one host."""
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{n}"}} for n in range(nodes)
    ]
    account: dict[str, Any] = {"name": "default", "namespace": "shop"}
    documents.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    if login_at:
        documents[-1]["imagePullSecrets"] = [{"name": "regcred"}]
        config = {"auths": {login_at: {"username": "bot", "password": "pw"}}}
        data = {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()}
        documents.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/dockerconfigjson",
                "metadata": {"name": "regcred", "namespace": "shop"},
                "data": data,
            }
        )
    (folder / "cluster").mkdir(exist_ok=True)
    (folder / "cluster" / "all.json").write_text("\n".join(map(json.dumps, documents)))
    return "cluster"


def check(
    folder: Path, hub: Hub, *, replicas: int = 10, nodes: int = 5, login: bool = False
) -> Any:
    (folder / "web.yaml").write_text(DEPLOYMENT % (replicas, hub.host, hub.host))
    view = cluster(folder, nodes, hub.host if login else "")
    done = run(folder, hub, "check", "web.yaml", "--manifests", view, "--output", "json")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return json.loads(done.stdout)


def test_a_rollout_that_starts_more_pulls_than_are_left_is_warned_of_once(
    tmp_path: Path, hub: Hub
) -> None:
    told = check(tmp_path, hub)
    (finding,) = told["findings"]
    assert {key: finding[key] for key in ("rule", "cause", "code", "action", "field", "line")} == {
        "rule": "rate-limited",
        "cause": "quota-too-small",
        "code": "PP-542",
        "action": "warn",
        "field": "spec.template.spec.containers[0].image",
        "line": 9,
    }
    assert finding["message"].startswith(
        f"{hub.host} has 3 pulls left (of 100 in 6 hours) for anonymous pulls from pullproof's "
        "address, and this rollout starts up to 10 (2 images on 5 nodes); "
    )
    assert told["verdict"] == "warn"
    assert [image["pull"] for image in told["images"]] == ["ok", "ok"]
    # Nothing is asked beside what finds the images, and no pull is spent.
    images = [request for request in hub.asked if "/token" not in request]
    assert sorted(images) == sorted(
        f"HEAD /v2/shop/{name}/manifests/1" for name in ("web", "log") for _ in range(2)
    )


def test_the_quota_of_a_login_is_told_as_its_user_s(tmp_path: Path, hub: Hub) -> None:
    (finding,) = check(tmp_path, hub, replicas=2, nodes=9, login=True)["findings"]
    assert finding["message"].startswith(
        f'{hub.host} has 3 pulls left (of 100 in 6 hours) for user "bot", and this rollout '
        "starts up to 6 (2 images on 3 nodes); "
    )


@pytest.mark.parametrize("remaining", ["10;w=21600", "10", "plenty", "3;w=21600, 4;w=60", "-1"])
def test_enough_is_not_told_and_nonsense_is_as_if_not_sent(
    tmp_path: Path, hub: Hub, remaining: str
) -> None:
    hub.remaining = remaining
    told = check(tmp_path, hub)
    assert (told["findings"], told["verdict"]) == ([], "allow")


def test_inspect_tells_what_is_left(tmp_path: Path, hub: Hub) -> None:
    image = f"{hub.host}/shop/web:1"
    text = run(tmp_path, hub, "inspect", image)
    assert (text.returncode, text.stderr) == (0, "")
    assert "  quota        3 of 100 pulls left in 6 h (anonymous)\n" in text.stdout
    told = json.loads(run(tmp_path, hub, "inspect", "--output", "json", image).stdout)
    assert told["quota"] == {"remaining": 3, "limit": 100, "windowSeconds": 21600}
    assert "203.0.113.9" not in text.stdout
