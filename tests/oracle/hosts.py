"""Which hosts containerd's own code finds in a certs.d: the measure of our own reading.

The answers come from `tests/parts/containerd/hostsoracle`, a Go program that calls
`ConfigureHosts` and is asked over its standard input.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from tests.oracle import Program
from webhook.registry.hosts import HostsFault, RegistryHost, registry_hosts

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Host:
    """What can be seen of one host from outside, with its headers sorted by name."""

    scheme: str
    host: str
    path: str
    can_pull: bool
    can_resolve: bool
    skip_verify: bool
    trusts_more: bool
    clients: int
    fall_back: bool
    headers: Headers


Found = tuple[Host, ...] | None
"""None where containerd gives up."""


class HostsOracle(Program):
    """containerd's ConfigureHosts."""

    part = "hostsoracle"

    def hosts(self, registry: str, folder: Path | None) -> Found:
        got = self.ask(
            {
                "op": "hosts",
                "registry": _sent(os.fsencode(registry)),
                "folder": _sent(os.fsencode(folder) if folder is not None else b""),
            }
        )
        if got.get("error"):
            return None
        return tuple(
            Host(
                scheme=_text(one["scheme"]),
                host=_text(one["host"]),
                path=_text(one["path"]),
                can_pull=one["can_pull"],
                can_resolve=one["can_resolve"],
                skip_verify=one["skip_verify"],
                trusts_more=one["trusts_more"],
                clients=one["certificates"],
                fall_back=one["fall_back"],
                headers=tuple(
                    (_text(header["name"]), _text(value))
                    for header in one["headers"]
                    for value in header["values"]
                ),
            )
            for one in got["hosts"]
        )

    def duration(self, text: str) -> int | None:
        """Return the nanoseconds of a duration, None where Go finds none in it."""
        got = self.ask({"op": "duration", "text": _sent(text.encode())})
        return None if got.get("error") else int(got["nanoseconds"])


def our_hosts(registry: str, folder: Path | None) -> Found:
    """Return our own reading in the same form."""
    found = registry_hosts(registry, folder)
    return None if isinstance(found, HostsFault) else tuple(map(_seen, found))


def _seen(host: RegistryHost) -> Host:
    return Host(
        scheme=host.scheme,
        host=host.host,
        path=host.path,
        can_pull=host.can_pull,
        can_resolve=host.can_resolve,
        skip_verify=not host.trust.verify,
        trusts_more=bool(host.trust.cas),
        clients=len(host.trust.clients),
        fall_back=host.fall_back,
        headers=tuple(sorted(host.headers, key=lambda header: header[0].encode())),
    )


def _sent(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _text(sent: str) -> str:
    return os.fsdecode(base64.b64decode(sent))
