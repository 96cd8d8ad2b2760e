"""What the outcome of a pull comes to, and whether it is proven enough to deny.

The proofs are those of the rules' table: what is lacking is said, and the
finding then warns whatever a policy wants.
"""

from collections.abc import Iterator, Sequence

from webhook.cluster.view import Absent
from webhook.images.workloads import Place
from webhook.policy.action import Action
from webhook.registry.outcome import NETWORK_RULES, Cause, Pull, Rule
from webhook.registry.settings import Vantage
from webhook.rules.facts import Found, Judged
from webhook.rules.placed import doubt_of_platform
from webhook.rules.presence import held

_NEVER_PROVEN = {
    Rule.UNDECIDED: "nothing was learned that proves a failure",
    Rule.RATE_LIMITED: "it may have passed when a node pulls",
    Rule.NEVER_PULLED: "a node may have the image already",
}

KEPT_BACK = "the nodes hold it already, and start it unless another pod's login pulled it"


def findings(judged: Judged) -> Iterator[Found]:
    """Yield the finding that the outcome is, if it is one."""
    outcome = judged.outcome
    if outcome.cause is not None:
        # What every node holds is not pulled: that it could not be is for the audit to tell.
        most = Action.AUDIT if judged.kept_back is False else Action.DENY
        yield Found(outcome.cause, doubt(judged, outcome.cause), most=most)
    elif outcome.unserved and judged.use.place is not Place.VOLUME:
        # A single manifest is pulled whatever it was built for, and then cannot run; a volume
        # need not.
        none = len(outcome.unserved) == len(outcome.judged_for)
        cause = Cause.PLATFORM_NONE if none else Cause.PLATFORM_SOME
        yield Found(cause, doubt(judged, cause))


def doubt(judged: Judged, cause: Cause) -> str:
    """Return what is lacking for a denial, empty where it is proven."""
    outcome = judged.outcome
    if cause.rule in _NEVER_PROVEN:
        return _NEVER_PROVEN[cause.rule]
    if doubted := _held(judged):
        return doubted
    if cause.rule in NETWORK_RULES:
        at_node = judged.pod.settings.vantage is Vantage.NODE
        return "" if at_node else "the nodes may see the network differently"
    if cause is Cause.PLATFORM_SOME:
        return "some nodes can run it"
    if outcome.pull is Pull.UNKNOWN:
        return outcome.detail or "it could not be known"
    if cause is Cause.BLOB_MISSING:
        return "a node may have that layer already"
    if cause is Cause.PLATFORM_NONE:
        return doubt_of_platform(judged)
    if cause is Cause.CREDENTIAL_UNDECODABLE:
        return ""
    if cause.rule in (Rule.IMAGE_NOT_FOUND, Rule.PULL_DENIED):
        return _registry_doubt(judged)
    return ""


def _held(judged: Judged) -> str:
    return KEPT_BACK if judged.kept_back else held(judged.presence)


def _registry_doubt(judged: Judged) -> str:
    pod, outcome = judged.pod, judged.outcome
    if not outcome.own_host:
        return "the answer came from a host that the registry redirects to"
    if isinstance(pod.account_state, Absent):
        return f'service account "{pod.account}" is not there yet and may bring a pull secret'
    if pod.missing:
        return _missing_secrets([secret.name for secret in pod.missing])
    if outcome.before_credentials or pod.unreadable is None:
        return ""
    return pod.unreadable.why


def _missing_secrets(names: Sequence[str]) -> str:
    first = f'"{names[0]}"'
    if len(names) == 1:
        return f"secret {first} is not there yet and may bring a login"
    return f"secret {first} and {len(names) - 1} more are not there yet and may bring a login"
