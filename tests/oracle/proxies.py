"""What containerd's HTTP client does on the wire, told by Go's own packages.

The answers come from `tests/parts/containerd/proxyoracle`, a Go program that asks
`golang.org/x/net/http/httpproxy`, `crypto/tls` and containerd's transport.
"""

from __future__ import annotations

from typing import Any

from tests.oracle import Program


class WireOracle(Program):
    """A running oracle; to be used from one thread at a time."""

    part = "proxyoracle"

    def proxy(self, url: str, https: str, http: str, no_proxy: str) -> dict[str, Any]:
        """Tell which proxy a request for ``url`` goes through."""
        return self._ask(op="proxy", url=url, https=https, http=http, no_proxy=no_proxy)

    def tls(self, port: int, name: str, roots: str) -> dict[str, Any]:
        """Tell what Go finds wrong with the server that listens on loopback's ``port``."""
        return self._ask(op="tls", address=f"127.0.0.1:{port}", name=name, roots=roots)

    def http(self, method: str, url: str) -> dict[str, Any]:
        """Tell how containerd's transport reads the answer to one request."""
        return self._ask(op="http", method=method, url=url)

    def _ask(self, **question: str) -> dict[str, Any]:
        return self.ask(question)
