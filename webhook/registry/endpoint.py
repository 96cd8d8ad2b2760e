"""Where a registry is dialled, and which hosts may be handed its credentials."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from webhook.images.reference import Reference, split_port
from webhook.registry.settings import RegistrySettings

DOCKER_HUB_DIALLED = "registry-1.docker.io"
TOKEN_SERVICES = {
    "docker.io": ("auth.docker.io",),
    "registry.gitlab.com": ("gitlab.com",),
    "nvcr.io": ("authn.nvidia.com",),
}
"""Token services on another host than the public registry that they serve."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9._-]{1,253}")
_KEPT_IN_PATH = "/%:@!$&'()*+,;=~"
_KEPT_IN_QUERY = _KEPT_IN_PATH + "?[]|^`{}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One registry as containerd dials it.

    ``registry`` is the host of the reference, ``host`` what is dialled. ``verify``
    is off for loopback, as in containerd. ``fall_back``: where https meets a server
    that answers in plain HTTP, http is taken. ``insecure``: credentials may go over
    plain HTTP here. ``token_services`` may be handed the registry's credentials.
    """

    registry: str
    host: str
    scheme: str = "https"
    verify: bool = True
    fall_back: bool = False
    insecure: bool = False
    token_services: tuple[str, ...] = ()
    ca: Path | None = None


def endpoint_for(reference: Reference, settings: RegistrySettings) -> Endpoint:
    """Return how the registry of ``reference`` is dialled.

    Rules: ``remotes/docker/config.ConfigureHosts`` of containerd 2.4 without a
    hosts.toml: docker.io is dialled as registry-1.docker.io; on loopback port 80
    is http, no port and 443 https without verification, others https or else http.
    """
    host = reference.host
    entry = settings.entry(host)
    services = TOKEN_SERVICES.get(host, ()) + (entry.token_services if entry else ())
    ca = entry.ca if entry else None
    if entry is not None and entry.plain_http:
        return Endpoint(host, host, "http", insecure=True, token_services=services)
    dialled = DOCKER_HUB_DIALLED if host == "docker.io" else host
    if not is_loopback(host):
        return Endpoint(host, dialled, token_services=services, ca=ca)
    port = split_port(host)[1]
    return Endpoint(
        host,
        dialled,
        scheme="http" if port == "80" else "https",
        verify=ca is not None,
        fall_back=port not in ("", "80", "443"),
        insecure=True,
        token_services=services,
        ca=ca,
    )


def is_loopback(host: str) -> bool:
    """Tell whether containerd takes ``host`` (with or without port) for this machine.

    A bare ``[::1]`` is not: Go's ``net.ParseIP`` knows no brackets, and only a port
    has them taken off.
    """
    name, port = split_port(host)
    if name == "localhost":
        return True
    try:
        address = ip_address(name[1:-1] if port and name.startswith("[") else name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL: what a credential is bound to."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """Return what is dialled."""
        return self.host, self.port

    @property
    def names(self) -> frozenset[str]:
        """Return how configuration may spell it; the port is left out where it is the usual."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        short = {host} if self.port == _DEFAULT_PORTS[self.scheme] else set()
        return frozenset({f"{host}:{self.port}"} | short)


def origin_of(url: str) -> Origin | None:
    """Return the origin of an http or https URL, None for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not _is_host(host):
        return None
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return isinstance(address, IPv6Address) and address.scope_id is None


def sendable(url: str) -> str | None:
    """Return ``url`` rebuilt from what was understood of it, None where it is no http address.

    Two parsers that disagree on a hostile URL would judge one host and dial another,
    so what is sent holds nothing but the judged origin, a path and a query. A user in
    it is dropped: it would be sent as a credential of ours.
    """
    origin = origin_of(url)
    if origin is None:
        return None
    parts = urlsplit(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == _DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    path = quote(parts.path or "/", safe=_KEPT_IN_PATH, errors="replace")
    query = quote(parts.query, safe=_KEPT_IN_QUERY, errors="replace")
    return f"{origin.scheme}://{host}{port}{path}" + (f"?{query}" if query else "")


def joined(url: str, location: str) -> str | None:
    """Return where a ``Location`` leads from ``url``, None where that is no http address."""
    try:
        return sendable(urljoin(url, location))
    except ValueError:
        return None
