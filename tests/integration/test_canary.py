"""Every field of every secret holds a marker; nothing that is said, or sent elsewhere, holds one.

Shown by contract, and so no markers: user names, hosts, the names of objects.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.integration.canary import AFAR, NAMESPACE, Stage, basic, heard, secrets, staged
from tests.integration.test_serve import serving as serve
from tests.scripted.markers import Markers
from tests.scripted.server import answer, serve_forever
from tests.scripted.server import serving as scripted

ROOT = Path(__file__).parents[2]
NAMED = ["regcred", "wrong", "opaque", "basic-auth", "legacy", "absent"]
BROKEN = ["malformed", *(f"undecodable-{number}" for number in range(5))]
# What each server may be sent: who else gets one of these got what was not his.
RIGHTFUL = {
    "bearer": {"access-token", "redirect-query"},
    "tokens": {"auth-password", "realm-query"},
    "basic": {"password", "wrong-password", "legacy", "redirect-query"},
    "mirror": {"afar-password", "hosts-header", "hosts-authorization", "redirect-query"},
    "foreign": {"redirect-query", "realm-query"},
    "plain": set(),
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("canary")) as running:
        yield running


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
    kept = {k: v for k, v in kept.items() if not k.startswith("PULLPROOF_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "webhook", *words],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pods(stage: Stage) -> list[dict[str, Any]]:
    """Return pods that name every secret, the broken ones apart: those break all others."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "namespace": NAMESPACE},
            "spec": {
                "imagePullSecrets": [{"name": name} for name in names],
                "containers": [
                    {"name": f"c{at}", "image": image} for at, image in enumerate(stage.images)
                ],
            },
        }
        for number, names in enumerate((NAMED, ["wrong"], *([one] for one in BROKEN)))
    ]


def review_of(pod: dict[str, Any]) -> bytes:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": NAMESPACE,
        "name": pod["metadata"]["name"],
        "object": pod,
    }
    document = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(document).encode()


def page(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


# -- the search itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("lead", ["", "x", "xy", "xyz"])
def test_the_search_finds_a_marker_in_each_way_of_writing_it(lead: str) -> None:
    mark = Markers()
    planted = mark("planted")
    mark("another")
    around = f"{lead}{planted}{lead}".encode()
    for text in (
        around,
        base64.b64encode(around),
        base64.urlsafe_b64encode(around),
        base64.b64encode(around + b"?>~").rstrip(b"="),
        around.hex().encode(),
        around.hex().upper().encode(),
        "".join(f"%{byte:02X}" for byte in around).encode(),
        "".join(f"\\u{byte:04X}" for byte in around).encode(),
        json.dumps({"a": [around.decode()]})
        .replace(planted[0], f"\\u{ord(planted[0]):04x}")
        .encode(),
        around[::-1],
        basic("bot", planted).encode(),
    ):
        found = mark.found(text)
        assert found and all(one.startswith("planted ") for one in found), text
    assert mark.found(b"nothing of the kind") == []


# -- processes ----------------------------------------------------------------------------------


def test_neither_check_nor_inspect_says_a_secret(stage: Stage, tmp_path: Path) -> None:
    manifests = tmp_path / "pods"
    manifests.mkdir()
    for number, pod in enumerate(pods(stage)):
        (manifests / f"{number}.json").write_text(json.dumps(pod))
    # Secrets beside the pods, as people keep them.
    (manifests / "secrets.json").write_text("\n".join(map(json.dumps, secrets(stage))))
    configs = []
    for secret in secrets(stage):
        for key, value in secret["data"].items():
            if key.startswith(".docker"):
                name = secret["metadata"]["name"] + (".dockercfg" if "cfg" in key else ".json")
                (tmp_path / name).write_bytes(base64.b64decode(value))
                configs.append(str(tmp_path / name))
    for output in ("text", "json"):
        said = [run("check", str(manifests), *stage.view, "--output", output)]
        common = ("inspect", *stage.images, "--output", output, *stage.view)
        for depth in ("exists", "platform", "whole"):
            named = [word for name in NAMED for word in ("--pod-secret", name)]
            said.append(run(*common, "--depth", depth, *named))
        said += [run(*common, "--pod-secret", name) for name in ("wrong", "undecodable-0")]
        few = (stage.image("ok"), stage.image("ok", "basic"), f"{AFAR}/shop/ok:1")
        alone = ("inspect", *few, "--output", output, *stage.view)
        said += [run(*alone, "--docker-config", config) for config in configs]
        for done in said:
            assert done.returncode in (0, 1, 2, 3), done.args
            assert "Traceback" not in done.stderr
            assert stage.mark.found(done.stdout) == [], done.args
            assert stage.mark.found(done.stderr) == [], done.args
        told = "\n".join(done.stdout for done in said)
        for words in ("ok", "manifest-unknown", "credentials-rejected", "credential-undecodable"):
            assert words in told


def test_the_server_says_no_secret(stage: Stage, tmp_path: Path) -> None:
    with serve(tmp_path, *stage.view) as server:
        answers = [server.post(review_of(pod)) for pod in pods(stage)]
        answers += [server.post(review_of(pod)[:-2]) for pod in pods(stage)[:1]]
        pages = [page(server._ports[1], path) for path in ("/metrics", "/readyz", "/healthz")]
    said = "".join(server.said)
    assert [status for status, _ in answers] == [200] * len(pods(stage)) + [400]
    for _, body in answers:
        assert stage.mark.found(body) == []
    for text in (*pages, said):
        assert stage.mark.found(text) == []
    assert "pullproof_" in pages[0]
    assert "credential-undecodable" in "".join(body.decode() for _, body in answers)


def test_a_proxys_password_goes_to_the_proxy_alone(stage: Stage) -> None:
    mark = stage.mark
    refusal = answer("502 Bad Gateway", mark("proxy-error").encode())
    with scripted(serve_forever(refusal)) as proxy:
        address = f"http://user:{mark('proxy-password')}@127.0.0.1:{proxy.port}"
        image = "nowhere.canary.test/shop/ok:1"
        asked = [
            run("inspect", image, "--output", output, HTTPS_PROXY=address, HTTP_PROXY=address)
            for output in ("text", "json")
        ]
        got = b"".join(proxy.requests)
    for done in asked:
        assert mark.found(done.stdout + done.stderr) == []
    assert [one for one in mark.found(got) if "proxy-password" in one]
    assert not mark.found(got, set(mark.names) - {"proxy-password"})


# -- who was sent what ----------------------------------------------------------------------------


def test_no_server_was_sent_what_is_not_his(stage: Stage) -> None:
    """All that the tests above made the program send; a server's own words may come back."""
    run("inspect", *stage.images, "--pod-secret", "regcred", *stage.view, "--depth", "whole")
    for name, server in stage.servers.items():
        for raw in server.requests:
            found = {one.partition(" ")[0] for one in stage.mark.found(raw)}
            assert found <= RIGHTFUL[name], (name, raw.split(b"\r\n")[0])
            if name in ("foreign", "plain"):
                assert not heard(raw).authorization and not heard(raw).body


def test_whoever_may_have_a_secret_was_sent_it(stage: Stage) -> None:
    """Else the tests above would prove nothing."""
    run("inspect", *stage.images, "--pod-secret", "regcred", "--pod-secret", "wrong", *stage.view)
    mark = stage.mark
    requests = {
        name: [heard(raw) for raw in server.requests] for name, server in stage.servers.items()
    }

    def was_sent(name: str, authorization: str) -> bool:
        return any(one.authorization == authorization for one in requests[name])

    forms = [parse_qs(one.body.decode()) for one in requests["tokens"]]
    assert any(form.get("password") == [mark("auth-password")] for form in forms)
    assert was_sent("bearer", f"Bearer {mark('access-token')}")
    assert was_sent("basic", basic("bot", mark("password")))
    assert was_sent("basic", basic("bot", mark("wrong-password")))
    assert was_sent("mirror", f"Bearer {mark('hosts-authorization')}")
    assert any(one.headers.get("x-key") == mark("hosts-header") for one in requests["mirror"])
    assert was_sent("mirror", basic("bot", mark("afar-password")))
    assert any(mark("redirect-query") in one.target for one in requests["foreign"])
    echoed = [one for one in requests["bearer"] if one.repository == "echo"]
    assert any(one.authorization for one in echoed), "what comes back was seen by nobody"
    assert AFAR not in str(requests["foreign"])
