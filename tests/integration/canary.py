"""A stage whose every secret holds a marker: registries, token services, bystanders, files."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.e2e.harness.pki import Authority, Identity
from tests.scripted.markers import Markers
from tests.scripted.server import Server, Talker, answer, serving
from webhook.registry.manifest import OCI_INDEX, OCI_MANIFEST

# To containerd no loopback name, so that it is trusted with no more than any registry.
NAME = "LOCALHOST"
AFAR = "registry.canary.test"
NAMESPACE = "shop"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
REPOSITORIES = (
    *("ok", "gone", "denied", "failing", "busy", "typed", "mistyped", "moved", "around"),
    *("foreign-realm", "plain-realm", "echo", "garbage", "tokenless"),
)

Respond = Callable[["Heard"], bytes]


@dataclass(frozen=True)
class Heard:
    """One request as a server of the stage sees it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")

    @property
    def repository(self) -> str:
        return self.target.removeprefix("/v2/shop/").partition("/")[0]


def heard(raw: bytes) -> Heard:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    return Heard(method, target, headers, body)


def answering(respond: Respond) -> Callable[[Talker], None]:
    def talk(one: Talker) -> None:
        while raw := one.hear():
            request = heard(raw)
            said = respond(request)
            head, _, body = said.partition(b"\r\n\r\n")
            one.say(head + b"\r\n\r\n" + (b"" if request.method == "HEAD" else body))

    return talk


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Stage:
    """What runs, and where its files are."""

    mark: Markers
    folder: Path
    authority: Authority
    client: Identity
    servers: dict[str, Server]

    def host(self, name: str, host: str = NAME) -> str:
        return f"{host}:{self.servers[name].port}"

    def image(self, repository: str, server: str = "bearer") -> str:
        return f"{self.host(server)}/shop/{repository}:1"

    @property
    def images(self) -> list[str]:
        return [
            *(self.image(repository) for repository in REPOSITORIES),
            *(self.image(repository, "basic") for repository in ("ok", "denied", "moved")),
            self.image("ok", "plain"),
            f"{AFAR}/shop/ok:1",
            f"{AFAR}/shop/moved:1",
        ]

    @property
    def view(self) -> list[str]:
        return [
            *("--manifests", str(self.folder / "cluster"), "--namespace", NAMESPACE),
            *("--policy", str(self.folder / "policy.yaml")),
            *("--hosts-dir", str(self.folder / "certs.d"), "--timeout", "10"),
        ]


# -- what the servers say -----------------------------------------------------------------------


class Answers:
    """The answers of every server of the stage; all that they write holds markers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._mark = stage.mark
        mark = stage.mark
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": CONFIG_TYPE, "digest": "sha256:" + "a" * 64, "size": 2},
                "layers": [],
                "annotations": {"note": mark("registry-annotation")},
            }
        ).encode()
        self.index = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [
                    {
                        "mediaType": OCI_MANIFEST,
                        "digest": _digest(self.manifest),
                        "size": len(self.manifest),
                        "urls": [f"https://{stage.host('foreign')}/?{mark('registry-urls')}"],
                        "platform": {"os": "linux", "architecture": "amd64"},
                    }
                ],
            }
        ).encode()

    def of(self, name: str) -> Respond:
        """Return the answers of one server."""
        named = {
            "bearer": self.bearer,
            "basic": self.basic,
            "tokens": self.tokens,
            "foreign": self.foreign,
            "mirror": self.mirror,
        }
        return named[name]

    def bearer(self, asked: Heard) -> bytes:
        mark, repository = self._mark, asked.repository
        realms = {
            "foreign-realm": f"https://{self._stage.host('foreign')}/token",
            "plain-realm": f"http://{self._stage.host('plain')}/token",
        }
        realm = realms.get(repository, f"https://{self._stage.host('tokens')}/token/{repository}")
        realm += f"?hint={mark('realm-query')}"
        challenge = (
            f'WWW-Authenticate: Bearer realm="{realm}",service="reg",x="{mark("challenge")}"'
        )
        if not asked.authorization:
            return self._error("401 Unauthorized", challenge)
        if repository == "echo":
            # Whatever it was sent comes back, wherever an answer has room for it.
            sent = asked.authorization.partition(" ")[2]
            return answer(
                f"404 {sent}",
                sent.encode(),
                f"Docker-Content-Digest: {sent}",
                f"Content-Type: application/{sent}",
                f"WWW-Authenticate: {sent}",
            )
        return self._guarded(asked)

    def basic(self, asked: Heard) -> bytes:
        expected = basic("bot", self._mark("password"))
        if asked.authorization != expected:
            return self._error(
                "401 Unauthorized", f'WWW-Authenticate: Basic realm="{self._mark("challenge")}"'
            )
        return self._guarded(asked)

    def _guarded(self, asked: Heard) -> bytes:
        mark, host = self._mark, self._stage.host("foreign")
        statuses = {
            "gone": "404 Not Found",
            "denied": "403 Forbidden",
            "failing": "500 Internal Server Error",
            "busy": "429 Too Many Requests",
        }
        match asked.repository:
            case "moved":
                there = f"Location: https://{host}/away?X-Signature={mark('redirect-query')}"
                return self._error("307 Temporary Redirect", there)
            case "around" if "X-Signature" not in asked.target:
                there = (
                    f"Location: /v2/shop/around/manifests/1?X-Signature={mark('redirect-query')}"
                )
                return self._error("307 Temporary Redirect", there)
            case "typed":
                return answer("200 OK", self.index, f"Content-Type: text/{mark('media-type')}")
            case "mistyped":
                return answer("200 OK", self.index, f"Content-Type: {mark('media-type')}\tx")
            case "garbage":
                body = b"{" + mark("registry-body").encode()
                return answer("200 OK", body, f"Content-Type: {OCI_INDEX}")
            case name if name in statuses:
                return self._error(statuses[name])
        return self._found(asked)

    def _found(self, asked: Heard) -> bytes:
        body = self.manifest if asked.target.endswith(_digest(self.manifest)) else self.index
        type_ = OCI_MANIFEST if body is self.manifest else OCI_INDEX
        return answer(
            "200 OK", body, f"Content-Type: {type_}", f"Docker-Content-Digest: {_digest(body)}"
        )

    def _error(self, status: str, *headers: str) -> bytes:
        error = {"code": "DENIED", "message": self._mark("error-body"), "tags": ["\x07"]}
        body = json.dumps({"errors": [error], "tags": [self._mark("error-body") + "\x07"]}).encode()
        return answer(status, body, "Content-Type: application/json", *headers)

    def tokens(self, asked: Heard) -> bytes:
        mark = self._mark
        form = parse_qs(asked.body.decode())
        given = form.get("password") == [mark("auth-password")]
        if not given and asked.authorization != basic("bot", mark("auth-password")):
            return self._error("401 Unauthorized")
        if "tokenless" in asked.target:
            return answer("200 OK", json.dumps({"refresh_token": mark("refresh-token")}).encode())
        token = {"access_token": mark("access-token"), "refresh_token": mark("refresh-token")}
        return answer("200 OK", json.dumps(token | {"expires_in": 300}).encode())

    def foreign(self, asked: Heard) -> bytes:
        """Ask for whatever a client may let go of, and take everything."""
        if asked.target.startswith("/token"):
            return answer("200 OK", b'{"token":"anonymous","access_token":"anonymous"}')
        return self._error("401 Unauthorized", 'WWW-Authenticate: Basic realm="give"')

    def mirror(self, asked: Heard) -> bytes:
        if asked.headers.get("x-key") != self._mark("hosts-header"):
            return self._error("403 Forbidden")
        if asked.repository == "ok" and asked.authorization != basic(
            "bot", self._mark("afar-password")
        ):
            return self._error("401 Unauthorized", 'WWW-Authenticate: Basic realm="mirror"')
        return self._guarded(asked)


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


# -- the files ----------------------------------------------------------------------------------


def secrets(stage: Stage) -> Iterator[dict[str, Any]]:
    """Yield Secrets of every kind with a marker in every field that takes a text."""
    mark = stage.mark
    auth = base64.b64encode(f"bot:{mark('auth-password')}".encode()).decode()
    rest = {
        "email": mark("email"),
        "identitytoken": mark("identitytoken"),
        "registrytoken": mark("registrytoken"),
        "serveraddress": mark("serveraddress"),
        "unknown": {"deep": [mark("unknown-field")]},
    }
    beside = {
        "HttpHeaders": {"X-Secret": mark("http-headers")},
        "credHelpers": {stage.host("bearer"): mark("cred-helpers")},
        "credsStore": mark("creds-store"),
        mark("unknown-key"): 1,
    }
    auths = {
        stage.host("bearer"): {"auth": auth, "password": mark("shadowed-password"), **rest},
        stage.host("basic"): {"username": "bot", "password": mark("password"), **rest},
        stage.host("plain"): {"username": "bot", "password": mark("plain-password"), **rest},
        AFAR: {"username": "bot", "password": mark("afar-password"), **rest},
    }
    data = {".dockerconfigjson": json.dumps({"auths": auths, **beside}), "more": mark("other-key")}
    yield _secret("regcred", "kubernetes.io/dockerconfigjson", data, mark("annotation"))
    wrong = {
        "auths": {stage.host("basic"): {"username": "bot", "password": mark("wrong-password")}}
    }
    yield _secret(
        "wrong", "kubernetes.io/dockerconfigjson", {".dockerconfigjson": json.dumps(wrong)}
    )
    yield _secret("opaque", "Opaque", {".dockerconfigjson": json.dumps({"auths": auths})})
    pair = {"username": "bot", "password": mark("basic-auth")}
    yield _secret("basic-auth", "kubernetes.io/basic-auth", pair)
    for number, entry in enumerate(
        (
            {"auth": mark("undecodable") + "!"},
            {"auth": [mark("undecodable-list")]},
            {"auth": base64.b64encode(mark("no-colon").encode()).decode()},
            {"username": {mark("undecodable-key"): 1}},
            mark("undecodable-entry"),
        )
    ):
        config = json.dumps({"auths": {stage.host("basic"): entry}})
        data = {".dockerconfigjson": config}
        yield _secret(f"undecodable-{number}", "kubernetes.io/dockerconfigjson", data)
    yield _secret(
        "malformed",
        "kubernetes.io/dockerconfigjson",
        {".dockerconfigjson": "{" + mark("malformed")},
    )
    flat = json.dumps({stage.host("basic"): {"username": "bot", "password": mark("legacy")}})
    yield _secret("legacy", "kubernetes.io/dockercfg", {".dockercfg": flat})


def _secret(name: str, type_: str, data: dict[str, str], note: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"note": note}},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def _write(stage: Stage) -> None:
    folder, mark = stage.folder, stage.mark
    (folder / "cluster").mkdir()
    (folder / "cluster" / "secrets.json").write_text("\n".join(map(json.dumps, secrets(stage))))
    spec = {
        "registries": [
            {
                "match": stage.host("bearer"),
                "ca": str(stage.authority.bundle),
                "tokenServices": [stage.host("tokens", "localhost")],
            },
            {"match": stage.host("basic"), "ca": str(stage.authority.bundle)},
            {"match": stage.host("plain")},
        ],
        # Whoever must not be told may be dialled: not the guard shall keep the secrets.
        "egress": {"allow": [stage.host(name, "localhost") for name in stage.servers]},
        "defaults": {"connect": "5s", "total": "9s"},
    }
    config = {"apiVersion": "pullproof.dev/v1alpha1", "kind": "RegistryConfig"}
    document = config | {"metadata": {"name": "canary"}, "spec": spec}
    (folder / "policy.yaml").write_text(json.dumps(document))
    hosts = folder / "certs.d" / AFAR
    hosts.mkdir(parents=True)
    mirror = f'[host."https://{stage.host("mirror", "localhost")}"'
    (hosts / "hosts.toml").write_text(
        f'{mirror}]\nca = "{stage.authority.bundle}"\n'
        f'client = [["{stage.client.cert}", "{stage.client.key}"]]\n'
        f'{mirror}.header]\nX-Key = "{mark("hosts-header")}"\n'
        f'Authorization = "Bearer {mark("hosts-authorization")}"\n'
    )


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Set the stage: every server runs, every file is written."""
    authority = Authority(folder / "pki")
    identity = authority.server("reg", ("127.0.0.1", "localhost"))
    context, asking = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    context.load_cert_chain(identity.cert, identity.key)
    asking.load_cert_chain(identity.cert, identity.key)
    asking.load_verify_locations(authority.bundle)
    asking.verify_mode = ssl.CERT_REQUIRED
    stage = Stage(Markers(), folder, authority, authority.client("node"), {})
    key = stage.client.key.read_text().splitlines()
    stage.mark.add("client-key", key[2].encode())
    answers: list[Answers] = []

    def lazily(name: str) -> Respond:
        # The answers name ports, which are known once all servers run.
        return lambda asked: answers[0].of(name)(asked)  # noqa: PLW0108 - not there yet

    with ExitStack() as stack:
        for name in ("bearer", "basic", "tokens", "foreign", "mirror"):
            talk = answering(lazily(name))
            of_one = asking if name == "mirror" else context
            stage.servers[name] = stack.enter_context(serving(talk, of_one))
        plain = answering(lazily("foreign"))
        stage.servers["plain"] = stack.enter_context(serving(plain))
        answers.append(Answers(stage))
        _write(stage)
        yield stage
