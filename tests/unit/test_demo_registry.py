"""The demo's registry answers as the distribution specification and the CNCF registry do."""

import base64
import hashlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from webhook.cli.demo.content import OCI_INDEX, OCI_MANIFEST, demo_store
from webhook.cli.demo.registry import Registry, free_port

ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, application/vnd.docker.distribution.manifest.v2+json, */*"
SHOP = "Basic " + base64.b64encode(b"shop:open-sesame").decode()
WORKER = "Basic " + base64.b64encode(b"worker:heave-ho").decode()
WRONG = "Basic " + base64.b64encode(b"shop:open-barley").decode()


@dataclass
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["errors"][0]["code"])


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry(demo_store()) as running:
        yield running


def ask(
    registry: Registry, path: str, *, method: str = "GET", body: str | None = None, **headers: str
) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=5)
    try:
        sent = {"Accept": ACCEPT, **headers}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


def token(registry: Registry, repository: str, **headers: str) -> Got:
    query = urlencode({"service": registry.host, "scope": f"repository:{repository}:pull"})
    return ask(registry, f"/token?{query}", **headers)


def bearer(got: Got) -> str:
    return "Bearer " + str(json.loads(got.body)["token"])


def test_a_head_of_a_tag_carries_type_length_and_digest_and_no_body(registry: Registry) -> None:
    got = ask(registry, "/v2/shop/web/manifests/1.27", method="HEAD")
    assert (got.status, got.body) == (200, b"")
    assert got.headers["Content-Type"] == OCI_INDEX
    full = ask(registry, "/v2/shop/web/manifests/1.27")
    assert got.headers["Content-Length"] == str(len(full.body))
    assert got.headers["Docker-Content-Digest"] == "sha256:" + hashlib.sha256(full.body).hexdigest()


def test_all_that_an_index_names_can_be_had_by_digest(registry: Registry) -> None:
    index = json.loads(ask(registry, "/v2/shop/web/manifests/1.28").body)
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
    for entry in index["manifests"]:
        manifest = ask(registry, f"/v2/shop/web/manifests/{entry['digest']}")
        assert len(manifest.body) == entry["size"]
        document = json.loads(manifest.body)
        for part in (document["config"], *document["layers"]):
            blob = ask(registry, f"/v2/shop/web/blobs/{part['digest']}")
            assert "sha256:" + hashlib.sha256(blob.body).hexdigest() == part["digest"]


def test_the_same_bytes_come_every_time() -> None:
    one, two = demo_store(), demo_store()
    for name, repository in one.repositories.items():
        assert repository.tags == two.repositories[name].tags


def test_a_deleted_tag_is_unknown_while_its_repository_is_not(registry: Registry) -> None:
    got = ask(registry, "/v2/shop/web/manifests/1.26")
    assert (got.status, got.code) == (404, "MANIFEST_UNKNOWN")
    assert json.loads(got.body)["errors"][0]["detail"] == {"Tag": "1.26"}
    tags = json.loads(ask(registry, "/v2/shop/web/tags/list").body)
    assert tags == {"name": "shop/web", "tags": ["1.27", "1.28", "latest"]}


def test_an_unknown_repository_is_told_by_its_list_of_tags(registry: Registry) -> None:
    assert ask(registry, "/v2/shop/wbe/manifests/1.27").code == "MANIFEST_UNKNOWN"
    got = ask(registry, "/v2/shop/wbe/tags/list")
    assert (got.status, got.code) == (404, "NAME_UNKNOWN")


def test_tags_come_in_pages_where_asked(registry: Registry) -> None:
    got = ask(registry, "/v2/shop/web/tags/list?n=2")
    assert json.loads(got.body)["tags"] == ["1.27", "1.28"]
    assert got.headers["Link"] == '</v2/shop/web/tags/list?last=1.28&n=2>; rel="next"'
    rest = ask(registry, "/v2/shop/web/tags/list?last=1.28&n=2")
    assert json.loads(rest.body)["tags"] == ["latest"]
    assert "Link" not in rest.headers
    assert ask(registry, "/v2/shop/web/tags/list?n=-1").code == "PAGINATION_NUMBER_INVALID"


def test_an_oci_image_is_unknown_to_a_client_that_does_not_accept_it(registry: Registry) -> None:
    got = ask(registry, "/v2/shop/web/manifests/1.27", Accept="*/*")
    assert (got.status, got.code) == (404, "MANIFEST_UNKNOWN")


def test_a_private_repository_challenges_with_realm_service_and_scope(registry: Registry) -> None:
    got = ask(registry, "/v2/shop/api/manifests/2.1")
    assert (got.status, got.code) == (401, "UNAUTHORIZED")
    assert got.headers["WWW-Authenticate"] == (
        f'Bearer realm="http://{registry.host}/token",service="{registry.host}"'
        ',scope="repository:shop/api:pull"'
    )


def test_a_reader_gets_a_token_with_which_the_image_can_be_had(registry: Registry) -> None:
    granted = token(registry, "shop/api", Authorization=SHOP)
    assert granted.status == 200
    assert json.loads(granted.body)["expires_in"] == 300
    got = ask(registry, "/v2/shop/api/manifests/2.1", Authorization=bearer(granted))
    assert got.status == 200


def test_the_password_grant_gives_the_same_token(registry: Registry) -> None:
    form = {"grant_type": "password", "username": "shop", "password": "open-sesame"}
    body = urlencode({**form, "scope": "repository:shop/api:pull", "client_id": "containerd"})
    granted = ask(registry, "/token", method="POST", body=body)
    token_for_all = "Bearer " + json.loads(granted.body)["access_token"]
    got = ask(registry, "/v2/shop/api/manifests/2.1", Authorization=token_for_all)
    assert got.status == 200


def test_another_grant_is_refused_in_the_words_of_oauth(registry: Registry) -> None:
    got = ask(registry, "/token", method="POST", body=urlencode({"grant_type": "implicit"}))
    assert (got.status, json.loads(got.body)) == (400, {"error": "unsupported_grant_type"})


@pytest.mark.parametrize("header", [WRONG, "Basic !!!", "Basic c2hvcA==", "Digest x"])
def test_a_wrong_password_gets_no_token(registry: Registry, header: str) -> None:
    got = token(registry, "shop/api", Authorization=header)
    assert (got.status, got.code) == (401, "UNAUTHORIZED")


def test_nobody_gets_a_token_for_a_private_repository(registry: Registry) -> None:
    assert (token(registry, "shop/api").status, token(registry, "shop/api").code) == (
        401,
        "UNAUTHORIZED",
    )


def test_one_who_may_not_read_is_denied_the_token(registry: Registry) -> None:
    got = token(registry, "shop/api", Authorization=WORKER)
    assert (got.status, got.code) == (403, "DENIED")


def test_a_hidden_repository_gives_a_token_that_does_not_suffice(registry: Registry) -> None:
    granted = token(registry, "team/vault")
    assert granted.status == 200
    got = ask(registry, "/v2/team/vault/manifests/3.0", Authorization=bearer(granted))
    assert got.status == 401
    assert got.headers["WWW-Authenticate"].endswith(',error="insufficient_scope"')


def test_anybody_gets_a_token_for_a_public_repository(registry: Registry) -> None:
    assert ask(registry, "/v2/hub/redis/manifests/7.4").status == 401
    granted = token(registry, "hub/redis")
    got = ask(registry, "/v2/hub/redis/manifests/7.4", Authorization=bearer(granted))
    assert got.status == 200


@pytest.mark.parametrize("junk", ["x", "x.y", "é.é", "eyJ9.00", ""])
def test_a_made_up_token_is_invalid(registry: Registry, junk: str) -> None:
    authorization = f"Bearer {junk}".encode().decode("latin-1")
    got = ask(registry, "/v2/hub/redis/manifests/7.4", Authorization=authorization)
    assert got.status == 401
    assert got.headers["WWW-Authenticate"].endswith(',error="invalid_token"')


def test_basic_asks_for_a_password_and_takes_the_right_one(registry: Registry) -> None:
    path = "/v2/team/worker/manifests/1.4"
    assert ask(registry, path).headers["WWW-Authenticate"].startswith("Basic realm=")
    assert ask(registry, path, Authorization=WRONG).status == 401
    assert ask(registry, path, Authorization=SHOP).code == "DENIED"
    assert ask(registry, path, Authorization=WORKER).status == 200


def test_the_log_tells_who_asked_for_what(registry: Registry) -> None:
    ask(registry, "/v2/team/worker/manifests/1.4", method="HEAD")
    ask(registry, "/v2/team/worker/manifests/1.4", method="HEAD", Authorization=WORKER)
    logged = registry.asked("/v2/team/worker/manifests/1.4")
    assert [(entry.method, entry.status, entry.user) for entry in logged] == [
        ("HEAD", 401, None),
        ("HEAD", 200, "worker"),
    ]
    assert "heave-ho" not in repr(registry.requests) + repr(registry.store)


@pytest.mark.parametrize(
    "path",
    ["/", "/v2/x", "/v2/shop/web/manifests/", "/v2/Shop/web/manifests/1", "/v2/../etc/passwd"],
)
def test_what_is_no_route_is_not_found(registry: Registry, path: str) -> None:
    assert ask(registry, path).status == 404


@pytest.mark.parametrize(
    ("junk", "status"),
    [
        (b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"POST /token HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
        (b"POST /token HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"413"),
        (b"DELETE /v2/ HTTP/1.1\r\n\r\n", b"501"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
    ],
)
def test_junk_is_answered_and_does_no_harm(registry: Registry, junk: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", registry.port), timeout=5) as connection:
        connection.sendall(junk)
        assert status in connection.recv(4096)
    assert ask(registry, "/v2/").status == 200


def test_one_connection_serves_many_requests(registry: Registry) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=5)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/v2/")
        assert connection.getresponse().read() == b"{}"
    assert connection.sock is first
    connection.close()


def test_leaving_ends_every_thread_though_a_client_stays() -> None:
    before = threading.active_count()
    with Registry(demo_store()) as registry:
        idle = socket.create_connection(("127.0.0.1", registry.port), timeout=5)
        idle.sendall(b"GET /v2/ HTTP/1.1\r\n\r\n")
        assert idle.recv(4096)
        assert threading.active_count() > before
    assert threading.active_count() == before
    idle.close()


def test_a_port_that_is_taken_is_not_offered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert free_port(taken.getsockname()[1]) == 0


def test_a_free_port_is_offered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: Any = taken.getsockname()[1]
    assert free_port(port) == port
