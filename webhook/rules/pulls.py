"""What the outcome of a pull comes to, and whether it is proven enough to deny.

The proofs are those of the rules' table: what is lacking is said, and the
finding then warns whatever a policy wants.
"""

from collections.abc import Iterator

from webhook.images.workloads import Place
from webhook.registry.outcome import NETWORK_RULES, Cause, Pull, Rule
from webhook.registry.settings import Vantage
from webhook.rules.facts import Found, Judged


def findings(judged: Judged) -> Iterator[Found]:
    """Yield the finding that the outcome is, if it is one."""
    cause = judged.outcome.cause
    if cause is not None:
        yield Found(cause, doubt(judged, cause))


def doubt(judged: Judged, cause: Cause) -> str:
    """Return what is lacking for a denial, empty where it is proven."""
    if cause.rule is Rule.INVALID_REFERENCE:
        return _unmounted(judged)
    if cause.rule in (Rule.UNDECIDED, Rule.RATE_LIMITED, Rule.NEVER_PULLED):
        return "this can pass, or nobody can know it from here"
    if cause.rule in NETWORK_RULES:
        at_node = judged.pod.settings.vantage is Vantage.NODE
        return _unmounted(judged) if at_node else "a node may see the network otherwise"
    if judged.outcome.pull is Pull.UNKNOWN:
        return judged.outcome.detail or "it could not be known"
    if cause is Cause.CREDENTIAL_UNDECODABLE:
        return _unmounted(judged)
    return _registry_doubt(judged, cause) or _unmounted(judged)


def _registry_doubt(judged: Judged, cause: Cause) -> str:
    outcome = judged.outcome
    if cause is Cause.BLOB_MISSING or cause is Cause.PLATFORM_SOME:
        return "some nodes may still pull it"
    if not outcome.own_host:
        return "another host than the registry's own gave the answer"
    needs_credentials = cause.rule in (Rule.IMAGE_NOT_FOUND, Rule.PULL_DENIED)
    if not needs_credentials or outcome.before_credentials:
        return ""
    if judged.pod.missing:
        names = ", ".join(f'"{secret.name}"' for secret in judged.pod.missing)
        return f"the pull secret {names} is not there yet and may bring the credentials"
    if judged.pod.unreadable is not None:
        return judged.pod.unreadable.why
    return ""


def _unmounted(judged: Judged) -> str:
    if judged.use.place is Place.VOLUME and not judged.use.mounted:
        return "no container mounts the volume, so it blocks nobody"
    return ""
