"""What containerd's HTTP client does on the wire, told by Go's own packages.

The answers come from `tests/parts/containerd/proxyoracle`, a Go program that asks
`golang.org/x/net/http/httpproxy`, `crypto/tls` and containerd's transport.
"""

from __future__ import annotations

import json
import subprocess
from types import TracebackType
from typing import Any, Self

from tests.parts import locate


class WireOracle:
    """A running oracle; to be used from one thread at a time."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [locate(["proxyoracle"])["proxyoracle"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The end of its input is its end.
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

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
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            msg = "the oracle has no pipes"
            raise RuntimeError(msg)
        to.write(json.dumps(question) + "\n")
        to.flush()
        line = back.readline()
        if not line:
            msg = f"the oracle died of {json.dumps(question)[:500]}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer
