"""What a scripted registry answers: its routes first, then its gate, then its content."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.differential.content import Blob, Shelf
from tests.differential.model import Answer, BasicGate, BearerGate, Route, Server, When


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)

    @property
    def scheme(self) -> str:
        return self.headers.get("authorization", "").partition(" ")[0].lower() or "none"

    @property
    def user(self) -> str | None:
        given = self.basic
        if given is not None:
            return given[0]
        return self.form.get("username", [None])[0] if self.body else None

    @property
    def basic(self) -> tuple[str, str] | None:
        return self._decoded("authorization")

    @property
    def proxy_basic(self) -> tuple[str, str] | None:
        return self._decoded("proxy-authorization")

    def _decoded(self, header: str) -> tuple[str, str] | None:
        kind, _, encoded = self.headers.get(header, "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


@dataclass(frozen=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    answer: Answer = field(default_factory=Answer)


@dataclass
class Grant:
    user: str | None
    pull: bool


@dataclass
class Desk:
    """The state that the servers of one case share while it runs."""

    tokens: dict[str, Grant] = field(default_factory=dict)
    bearer: BearerGate | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, user: str | None, *, pull: bool) -> str:
        with self.lock:
            token = f"lab-token-{len(self.tokens)}"
            self.tokens[token] = Grant(user, pull)
            return token


def kind_of(path: str, shelf: Shelf, realm_path: str) -> tuple[str, ...]:
    """Name what a path asks for, in the words of `when.what`."""
    if path == realm_path:
        return ("token",)
    if path in ("/v2/", "/v2"):
        return ("ping",)
    if "/manifests/" in path:
        wanted = unquote(path.rpartition("/manifests/")[2])
        if ":" not in wanted:
            return "manifest", "tag"
        child = any(key.startswith("child") and d == wanted for key, d in _parts(shelf))
        return ("manifest", "digest", "child") if child else ("manifest", "digest", "root")
    if "/blobs/" in path:
        wanted = unquote(path.rpartition("/blobs/")[2])
        named = [key for key, d in _parts(shelf) if d == wanted]
        kinds = {"config" for key in named if key.startswith("config")}
        kinds |= {"layer" for key in named if key.startswith("layer")}
        return ("blob", *sorted(kinds))
    return ("other",)


def _parts(shelf: Shelf) -> list[tuple[str, str]]:
    return list(shelf.placeholders.items())


class Behaviour:
    """One server's answers. `counts` holds how often each route was due."""

    def __init__(self, server: Server, shelf: Shelf, desk: Desk, own_url: str) -> None:
        self.server = server
        self.shelf = shelf
        self.desk = desk
        self.own_url = own_url
        self.counts = [0] * len(server.routes)
        self.lock = threading.Lock()

    @property
    def realm(self) -> str:
        bearer = self.desk.bearer
        return (bearer.realm if bearer and bearer.realm else None) or f"{self.own_url}/token"

    def answer(self, request: Request) -> Response:
        routed = self.routed(request)
        return self._default(request) if routed is None else routed

    def routed(self, request: Request) -> Response | None:
        """Answer by a route, or not at all."""
        route = self._route(request)
        if route is None:
            return None
        made = route.answer
        if made.open:
            base = self._content(request)
        else:
            base = self._default(request) if made.default else Response(made.status or 200)
        return _changed(base, made, request)

    def _route(self, request: Request) -> Route | None:
        with self.lock:
            for number, route in enumerate(self.server.routes):
                if not self._fits(route.when, request):
                    continue
                self.counts[number] += 1
                if _in_turn(route.when.nth, self.counts[number]):
                    return route
        return None

    def _fits(self, when: When, request: Request) -> bool:
        realm_path = urlsplit(self.realm).path
        return (
            _one_of(when.method, request.method)
            and _one_of(when.path, request.path)
            and (
                when.what is None
                or any(
                    _listed(when.what, word)
                    for word in kind_of(request.path, self.shelf, realm_path)
                )
            )
            and (when.auth is None or self._authorized_as(when.auth, request))
            and all(
                any(fnmatchcase(value, glob) for value in request.query.get(name, [""]))
                for name, glob in when.query.items()
            )
            and all(
                any(fnmatchcase(value, glob) for value in request.form.get(name, [""]))
                for name, glob in when.form.items()
            )
            and all(
                fnmatchcase(request.headers.get(name.lower(), ""), glob)
                for name, glob in when.header.items()
            )
        )

    def _authorized_as(self, wanted: str, request: Request) -> bool:
        if wanted == "any":
            return request.scheme != "none"
        if wanted in ("none", "basic", "bearer"):
            return request.scheme == wanted
        return request.user == wanted

    def _default(self, request: Request) -> Response:
        realm_path = urlsplit(self.realm).path
        if self.desk.bearer is not None and request.path == realm_path:
            return self._token(self.desk.bearer, request)
        if not request.path.startswith("/v2"):
            return Response(404, (("Content-Type", "text/plain"),), b"404 page not found\n")
        refused = self._refusal(request)
        return refused if refused is not None else self._content(request)

    def _refusal(self, request: Request) -> Response | None:
        gate = self.server.gate
        if gate.basic is not None:
            return self._basic_refusal(gate.basic, request)
        if gate.bearer is not None:
            return self._bearer_refusal(gate.bearer, request)
        if gate.challenge is not None:
            return self._challenged([])
        return None

    def _basic_refusal(self, gate: BasicGate, request: Request) -> Response | None:
        given = request.basic
        if given is None or gate.users.get(given[0]) != given[1]:
            return self._challenged([f'Basic realm="{gate.realm}"'])
        if gate.allowed is not None and given[0] not in gate.allowed:
            return _refused(403, "DENIED")
        return None

    def _bearer_refusal(self, gate: BearerGate, request: Request) -> Response | None:
        sent = request.headers.get("authorization", "")
        grant = self.desk.tokens.get(sent.partition(" ")[2]) if request.scheme == "bearer" else None
        if (grant is not None and grant.pull) or sent.partition(" ")[2] in gate.tokens:
            return None
        repository = request.path.removeprefix("/v2/")
        for part in ("/manifests/", "/blobs/"):
            repository = repository.partition(part)[0]
        scope = f"repository:{repository}:pull" if gate.scope is None else gate.scope
        challenge = f'Bearer realm="{self.realm}",service="{gate.service}"'
        if scope:
            challenge += f',scope="{scope}"'
        if grant is not None:
            challenge += ',error="insufficient_scope"'
        elif request.scheme == "bearer":
            challenge += ',error="invalid_token"'
        return self._challenged([challenge])

    def _challenged(self, own: list[str]) -> Response:
        challenges = self.server.gate.challenge
        given = own if challenges is None else challenges
        refused = _refused(401, "UNAUTHORIZED")
        headers = tuple(("WWW-Authenticate", text) for text in given)
        return replace(refused, headers=refused.headers + headers)

    def _token(self, gate: BearerGate, request: Request) -> Response:
        wanted = gate.post if request.method == "POST" else gate.get
        if wanted != 200:
            return _refused(wanted, "UNAUTHORIZED")
        user, password = self._asking(request)
        if user is None:
            if gate.anonymous in ("refuse", "forbid"):
                return _refused(401 if gate.anonymous == "refuse" else 403, "DENIED")
            pull = gate.anonymous == "grant"
        else:
            if gate.users.get(user) != password:
                return _refused(401, "UNAUTHORIZED")
            pull = gate.allowed is None or user in gate.allowed
        token = self.desk.issue(user, pull=pull)
        fields = {"both": ("token", "access_token"), "none": ()}.get(gate.field, (gate.field,))
        if request.method == "POST" and gate.field == "both":
            fields = ("access_token",)
        return _json(200, {**dict.fromkeys(fields, token), "expires_in": 300})

    def _asking(self, request: Request) -> tuple[str | None, str | None]:
        if request.method == "POST":
            form = request.form
            if form.get("grant_type", [""])[0] == "password":
                return form.get("username", [""])[0], form.get("password", [""])[0]
            return "", form.get("refresh_token", [""])[0]
        if request.scheme == "none":
            return None, None
        return request.basic or ("", None)

    def _content(self, request: Request) -> Response:
        if request.path in ("/v2/", "/v2"):
            return _json(200, {})
        if request.method not in ("GET", "HEAD"):
            return _refused(405, "UNSUPPORTED")
        path = request.path.removeprefix("/v2/")
        if "/manifests/" in path:
            repository, _, wanted = path.rpartition("/manifests/")
            wanted = unquote(wanted)
            digest = wanted if ":" in wanted else self.shelf.tagged(repository, wanted)
            known = self.shelf.has_repository(repository)
            blob = self.shelf.manifests.get(digest or "") if known else None
            if blob is None or digest is None:
                return _refused(404, "MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN")
            return _served(blob, digest)
        if "/blobs/" in path:
            repository, _, wanted = path.rpartition("/blobs/")
            wanted = unquote(wanted)
            blob = self.shelf.blobs.get(wanted)
            if blob is None or not self.shelf.has_repository(repository):
                return _refused(404, "BLOB_UNKNOWN")
            return _served(Blob(blob.body, "application/octet-stream"), wanted)
        return Response(404, (("Content-Type", "text/plain"),), b"404 page not found\n")


def _served(blob: Blob, digest: str) -> Response:
    headers = (("Content-Type", blob.media_type), ("Docker-Content-Digest", digest))
    return Response(200, headers, blob.body)


def _refused(status: int, code: str) -> Response:
    return _json(status, {"errors": [{"code": code, "message": code.lower(), "detail": None}]})


def _json(status: int, document: Mapping[str, Any]) -> Response:
    body = json.dumps(document).encode()
    return Response(status, (("Content-Type", "application/json"),), body)


def _changed(base: Response, made: Answer, request: Request) -> Response:
    body = base.body
    if made.body is not None:
        body = made.body.encode()
    elif made.body_base64 is not None:
        body = base64.b64decode(made.body_base64)
    elif made.body_bytes is not None:
        body = b" " * made.body_bytes
    if made.append is not None:
        body += made.append.encode()
    if made.flip and body:
        body = body[:-1] + bytes([body[-1] ^ 1])
    headers = list(base.headers)
    if made.gzip:
        body = gzip.compress(body)
        headers.append(("Content-Encoding", "gzip"))
    for name, value in made.headers.items():
        headers = [pair for pair in headers if pair[0].lower() != name.lower()]
        if value is None:
            headers.append((name, "\0absent"))
            continue
        for text in [value] if isinstance(value, str) else value:
            query = urlsplit(request.target).query
            filled = text.replace("{path}", request.path).replace("{query}", query)
            headers.append((name, filled))
    return Response(made.status or base.status, tuple(headers), body, made)


def _one_of(wanted: str | list[str] | None, text: str) -> bool:
    if wanted is None:
        return True
    return any(
        fnmatchcase(text, glob) for glob in ([wanted] if isinstance(wanted, str) else wanted)
    )


def _listed(wanted: str | list[str], word: str) -> bool:
    return word in ([wanted] if isinstance(wanted, str) else wanted)


def _in_turn(nth: int | str | list[int] | None, count: int) -> bool:
    if nth is None:
        return True
    if isinstance(nth, int):
        return count == nth
    if isinstance(nth, list):
        return count in nth
    return count >= int(nth.removesuffix("+"))
