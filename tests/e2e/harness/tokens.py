"""A token service as registries have them: Bearer realm, by GET, POST or anonymously."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.harness.pki import Authority
from tests.e2e.harness.process import HOST, free_port

SERVICE = "test-registry"
ISSUER = "test-token-server"
_KEY_ID = "test-key"


@dataclass(frozen=True)
class Rule:
    """Who may do what with which repositories; no user means everybody, nameless ones too."""

    repository: str
    actions: tuple[str, ...] = ("pull",)
    user: str | None = None

    def grants(self, user: str | None, repository: str) -> tuple[str, ...]:
        mine = self.user is None or self.user == user
        return self.actions if mine and fnmatchcase(repository, self.repository) else ()


@dataclass(frozen=True)
class TokenRequest:
    method: str
    user: str | None
    scopes: tuple[str, ...]
    status: int


class TokenServer:
    """Grants what the rules allow; what they do not is left out of the token, as registries do.

    `host` is the name in the realm: "localhost" makes it another host than the
    registry's 127.0.0.1. `oauth2=False` refuses POST with 405, `anonymous=False`
    refuses those who name nobody with 401, and `fail_with` answers everything
    with that status.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        rules: Sequence[Rule],
        *,
        host: str = HOST,
        tls: Authority | None = None,
        oauth2: bool = True,
        anonymous: bool = True,
        expires_in: int = 300,
    ) -> None:
        self.users = dict(users)
        self.rules = list(rules)
        self.oauth2 = oauth2
        self.anonymous = anonymous
        self.expires_in = expires_in
        self.fail_with: int | None = None
        self.requests: list[TokenRequest] = []
        self.port = free_port()
        self.realm = f"{'https' if tls else 'http'}://{host}:{self.port}/token"
        self._refresh_tokens: dict[str, str] = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            identity = tls.server("token-server")
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(identity.cert, identity.key)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._server = _Server(self)
        if self._tls is not None:
            # The handshake belongs to the connection's own thread, not to the one that accepts.
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        server.server_close()
        self._thread.join()

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key, for the registry's configuration."""
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": _KEY_ID, "use": "sig", "alg": "ES256"}]}

    def token(self, user: str | None, scopes: Sequence[str]) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": user or "",
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 10,
            "exp": now + self.expires_in,
            "jti": secrets.token_hex(8),
            "access": [grant for scope in scopes if (grant := self._grant(user, scope))],
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": _KEY_ID})

    def _grant(self, user: str | None, scope: str) -> dict[str, Any] | None:
        kind, _, rest = scope.partition(":")
        # A name may hold a port's colon; the actions never do.
        name, _, wanted = rest.rpartition(":")
        if kind != "repository":
            return None
        allowed = {action for rule in self.rules for action in rule.grants(user, name)}
        actions = [action for action in wanted.split(",") if action in allowed]
        return {"type": kind, "name": name, "actions": actions} if actions else None

    def answer_get(
        self, authorization: str | None, query: Mapping[str, list[str]]
    ) -> tuple[int, dict[str, Any]]:
        user = None
        if authorization is not None:
            user = self._basic_user(authorization)
            if user is None:
                return self._record("GET", None, (), HTTPStatus.UNAUTHORIZED)
        elif not self.anonymous:
            return self._record("GET", None, (), HTTPStatus.UNAUTHORIZED)
        scopes = tuple(word for scope in query.get("scope", []) for word in scope.split())
        return self._record("GET", user, scopes, HTTPStatus.OK)

    def answer_post(self, form: Mapping[str, list[str]]) -> tuple[int, dict[str, Any]]:
        def field(name: str) -> str:
            return form.get(name, [""])[0]

        scopes = tuple(field("scope").split())
        if not self.oauth2:
            return self._record("POST", None, scopes, HTTPStatus.METHOD_NOT_ALLOWED)
        if field("grant_type") == "password":
            user = field("username")
            if not user or self.users.get(user) != field("password"):
                return self._record("POST", None, scopes, HTTPStatus.UNAUTHORIZED)
        elif field("grant_type") == "refresh_token":
            known = self._refresh_tokens.get(field("refresh_token"))
            if known is None:
                return self._record("POST", None, scopes, HTTPStatus.UNAUTHORIZED)
            user = known
        else:
            return self._record("POST", None, scopes, HTTPStatus.BAD_REQUEST)
        status, body = self._record("POST", user, scopes, HTTPStatus.OK)
        # OAuth2 has one name for the token, where GET has two.
        body.pop("token", None)
        if status == HTTPStatus.OK and field("access_type") == "offline":
            refresh = secrets.token_hex(16)
            self._refresh_tokens[refresh] = user
            body["refresh_token"] = refresh
        return status, body

    def _basic_user(self, authorization: str) -> str | None:
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user if user in self.users and self.users[user] == password else None

    def _record(
        self, method: str, user: str | None, scopes: tuple[str, ...], status: HTTPStatus
    ) -> tuple[int, dict[str, Any]]:
        code = self.fail_with or int(status)
        self.requests.append(TokenRequest(method, user, scopes, code))
        if code != HTTPStatus.OK:
            return code, {"errors": [{"code": "UNAUTHORIZED", "message": "no token for you"}]}
        token = self.token(user, scopes)
        return code, {"token": token, "access_token": token, "expires_in": self.expires_in}


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    allow_reuse_address = True

    def __init__(self, tokens: TokenServer) -> None:
        self.tokens = tokens
        super().__init__((HOST, tokens.port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet of clients that refuse our certificate or leave early: tests make them."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        self._answer(self.server.tokens.answer_get(self.headers["Authorization"], query))

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"] or 0)
        form = parse_qs(self.rfile.read(length).decode(), keep_blank_values=True)
        self._answer(self.server.tokens.answer_post(form))

    def _answer(self, answer: tuple[int, dict[str, Any]]) -> None:
        status, body = answer
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        # An idle connection would hold up the server's stop.
        self.send_header("Connection", "close")
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", f'Basic realm="{ISSUER}"')
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Leave the tests' output alone; what was asked is in `requests`."""
