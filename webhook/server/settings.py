"""What the server is told: where it listens, with which identity, and its bounds."""

import re
from dataclasses import dataclass
from pathlib import Path

HIGHEST_PORT = 65535


class CannotStart(Exception):  # noqa: N818  # named for what it is
    """The server cannot start; ``str()`` is one plain line for whoever started it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP address, no brackets) and a port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address that ``HOST:PORT``, ``[IPV6]:PORT`` or ``:PORT`` (all IPv4) names.

    Raises ValueError with a plain sentence for anything else.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed) or (bracketed and ":" not in host):
        raise ValueError(f"{text!r} is not HOST:PORT (an IPv6 address goes in brackets)")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > HIGHEST_PORT:
        raise ValueError(f"{text!r} has no port between 0 and {HIGHEST_PORT}")
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104  # as a pod listens


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to serve. Times are seconds, sizes bytes.

    ``keepalive_seconds`` lies above the 90 s for which an API server keeps idle
    connections (k8s.io/apiserver, pkg/util/webhook), so that it closes first and
    never sends a review into a connection that is being closed.
    ``graceful_seconds`` lies above the 30 s that a review may take at most.
    """

    tls_cert: Path
    tls_key: Path
    client_ca: Path | None = None
    listen: Address = Address("0.0.0.0", 8443)  # noqa: S104  # as a pod listens
    ops_listen: Address = Address("0.0.0.0", 8080)  # noqa: S104  # the same
    threads: int = 64
    connections: int = 1000
    max_body: int = 8 * 1024 * 1024
    keepalive_seconds: int = 120
    handshake_seconds: float = 5.0
    read_seconds: float = 10.0
    graceful_seconds: int = 35
