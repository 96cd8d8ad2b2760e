"""Registries that do not exist, one slip of the finger from one that does."""

from dataclasses import replace

from webhook.images.reference import Reference, split_port
from webhook.registry.hosts import is_configured
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings, Vantage

PUBLIC_REGISTRIES = frozenset(
    {
        "asia.gcr.io",
        "cgr.dev",
        "container-registry.oracle.com",
        "docker.elastic.co",
        "docker.io",
        "eu.gcr.io",
        "gcr.io",
        "ghcr.io",
        "icr.io",
        "index.docker.io",
        "k8s.gcr.io",
        "lscr.io",
        "mcr.microsoft.com",
        "nvcr.io",
        "public.ecr.aws",
        "quay.io",
        "registry-1.docker.io",
        "registry.access.redhat.com",
        "registry.gitlab.com",
        "registry.k8s.io",
        "registry.redhat.io",
        "us.gcr.io",
        "us.icr.io",
        "xpkg.upbound.io",
    }
)
"""Public registries that manifests name; a host among them is never called misspelt."""


def with_misspelling(outcome: Outcome, reference: Reference, settings: RegistrySettings) -> Outcome:
    """Tell a misspelt registry from one that merely has no name here.

    Proven by the name service, which says that there is no such host, and by the
    letters; not where a hosts.toml has it served from elsewhere; from a registry of
    the configuration only where we stand as a node does, since such names may exist
    for nodes alone.
    """
    if outcome.cause is not Cause.DNS_NOT_FOUND:
        return outcome
    if is_configured(reference.host, settings.hosts_dir):
        return outcome
    meant = meant_registries(reference.host, settings)
    if not meant:
        return outcome
    detail = f"did you mean {' or '.join(meant)}?"
    return replace(outcome, pull=Pull.FAILS, cause=Cause.HOST_MISSPELLED, detail=detail)


def meant_registries(host: str, settings: RegistrySettings) -> tuple[str, ...]:
    """Return the registries from which one slip leads to ``host``."""
    name, port = split_port(host)
    name = name.lower()
    if port not in ("", "443") or name in PUBLIC_REGISTRIES:
        return ()
    configured = {e.match for e in settings.registries if "*" not in e.match}
    if name in configured:
        return ()
    candidates = set(PUBLIC_REGISTRIES)
    if settings.vantage is Vantage.NODE:
        candidates |= configured
    return tuple(known for known in sorted(candidates) if is_one_slip(known, name))


def is_one_slip(right: str, written: str) -> bool:
    """Tell whether one letter was left out, added, replaced, or swapped with the next."""
    if right == written or abs(len(right) - len(written)) > 1:
        return False
    start = 0
    while start < min(len(right), len(written)) and right[start] == written[start]:
        start += 1
    rest, other = right[start:], written[start:]
    return (
        rest[1:] == other
        or rest == other[1:]
        or rest[1:] == other[1:]
        or (rest[:2] == other[1::-1] and rest[2:] == other[2:] and len(rest) > 1)
    )
