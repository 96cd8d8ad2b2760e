"""RegistryConfig, the nodes' view of registries, and what it comes to.

Some fields are checked and kept though nothing acts on them yet: a file that a
later version understands in full is no error today.
"""

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictBool

from webhook.images.platform import Platform as NodePlatform
from webhook.images.platform import parse as parse_platform
from webhook.policy.model import Metadata, PositiveInt, Strict
from webhook.policy.text import (
    Duration,
    HostAndPort,
    HostGlob,
    Network,
    ObjectName,
    Platform,
    PositiveDuration,
    ProxyAddress,
    RegistryGlob,
    Text,
    seconds,
)
from webhook.registry.settings import (
    DOCKER_HUB,
    CacheTimes,
    Depth,
    Egress,
    NodeCredentials,
    RegistryEntry,
    RegistrySettings,
    Vantage,
)
from webhook.registry.settings import Proxy as ProxySettings


class CredentialProviders(Strict):
    """The kubelet's own CredentialProviderConfig and the folder of its plugins."""

    config: Text
    bin_dir: Text


class Proxy(Strict):
    """The proxies that nodes use for registries; each value as in the environment variable."""

    https: Annotated[ProxyAddress | None, Field(repr=False)] = None
    http: Annotated[ProxyAddress | None, Field(repr=False)] = None
    no_proxy: tuple[Text, ...] = ()


class EgressModel(Strict):
    """Which addresses may be dialled."""

    private_ranges: Literal["allow", "deny"] = "allow"
    deny: tuple[Network, ...] = ()
    allow: tuple[HostAndPort, ...] = ()


class DefaultLimit(Strict):
    """How many requests may be under way to one registry."""

    concurrency: PositiveInt = 32


class Limit(Strict):
    """``concurrency`` counts requests under way, ``perMinute`` their rate."""

    concurrency: PositiveInt | None = None
    per_minute: PositiveInt | None = None


class Defaults(Strict):
    """What holds for a registry whose entry says nothing else."""

    depth: Depth = Depth.PLATFORM
    connect: PositiveDuration = "1s"
    total: PositiveDuration = "5s"
    limit: DefaultLimit = DefaultLimit()


class Cache(Strict):
    """How long an answer serves warnings and audits; a denial asks anew."""

    found: Duration = "60s"
    not_found: Duration = "5s"
    denied: Duration = "10s"
    digest: Duration = "1h"


class Registry(Strict):
    """What is known of the registries that ``match``; the first entry that matches counts."""

    match: RegistryGlob
    depth: Depth | None = None
    ca: Text | None = None
    token_services: tuple[HostGlob, ...] = ()
    plain_http: Annotated[StrictBool, Field(alias="plainHTTP")] = False
    limit: Limit = Limit()


class Diagnosis(Strict):
    """Where a message may look for a secret of the same name."""

    secret_namespaces: tuple[ObjectName, ...] = ()


class RegistryConfigSpec(Strict):
    """The nodes' view of registries."""

    vantage: Vantage = Vantage.POD
    node_credentials: NodeCredentials = NodeCredentials.AUTO
    credential_providers: CredentialProviders | None = None
    node_docker_config: Text | None = None
    hosts_dir: Text | None = None
    platforms: tuple[Platform, ...] = ()
    proxy: Proxy | None = None
    egress: EgressModel = EgressModel()
    defaults: Defaults = Defaults()
    cache: Cache = Cache()
    registries: tuple[Registry, ...] = ()
    diagnosis: Diagnosis = Diagnosis()


class RegistryConfig(Strict):
    """How registries are reached; a set of files holds at most one."""

    api_version: Literal["pullproof.dev/v1alpha1"]
    kind: Literal["RegistryConfig"]
    metadata: Metadata
    spec: RegistryConfigSpec


def settings_of(config: RegistryConfig | None) -> RegistrySettings:
    """Return what a RegistryConfig comes to, or the defaults where there is none."""
    if config is None:
        return RegistrySettings()
    spec = config.spec
    return RegistrySettings(
        vantage=spec.vantage,
        node_credentials=spec.node_credentials,
        depth=spec.defaults.depth,
        connect=seconds(spec.defaults.connect),
        total=seconds(spec.defaults.total),
        concurrency=spec.defaults.limit.concurrency,
        egress=Egress(
            private_ranges=spec.egress.private_ranges == "allow",
            deny=tuple(ip_network(text) for text in spec.egress.deny),
            allow=spec.egress.allow,
        ),
        cache=CacheTimes(
            found=seconds(spec.cache.found),
            not_found=seconds(spec.cache.not_found),
            denied=seconds(spec.cache.denied),
            digest=seconds(spec.cache.digest),
        ),
        registries=_entries(spec.registries),
        hosts_dir=Path(spec.hosts_dir) if spec.hosts_dir is not None else None,
        proxy=_proxy(spec.proxy),
        platforms=_platforms(spec.platforms),
        node_docker_config=Path(spec.node_docker_config) if spec.node_docker_config else None,
        credential_providers=_providers(spec.credential_providers),
    )


def _providers(providers: CredentialProviders | None) -> tuple[Path, Path] | None:
    return None if providers is None else (Path(providers.config), Path(providers.bin_dir))


def _platforms(texts: Iterable[str]) -> tuple[NodePlatform, ...]:
    read = map(parse_platform, texts)
    return tuple(platform for platform in read if isinstance(platform, NodePlatform))


def _proxy(proxy: Proxy | None) -> ProxySettings | None:
    if proxy is None:
        return None
    return ProxySettings(proxy.https or "", proxy.http or "", ",".join(proxy.no_proxy))


def _entries(registries: tuple[Registry, ...]) -> tuple[RegistryEntry, ...]:
    entries = (*map(_entry, registries), DOCKER_HUB)
    settings = RegistrySettings(registries=entries)
    first = settings.entry(DOCKER_HUB.match)
    if first is None or first.depth is not None:
        return entries
    # An entry that says nothing of depth leaves Docker Hub's own in force; it may match
    # other hosts too, so that Docker Hub gets a copy of it with that depth.
    position = entries.index(first)
    hub = _with_depth_of_hub(first)
    return (*entries[:position], hub, *entries[position:])


def _with_depth_of_hub(entry: RegistryEntry) -> RegistryEntry:
    return RegistryEntry(
        match=DOCKER_HUB.match,
        depth=DOCKER_HUB.depth,
        ca=entry.ca,
        plain_http=entry.plain_http,
        token_services=entry.token_services,
        concurrency=entry.concurrency,
        per_minute=entry.per_minute,
    )


def _entry(registry: Registry) -> RegistryEntry:
    return RegistryEntry(
        match=registry.match,
        depth=registry.depth,
        ca=Path(registry.ca) if registry.ca is not None else None,
        plain_http=registry.plain_http,
        token_services=registry.token_services,
        concurrency=registry.limit.concurrency,
        per_minute=registry.limit.per_minute,
    )
