"""How registries are reached: what RegistryConfig and the flags of the view come to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from webhook.images.platform import Platform
from webhook.images.reference import split_port


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

    ``*`` stays within one label, ``**`` crosses labels, nothing else is special; a
    pattern without a port matches only a host without one. All positions of the
    pattern are followed at once: whoever names hosts cannot make one slow to judge.
    """
    pattern_name, pattern_port = split_port(pattern)
    name, port = split_port(host)
    if bool(pattern_port) != bool(port):
        return False
    return _glob_matches(_pieces(pattern_name), name, ".") and _glob_matches(
        _pieces(pattern_port), port, ""
    )


@lru_cache(maxsize=1024)
def _pieces(pattern: str) -> tuple[str, ...]:
    return tuple(
        "**" if piece.startswith("**") else piece for piece in re.findall(r"\*+|[^*]", pattern)
    )


def _glob_matches(pieces: Sequence[str], text: str, separator: str) -> bool:
    at = _past_stars(pieces, {0})
    for character in text:
        following: set[int] = set()
        for position in at:
            piece = pieces[position] if position < len(pieces) else ""
            if piece == "**" or (piece == "*" and character != separator):
                following.add(position)
            elif piece == character:
                following.add(position + 1)
        at = _past_stars(pieces, following)
    return len(pieces) in at


def _past_stars(pieces: Sequence[str], positions: set[int]) -> set[int]:
    """Add the positions that are reached where stars match nothing; two never touch."""
    stars = {p for p in positions if p < len(pieces) and pieces[p] in ("*", "**")}
    return positions | {p + 1 for p in stars}


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
    ``api_server`` is how our own API server is reached, names and addresses alike.
    """

    private_ranges: bool = True
    deny: tuple[IPv4Network | IPv6Network, ...] = ()
    allow: tuple[str, ...] = ()
    local: bool = False
    api_server: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CacheTimes:
    """How long an answer serves warnings and audits, in seconds; a denial asks anew."""

    found: float = 60.0
    not_found: float = 5.0
    denied: float = 10.0
    digest: float = 3600.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxies that nodes use, written as in HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    Empty: none. They can hold a user and a password.
    """

    https: str = field(default="", repr=False)
    http: str = field(default="", repr=False)
    no_proxy: str = ""


DOCKER_HUB = RegistryEntry(match="docker.io", depth=Depth.EXISTS)
"""Docker Hub counts GETs of manifests against the quota, not HEADs."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """One RegistryConfig with its defaults filled in. Times are in seconds.

    ``platforms`` are those of node pools that may scale up from zero, beside those of the
    nodes; ``only_platforms`` replace both.

    ``hosts_dir`` is containerd's certs.d, None where nodes have none. ``proxy`` None: as
    this process's own environment says. ``credential_providers`` is the kubelet's
    CredentialProviderConfig and the folder of its plugins; that and
    ``node_docker_config`` count where ``node_credentials`` is FILES.
    """

    vantage: Vantage = Vantage.POD
    node_credentials: NodeCredentials = NodeCredentials.AUTO
    depth: Depth = Depth.PLATFORM
    connect: float = 1.0
    total: float = 5.0
    concurrency: int = 32
    egress: Egress = field(default_factory=Egress)
    cache: CacheTimes = field(default_factory=CacheTimes)
    registries: tuple[RegistryEntry, ...] = (DOCKER_HUB,)
    platforms: tuple[Platform, ...] = ()
    only_platforms: tuple[Platform, ...] = ()
    hosts_dir: Path | None = None
    proxy: Proxy | None = None
    node_docker_config: Path | None = None
    credential_providers: tuple[Path, Path] | None = None

    def entry(self, host: str) -> RegistryEntry | None:
        """Return the first entry that matches ``host`` as it stands in a reference."""
        return next((e for e in self.registries if host_matches(e.match, host)), None)

    def depth_for(self, host: str) -> Depth:
        """Return how deep to look at ``host``."""
        entry = self.entry(host)
        return entry.depth if entry is not None and entry.depth is not None else self.depth
