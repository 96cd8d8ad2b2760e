"""Where a registry's content is asked for, and which hosts may be handed its credentials."""

from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from webhook.images.reference import Reference, dialled_host
from webhook.registry.hosts import HostsFault, RegistryHost, registry_hosts
from webhook.registry.settings import RegistryEntry, RegistrySettings, host_matches
from webhook.registry.urls import Origin, is_loopback, origin_of
from webhook.registry.wire import DEFAULT_TRUST, Trust

TOKEN_SERVICES = {
    "docker.io": ("auth.docker.io",),
    "registry-1.docker.io": ("auth.docker.io",),
    "registry.gitlab.com": ("gitlab.com",),
    "nvcr.io": ("authn.nvidia.com",),
    "registry.redhat.io": ("sso.redhat.com",),
    "registry.connect.redhat.com": ("sso.redhat.com",),
    "*.icr.io": ("icr.io",),
    "docker.elastic.co": ("docker-auth.elastic.co",),
    "registry.digitalocean.com": ("api.digitalocean.com",),
}
"""Token services on another host than the public registry that they serve."""

_BOUND_TO_A_HOST = frozenset(
    {
        "authorization",
        "cookie",
        "cookie2",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
    }
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host as containerd dials it for a registry's content.

    ``registry`` is the host of the reference, ``host`` what is dialled, ``path`` where
    the API begins. ``fall_back``: where https meets a server that answers in plain
    HTTP, http is taken. ``insecure``: credentials may go over plain HTTP here.
    ``headers`` go along with every request, as a hosts.toml has them, and ``named``
    says that it is one that a hosts.toml names.
    """

    registry: str
    host: str
    scheme: str = "https"
    path: str = "/v2"
    trust: Trust = DEFAULT_TRUST
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    fall_back: bool = False
    insecure: bool = False
    can_pull: bool = True
    can_resolve: bool = True
    named: bool = False

    @property
    def name(self) -> str:
        """Return what people call it: the registry's own host has the registry's name."""
        return self.registry if _is_own(self.registry, self.host) else self.host

    @property
    def origin(self) -> Origin | None:
        """Return what is dialled, None where no socket can be."""
        return origin_of(f"{self.scheme}://{self.host}")

    def headers_beside(self, *, authorized: bool) -> tuple[tuple[str, str], ...]:
        """Return the headers of the file; what a challenge was answered with displaces its own.

        Rule: ``req.Header.Set("Authorization", …)`` of containerd's authorizer.
        """
        if not authorized:
            return self.headers
        return tuple(header for header in self.headers if header[0] != "Authorization")

    @property
    def authorizes(self) -> bool:
        """Tell whether a header of the file authorises the requests that nothing else does."""
        return any(name.lower() == "authorization" for name, _ in self.headers)

    @property
    def has_headers_for_others(self) -> bool:
        """Tell whether Go sends some of them to another host that it is redirected to.

        Rule: ``shouldCopyHeaderOnRedirect`` of ``net/http``. We send none there.
        """
        return any(name.lower() not in _BOUND_TO_A_HOST for name, _ in self.headers)

    def url(self, repository: str, kind: str, what: str) -> str:
        """Return where something of ``repository`` is asked for.

        A host that is not the registry itself is told by ``ns`` whom it stands for
        (``RegistryHost.isProxy`` of containerd).
        """
        parts = [part for part in f"{self.path}/{repository}/{kind}/{what}".split("/") if part]
        url = f"{self.scheme}://{self.host}/{'/'.join(parts)}"
        if _is_own(self.registry, self.host):
            return url
        return f"{url}?{urlencode({'ns': self.registry})}"


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry as a node reaches it: its hosts in the order in which they are asked.

    ``token_services`` are names of hosts that may be handed its credentials, besides
    the hosts themselves: whoever wrote the hosts.toml vouches for those. ``fault`` is
    why containerd gives up before it asks anybody.
    """

    name: str
    hosts: tuple[Endpoint, ...]
    token_services: tuple[str, ...] = ()
    fault: str = ""

    @property
    def first(self) -> str:
        """Return the host that is asked first, for what is counted by host."""
        return self.hosts[0].host if self.hosts else self.name

    def names(self, url: str) -> bool:
        """Tell whether a hosts.toml names the host and port of ``url``."""
        origin = origin_of(url)
        named = (host.origin for host in self.hosts if host.named)
        return origin is not None and any(
            known is not None and known.address == origin.address for known in named
        )

    def at(self, origin: Origin) -> tuple[Endpoint, ...]:
        """Return the registry's own hosts that have the host and port of ``origin``."""
        return tuple(
            host
            for host in self.hosts
            if host.origin is not None and host.origin.address == origin.address
        )

    def holds(self, origin: Origin) -> bool:
        """Tell whether it is the host and port of one of the registry's own hosts."""
        return bool(self.at(origin))

    def vouches_for(self, origin: Origin) -> bool:
        """Tell whether a host may be handed the registry's credentials."""
        return self.holds(origin) or bool(
            origin.names & {name.lower() for name in self.token_services}
        )


def registry_for(reference: Reference, settings: RegistrySettings) -> Registry:
    """Return how the registry of ``reference`` is reached.

    Rules: ``remotes/docker/config.ConfigureHosts`` of containerd 2.4 over the node's
    hosts.toml; what ``registries`` of the RegistryConfig says of the registry's own
    host is laid over it.
    """
    name = reference.host
    entry = settings.entry(name)
    services = _services(name) + (entry.token_services if entry else ())
    hosts = registry_hosts(name, settings.hosts_dir)
    if isinstance(hosts, HostsFault):
        return Registry(name, (), services, hosts.detail)
    return Registry(name, tuple(_endpoint(name, host, entry) for host in hosts), services)


def _is_own(registry: str, host: str) -> bool:
    """Tell whether a host is the registry itself, not one that stands for it."""
    return registry == host or (registry == "docker.io" and host == "registry-1.docker.io")


def _services(name: str) -> tuple[str, ...]:
    return tuple(
        service
        for pattern, services in TOKEN_SERVICES.items()
        if host_matches(pattern, name)
        for service in services
    )


def _endpoint(name: str, host: RegistryHost, entry: RegistryEntry | None) -> Endpoint:
    endpoint = Endpoint(
        registry=dialled_host(name),
        host=dialled_host(host.host),
        scheme=host.scheme,
        path=host.path,
        trust=host.trust,
        headers=host.headers,
        fall_back=host.fall_back,
        # Loopback leaves the machine on no wire; elsewhere a hosts.toml has to say so.
        insecure=is_loopback(host.host) or host.scheme == "http" or host.fall_back,
        can_pull=host.can_pull,
        can_resolve=host.can_resolve,
        named=not host.own,
    )
    if entry is None or not _is_own(name, host.host):
        return endpoint
    if entry.plain_http:
        return replace(
            endpoint, host=name, scheme="http", fall_back=False, insecure=True, trust=DEFAULT_TRUST
        )
    if entry.ca is None:
        return endpoint
    # A CA that was named is meant to be looked at, on loopback too.
    return replace(
        endpoint, trust=replace(host.trust, verify=True, cas=(*host.trust.cas, entry.ca))
    )
