"""Where a registry is dialled, and which hosts may be handed its credentials."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

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
    """Tell whether containerd takes ``host`` (with or without port) for this machine."""
    name = split_port(host)[0].removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


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


def origin_of(url: str) -> Origin | None:
    """Return the origin of an http or https URL, None for anything else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return Origin(parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme])
