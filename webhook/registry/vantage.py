"""What an answer that we got is worth on a node."""

from webhook.images.reference import Reference, split_port
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull
from webhook.registry.settings import NodeCredentials, RegistrySettings, Vantage, host_matches

CLOUD_REGISTRIES = (
    "*.dkr.ecr.*.amazonaws.com",
    "*.dkr.ecr.*.amazonaws.com.cn",
    "*.dkr.ecr-fips.*.amazonaws.com",
    "*-docker.pkg.dev",
    "*.pkg.dev",
    "gcr.io",
    "*.gcr.io",
    "*.azurecr.io",
    "*.azurecr.cn",
    "*.azurecr.us",
)
"""Registries whose own cloud gives each node an identity that can pull."""

_REFUSED = frozenset(
    {
        Cause.CREDENTIALS_MISSING,
        Cause.CREDENTIALS_REJECTED,
        Cause.CREDENTIALS_EXPIRED,
        Cause.PERMISSION_DENIED,
        Cause.DENIED_OR_MISSING,
    }
)


def seen_from_nodes(outcome: Outcome, reference: Reference, settings: RegistrySettings) -> Outcome:
    """Turn what proves nothing for a node into "unknown".

    From a pod, a network, DNS, TLS, 429 or 5xx fault may be ours alone; and where
    nodes may hold credentials that nobody declared, a refusal is not the last word.
    """
    if outcome.pull is not Pull.FAILS or outcome.cause is None:
        return outcome
    if outcome.cause.rule in NETWORK_RULES and settings.vantage is Vantage.POD:
        return outcome.unknown(outcome.cause, outcome.detail)
    if outcome.unheard and settings.vantage is Vantage.POD:
        return outcome.unknown(outcome.cause, "a mirror gave no answer here, and may on a node")
    if outcome.cause in _REFUSED and _nodes_may_know_better(outcome, reference, settings):
        return outcome.unknown(
            Cause.NODE_CREDENTIALS_UNDECLARED,
            "nodes may hold credentials of their own for it",
        )
    return outcome


def _nodes_may_know_better(
    outcome: Outcome, reference: Reference, settings: RegistrySettings
) -> bool:
    if settings.node_credentials is not NodeCredentials.AUTO or outcome.before_credentials:
        return False
    host = split_port(reference.host)[0]
    return any(host_matches(pattern, host) for pattern in CLOUD_REGISTRIES)
