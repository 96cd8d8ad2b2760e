"""The real registries of the lab: the CNCF distribution with no, Basic or token authentication."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from tests.differential.identities import Identities
from tests.differential.model import Case
from tests.differential.names import Answer
from tests.differential.plot import Plot
from tests.e2e.harness.images import push_image
from tests.e2e.harness.pki import LOOPBACK, Authority, Identity
from tests.e2e.harness.registry import Registry
from tests.e2e.harness.tokens import Rule, TokenServer

USERS = {"user": "password", "other": "secret"}
"""`other` may pull nothing but what is public."""


class _Named(Authority):
    """The lab's authority, whose serving certificates name a registry of the lab too."""

    def __init__(self, system: Authority, name: str) -> None:
        self.__dict__.update(system.__dict__)
        self._also = name

    def server(
        self, name: str, sans: Sequence[str] = LOOPBACK, *, lasts: dt.timedelta | None = None
    ) -> Identity:
        return super().server(name, (*dict.fromkeys((*sans, self._also)),), lasts=lasts)


class Distributions:
    """One registry for each kind that a case wants; `hosts` says where each is."""

    def __init__(self, cases: Iterable[Case], identities: Identities) -> None:
        self._stack = ExitStack()
        self._registries: dict[str, Registry] = {}
        self._pushed: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self.hosts: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.names: dict[str, Answer] = {}
        wanted = {
            (server.distribution, server.transport)
            for case in cases
            for server in case.servers
            if server.distribution is not None
        }
        for auth, transport in sorted(wanted):
            self._start(auth, transport, identities)

    def _start(self, auth: str, transport: str, identities: Identities) -> None:
        kind = f"{auth}-{transport}"
        # Without TLS, only loopback's own name is taken for a plain one.
        name = f"dist-{auth}.lab" if transport == "https" else "127.0.0.1"
        authority = _Named(identities.system, name) if transport == "https" else None
        tokens = None
        if auth == "token":
            rules = [Rule("*/public/*"), Rule("*", user="user")]
            host = name if transport == "https" else "127.0.0.1"
            tokens = self._stack.enter_context(TokenServer(USERS, rules, host=host, tls=authority))
        registry = Registry(
            users=USERS if auth == "basic" else None, tokens=tokens, tls=authority, names=[name]
        )
        self._registries[kind] = self._stack.enter_context(registry)
        self.hosts[kind] = f"{name}:{registry.port}"
        if tokens is not None:
            self.tokens[kind] = f"{name}:{tokens.port}"
        if transport == "https":
            self.names[name] = ["127.0.0.1"]

    def push(self, plot: Plot) -> None:
        """Push the case's image, once: `<id>/app:1`, and the same at `<id>/public/app:1`."""
        for site in plot.sites:
            server = site.server
            if server.distribution is None:
                continue
            kind = f"{server.distribution}-{server.transport}"
            # Under the lock: the case's other sides must not begin before the image is there.
            with self._lock:
                if (kind, plot.case.id) in self._pushed:
                    continue
                for repository in (f"{plot.case.id}/app", f"{plot.case.id}/public/app"):
                    push_image(self._registries[kind], repository, "1", content=plot.case.id)
                self._pushed.add((kind, plot.case.id))

    def close(self) -> None:
        self._stack.close()
