"""A read-only registry inside the process: plain HTTP on 127.0.0.1, with a token service.

It answers as the CNCF's distribution 3.1 does (status codes, headers, error
bodies), except that each repository chooses how it is guarded: see
:class:`webhook.cli.demo.content.Access`.
"""

import contextlib
import json
import re
import socket
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from urllib.parse import parse_qs, urlsplit

from webhook.cli.demo.content import OCI_INDEX, OCI_MANIFEST, Access, Content, Repository, Store
from webhook.cli.demo.tokens import LIFETIME, Tokens, basic

PREFERRED_PORT = 5000
"""The port that the samples are written for."""

MAX_CONNECTIONS = 128
MAX_BODY = 64 * 1024
MAX_LOGGED = 10_000
IDLE_SECONDS = 30.0
_COUNT = re.compile(r"[0-9]{1,9}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = r"(?P<name>[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*)"
_ROUTES: Final = (
    ("manifests", re.compile(rf"/v2/{_NAME}/manifests/(?P<reference>[A-Za-z0-9_.:-]{{1,256}})")),
    ("blobs", re.compile(rf"/v2/{_NAME}/blobs/(?P<reference>{_DIGEST.pattern})")),
    ("tags", re.compile(rf"/v2/{_NAME}/tags/list")),
)
_MESSAGES: Final[Mapping[str, tuple[HTTPStatus, str]]] = {
    "BLOB_UNKNOWN": (HTTPStatus.NOT_FOUND, "blob unknown to registry"),
    "DENIED": (HTTPStatus.FORBIDDEN, "requested access to the resource is denied"),
    "MANIFEST_UNKNOWN": (HTTPStatus.NOT_FOUND, "manifest unknown"),
    "NAME_UNKNOWN": (HTTPStatus.NOT_FOUND, "repository name not known to registry"),
    "PAGINATION_NUMBER_INVALID": (HTTPStatus.BAD_REQUEST, "invalid number of results requested"),
    "UNAUTHORIZED": (HTTPStatus.UNAUTHORIZED, "authentication required"),
    "UNSUPPORTED": (HTTPStatus.METHOD_NOT_ALLOWED, "The operation is unsupported."),
}


@dataclass(frozen=True, slots=True)
class Logged:
    """One request as it was answered; ``user`` is who was believed to ask."""

    method: str
    path: str
    status: int
    user: str | None = None


class Registry:
    """The registry as a context manager: serves on entering, leaves no thread behind.

    ``port`` 0 takes any free port; OSError if a given one is taken.
    """

    def __init__(self, store: Store, *, port: int = 0) -> None:
        self.store = store
        self.tokens = Tokens(store)
        self._log: deque[Logged] = deque(maxlen=MAX_LOGGED)
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    @property
    def host(self) -> str:
        """The host as references name it, like ``localhost:5000``."""
        return f"localhost:{self.port}"

    @property
    def requests(self) -> tuple[Logged, ...]:
        """What was asked so far, oldest first: the last 10,000."""
        return tuple(self._log)

    def asked(self, path: str) -> tuple[Logged, ...]:
        """Return what was asked of one path (without its query)."""
        return tuple(entry for entry in self._log if urlsplit(entry.path).path == path)

    def note(self, entry: Logged) -> None:
        """Write one request down."""
        self._log.append(entry)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


def free_port(preferred: int = PREFERRED_PORT) -> int:
    """Return ``preferred`` if nobody answers there on any loopback address, else 0 (any)."""
    for address in ("127.0.0.1", "::1"):
        with contextlib.suppress(OSError):
            socket.create_connection((address, preferred), timeout=0.5).close()
            return 0
    try:
        with socket.create_server(("127.0.0.1", preferred)):
            return preferred
    except OSError:
        return 0


class _Server(ThreadingHTTPServer):
    """Knows its connections, so that closing ends the idle ones as well."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], registry: Registry) -> None:
        self.registry = registry
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                return False
            self._open.add(request)
            return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that leaves early is no news."""

    def hang_up(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = IDLE_SECONDS
    server_version = "pullproof-demo-registry"
    sys_version = ""
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_GET  # noqa: N815  # http.server's own names

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the registry keeps its own log."""

    def _answer(self) -> None:
        self._user: str | None = None
        body = self._body()
        if body is None:
            return
        try:
            url = urlsplit(self.path)
        except ValueError:
            self._send(HTTPStatus.BAD_REQUEST, b"", {})
            return
        if url.path == "/token":
            self._token(parse_qs(url.query), body)
        elif self.command == "POST":
            self._error("UNSUPPORTED")
        elif url.path in {"/v2", "/v2/"}:
            self._send(HTTPStatus.OK, b"{}", {"Content-Type": "application/json"})
        else:
            self._route(url.path, parse_qs(url.query))

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not _COUNT.fullmatch(length) or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(HTTPStatus(413), b"", {})
            return None
        return self.rfile.read(int(length))

    def _route(self, path: str, query: Mapping[str, list[str]]) -> None:
        for kind, pattern in _ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            name = match["name"]
            repository = self.server.registry.store.repositories.get(name)
            if repository is not None and not self._authorised(name, repository):
                return
            if kind == "tags":
                self._tags(name, repository, query)
            elif kind == "blobs":
                self._blob(repository, match["reference"])
            else:
                self._manifest(name, repository, match["reference"])
            return
        self._send(HTTPStatus.NOT_FOUND, b"404 page not found\n", {"Content-Type": "text/plain"})

    def _authorised(self, name: str, repository: Repository) -> bool:
        if repository.access is Access.OPEN:
            return True
        if repository.access is Access.BASIC:
            return self._authorised_by_password(repository)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            self._challenge(name)
            return False
        allowed = self.server.registry.tokens.allows(token, name)
        self._user = self.server.registry.tokens.user(token)
        if not allowed:
            self._challenge(name, "invalid_token" if allowed is None else "insufficient_scope")
        return bool(allowed)

    def _authorised_by_password(self, repository: Repository) -> bool:
        login = basic(self.headers.get("Authorization", ""))
        if login is None or not self.server.registry.tokens.password_holds(*login):
            challenge = 'Basic realm="pullproof demo registry"'
            self._error("UNAUTHORIZED", headers={"WWW-Authenticate": challenge})
            return False
        self._user = login[0]
        if self._user not in repository.readers:
            self._error("DENIED")
            return False
        return True

    def _challenge(self, name: str, error: str | None = None) -> None:
        host = self.server.registry.host
        challenge = f'Bearer realm="http://{host}/token",service="{host}"'
        challenge += f',scope="repository:{name}:pull"'
        if error is not None:
            challenge += f',error="{error}"'
        detail = [{"Type": "repository", "Class": "", "Name": name, "Action": "pull"}]
        self._error("UNAUTHORIZED", detail, {"WWW-Authenticate": challenge})

    def _token(self, query: Mapping[str, list[str]], body: bytes) -> None:
        tokens = self.server.registry.tokens
        form = parse_qs(body.decode("utf-8", "replace")) if self.command == "POST" else query
        login: tuple[str, str] | None
        if self.command == "POST":
            if _first(form, "grant_type") != "password":
                self._oauth_error("unsupported_grant_type")
                return
            login = (_first(form, "username"), _first(form, "password"))
        else:
            header = self.headers.get("Authorization")
            login = None if header is None else basic(header) or ("", "")
        if login is not None and not tokens.password_holds(*login):
            self._error("UNAUTHORIZED")
            return
        self._user = login[0] if login is not None else None
        token = tokens.grant(self._user, form.get("scope", []))
        if token is None:
            self._error("UNAUTHORIZED" if login is None else "DENIED")
            return
        answer = {"access_token": token, "token": token, "expires_in": LIFETIME}
        self._json(HTTPStatus.OK, answer, {"Cache-Control": "no-store"})

    def _oauth_error(self, name: str) -> None:
        self._json(HTTPStatus.BAD_REQUEST, {"error": name})

    def _manifest(self, name: str, repository: Repository | None, reference: str) -> None:
        digest: str | None = reference
        detail: dict[str, str] = {"Name": name, "Revision": reference}
        if _DIGEST.fullmatch(reference) is None:
            digest = None if repository is None else repository.tags.get(reference)
            detail = {"Tag": reference}
        manifest = None
        if repository is not None and digest is not None:
            manifest = repository.manifests.get(digest)
        if manifest is None or not self._accepts(manifest):
            self._error("MANIFEST_UNKNOWN", detail)
        else:
            self._content(manifest)

    def _accepts(self, manifest: Content) -> bool:
        if manifest.media_type not in {OCI_INDEX, OCI_MANIFEST}:
            return True
        lines = self.headers.get_all("Accept") or []
        accepted = {part.partition(";")[0].strip() for line in lines for part in line.split(",")}
        return manifest.media_type in accepted

    def _blob(self, repository: Repository | None, digest: str) -> None:
        blob = None if repository is None else repository.blobs.get(digest)
        if blob is None:
            self._error("BLOB_UNKNOWN", digest)
        else:
            self._content(Content("application/octet-stream", blob.data))

    def _tags(
        self, name: str, repository: Repository | None, query: Mapping[str, list[str]]
    ) -> None:
        if repository is None:
            self._error("NAME_UNKNOWN", {"name": name})
            return
        after = _first(query, "last")
        tags = [tag for tag in sorted(repository.tags) if tag > after]
        headers: dict[str, str] = {}
        if "n" in query:
            count = _first(query, "n")
            if not _COUNT.fullmatch(count):
                self._error("PAGINATION_NUMBER_INVALID")
                return
            page = tags[: int(count)]
            if page and len(page) < len(tags):
                link = f"/v2/{name}/tags/list?last={page[-1]}&n={len(page)}"
                headers["Link"] = f'<{link}>; rel="next"'
            tags = page
        self._json(HTTPStatus.OK, {"name": name, "tags": tags}, headers)

    def _content(self, content: Content) -> None:
        headers = {
            "Content-Type": content.media_type,
            "Docker-Content-Digest": content.digest,
            "Etag": f'"{content.digest}"',
        }
        self._send(HTTPStatus.OK, content.data, headers)

    def _error(
        self, code: str, detail: object = None, headers: Mapping[str, str] | None = None
    ) -> None:
        status, message = _MESSAGES[code]
        entry: dict[str, object] = {"code": code, "message": message}
        if detail is not None:
            entry["detail"] = detail
        self._json(status, {"errors": [entry]}, headers)

    def _json(
        self, status: HTTPStatus, value: object, headers: Mapping[str, str] | None = None
    ) -> None:
        typed = {"Content-Type": "application/json", **(headers or {})}
        self._send(status, json.dumps(value).encode() + b"\n", typed)

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.server.registry.note(Logged(self.command, self.path, status.value, self._user))
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _first(values: Mapping[str, list[str]], key: str) -> str:
    return values.get(key, [""])[0]
