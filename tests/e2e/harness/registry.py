"""The CNCF registry on loopback: anonymous, Basic or token, over HTTP or TLS."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import bcrypt
import httpx

from tests.e2e.harness.pki import LOOPBACK, Authority, client_context
from tests.e2e.harness.process import HOST, Daemon, free_port
from tests.e2e.harness.tokens import ISSUER, SERVICE, Rule, TokenServer
from tests.parts import locate

# The harness's own requests carry it, so that they are not counted as anybody's.
USER_AGENT = "pullproof-test-harness"

_ACCESS = re.compile(
    r'^\S+ - \S+ \[[^]]*] "(?P<method>[A-Z]+) (?P<path>\S+) [^"]*" (?P<status>\d+) \S+'
    r' "[^"]*" "(?P<agent>[^"]*)"$',
    re.MULTILINE,
)


class Credentials(NamedTuple):
    username: str
    password: str


@dataclass(frozen=True)
class Request:
    """One request that reached the registry, as its access log tells it."""

    method: str
    path: str
    status: int
    agent: str


class Registry:
    """A real registry; `users` makes it ask for Basic, `tokens` for Bearer, neither for nothing.

    With `tls` its certificate holds `names` besides the addresses of loopback.

    `host` is what stands in image names, `ca` what a client must trust. Images
    are pushed as an account of its own, which may do everything. Its images and
    its port survive `stop()` and `start()`.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        tokens: TokenServer | None = None,
        tls: Authority | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if users is not None and tokens is not None:
            msg = "a registry asks for Basic or for Bearer, not for both"
            raise ValueError(msg)
        self.port = free_port()
        self.host = f"{HOST}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self.ca = tls
        self.tokens = tokens
        self.pusher: Credentials | None = None
        if users is not None or tokens is not None:
            # Registries that share a token service have one pusher each.
            name = f"test-pusher-{self.port}"
            self.pusher = Credentials(name, secrets.token_hex(8))
        self._users = users
        self._names = names
        self._daemon: Daemon | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        binary = locate(["registry"])["registry"]
        self.folder = Path(tempfile.mkdtemp(prefix="pullproof-registry-"))
        try:
            config = self.folder / "config.json"
            config.write_text(json.dumps(self._configuration()), encoding="utf-8")
            self._daemon = Daemon(
                "registry",
                [binary, "serve", config],
                folder=self.folder,
                env={"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
            )
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        if self._daemon is None:
            msg = "the registry is used outside its context"
            raise RuntimeError(msg)
        self._daemon.start()
        with self.client() as client:
            self._daemon.wait_until(lambda: _answers(client), timeout=20)

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()

    def client(self) -> httpx.Client:
        """Make a client that trusts the registry and is not counted in `requests`."""
        return httpx.Client(
            base_url=self.url,
            verify=self.ssl_context(),
            headers={"User-Agent": USER_AGENT},
            timeout=10,
            trust_env=False,
        )

    def ssl_context(self) -> ssl.SSLContext:
        return client_context(self.ca) if self.ca else ssl.create_default_context()

    @property
    def requests(self) -> list[Request]:
        """What reached the registry since the start or `forget_requests()`, in order.

        A request is here before its answer ends, but for blobs too large for one
        buffer, which may come a moment later.
        """
        return self._logged()[self._seen :]

    def forget_requests(self) -> None:
        self._seen = len(self._logged())

    def set_users(self, users: Mapping[str, str]) -> None:
        """Replace the accounts of a Basic registry; it counts from its next request on."""
        accounts = dict(users)
        if self.pusher is not None:
            accounts[self.pusher.username] = self.pusher.password
        lines = [
            # The cheapest cost there is: each request of a test pays it.
            f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()}\n"
            for user, password in accounts.items()
        ]
        (self.folder / "htpasswd").write_text("".join(lines), encoding="utf-8")

    def _logged(self) -> list[Request]:
        if self._daemon is None:
            return []
        text = self._daemon.log.read_text(encoding="utf-8", errors="replace")
        return [
            Request(
                method=match["method"],
                path=match["path"],
                status=int(match["status"]),
                agent=match["agent"],
            )
            for match in _ACCESS.finditer(text)
            if match["agent"] != USER_AGENT
        ]

    def _configuration(self) -> dict[str, Any]:
        http: dict[str, Any] = {
            "addr": self.host,
            "secret": secrets.token_hex(16),
            "draintimeout": "1s",
        }
        if self.ca is not None:
            identity = self.ca.server("registry", (*LOOPBACK, *self._names))
            http["tls"] = {"certificate": str(identity.cert), "key": str(identity.key)}
        configuration: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "images")},
                "delete": {"enabled": True},
            },
            "http": http,
        }
        if self._users is not None:
            self.set_users(self._users)
            path = str(self.folder / "htpasswd")
            configuration["auth"] = {"htpasswd": {"realm": "test-registry", "path": path}}
        if self.tokens is not None:
            configuration["auth"] = {"token": self._token_configuration(self.tokens)}
        return configuration

    def _token_configuration(self, tokens: TokenServer) -> dict[str, str]:
        if self.pusher is not None:
            tokens.users[self.pusher.username] = self.pusher.password
            everything = ("pull", "push", "delete")
            tokens.rules.append(Rule("*", everything, user=self.pusher.username))
        jwks = self.folder / "jwks.json"
        jwks.write_text(json.dumps(tokens.jwks), encoding="utf-8")
        return {
            "realm": tokens.realm,
            "service": SERVICE,
            "issuer": ISSUER,
            "jwks": str(jwks),
        }


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/").status_code in (httpx.codes.OK, httpx.codes.UNAUTHORIZED)
    except httpx.TransportError:
        return False
