"""How registries are reached: what RegistryConfig and the flags of the view come to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path


class Vantage(StrEnum):
    """From where the registries are seen: from a pod, or as a node sees them."""

    POD = "pod"
    NODE = "node"


class Depth(StrEnum):
    """How far a prediction looks: one HEAD, the manifest too, or every blob."""

    EXISTS = "exists"
    PLATFORM = "platform"
    WHOLE = "whole"


class NodeCredentials(StrEnum):
    """What is known of the credentials that nodes hold themselves."""

    AUTO = "auto"
    NONE = "none"
    FILES = "files"


def host_matches(pattern: str, host: str) -> bool:
    """Tell whether a host glob matches ``host`` (with its port, where it has one).

    ``*`` stays within one label, ``**`` crosses labels; a pattern without a port
    matches only a host without one.
    """
    pattern_name, _, pattern_port = _split_port(pattern)
    name, _, port = _split_port(host)
    if pattern_port != port:
        return False
    if pattern_name == "**":
        return True
    return _labels_match(pattern_name.split("."), name.split("."))


def _split_port(host: str) -> tuple[str, str, str]:
    if host.endswith("]"):
        return host, "", ""
    return host.rpartition(":") if ":" in host else (host, "", "")


def _labels_match(patterns: Sequence[str], labels: Sequence[str]) -> bool:
    if not patterns:
        return not labels
    if patterns[0] == "**":
        return any(_labels_match(patterns[1:], labels[n:]) for n in range(1, len(labels) + 1))
    return (
        bool(labels)
        and fnmatchcase(labels[0], patterns[0])
        and _labels_match(patterns[1:], labels[1:])
    )


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """What one entry of ``registries`` says of the hosts that it matches.

    ``token_services`` are hosts that may be handed this registry's credentials
    for a token. ``concurrency`` counts requests under way, ``per_minute`` their rate.
    """

    match: str
    depth: Depth | None = None
    ca: Path | None = None
    plain_http: bool = False
    token_services: tuple[str, ...] = ()
    concurrency: int | None = None
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Egress:
    """Which addresses may be dialled. ``allow`` holds ``host:port`` pairs.

    ``local`` is for a person's own machine (inspect, check): loopback may be
    dialled there without being named. Metadata services never may.
    """

    private_ranges: bool = True
    deny: tuple[IPv4Network | IPv6Network, ...] = ()
    allow: tuple[str, ...] = ()
    local: bool = False


@dataclass(frozen=True, slots=True)
class CacheTimes:
    """How long an answer serves warnings and audits, in seconds; a denial asks anew."""

    found: float = 60.0
    not_found: float = 5.0
    denied: float = 10.0
    digest: float = 3600.0


DOCKER_HUB = RegistryEntry(match="docker.io", depth=Depth.EXISTS)
"""Docker Hub counts GETs of manifests against the quota, not HEADs."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """One RegistryConfig with its defaults filled in. Times are in seconds."""

    vantage: Vantage = Vantage.POD
    node_credentials: NodeCredentials = NodeCredentials.AUTO
    depth: Depth = Depth.PLATFORM
    connect: float = 1.0
    total: float = 5.0
    concurrency: int = 32
    egress: Egress = field(default_factory=Egress)
    cache: CacheTimes = field(default_factory=CacheTimes)
    registries: tuple[RegistryEntry, ...] = (DOCKER_HUB,)

    def entry(self, host: str) -> RegistryEntry | None:
        """Return the first entry that matches ``host`` as it stands in a reference."""
        return next((e for e in self.registries if host_matches(e.match, host)), None)

    def depth_for(self, host: str) -> Depth:
        """Return how deep to look at ``host``."""
        entry = self.entry(host)
        return entry.depth if entry is not None and entry.depth is not None else self.depth
