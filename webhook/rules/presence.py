"""What it changes that a node may hold an image already.

Under ``IfNotPresent`` and ``Never`` the kubelet runs what the node holds and asks
nobody; under ``Always`` presence never counts. A node lists 50 images at most, and five
names of each: a shorter list that does not name an image is proof that it is not there.
A full one is judged so too, and that is said; where five names of an image of the same
repository are told, this one may be among those left out.
"""

from dataclasses import replace

from webhook.cluster.scheduling import Eligible
from webhook.cluster.view import Unreadable
from webhook.images.reference import Reference
from webhook.images.workloads import ImageUse, PullPolicy
from webhook.registry.outcome import Cause, Outcome, Pull, Rule
from webhook.rules.facts import Presence


def matters(use: ImageUse, outcome: Outcome) -> bool:
    """Tell whether the nodes have to be looked at: only where they can change the outcome."""
    if not isinstance(use.reference, Reference) or use.pull_policy is PullPolicy.ALWAYS:
        return False
    if use.pull_policy is PullPolicy.NEVER or (outcome.pull is Pull.OK and outcome.unserved):
        return True
    fails = outcome.pull is Pull.FAILS and outcome.cause is not None
    return fails and outcome.cause is not None and outcome.cause.rule is not Rule.INVALID_REFERENCE


def presence_of(use: ImageUse, eligible: Eligible | Unreadable) -> Presence:
    """Return what the nodes that the pod may run on say of the image of ``use``."""
    if isinstance(eligible, Unreadable):
        return Presence(unreadable=eligible)
    held_by = eligible.holding(str(use.reference))
    perhaps_by: tuple[str, ...] = ()
    if not held_by and isinstance(use.reference, Reference) and use.reference.digest is None:
        # An image's digests are listed before its tags: where a tag is listed none was cut.
        perhaps_by = eligible.holding(use.reference.name)
    return Presence(held_by, perhaps_by, eligible.full_lists, eligible.virtual)


def held(presence: Presence) -> str:
    """Say which node may have the image already, empty where none is known to."""
    if presence.held_by:
        return f'node "{presence.held_by[0]}" holds the image already'
    if presence.perhaps_by:
        return f'node "{presence.perhaps_by[0]}" may hold it among the names that it does not list'
    return ""


def with_presence(
    use: ImageUse, outcome: Outcome, presence: Presence, *, kept_back: bool = False
) -> Outcome:
    """Return the outcome as it is once the nodes were looked at.

    ``kept_back``: they hold the image and may keep it from this pod.
    """
    if outcome.pull is Pull.OK:
        return outcome
    if presence.unreadable is not None:
        return outcome.unknown(presence.unreadable.cause, presence.unreadable.why)
    if presence.virtual and not presence.held_by:
        return outcome.unknown(Cause.RUNTIME_UNKNOWN, _virtual(outcome))
    if use.pull_policy is PullPolicy.NEVER:
        if kept_back or not presence.held_by:
            return outcome
        return Outcome(Pull.UNKNOWN, detail="some nodes hold it, and others are not asked to pull")
    may_hold = presence.held_by or presence.perhaps_by
    return replace(outcome, pull=Pull.UNKNOWN) if may_hold else outcome


def _virtual(outcome: Outcome) -> str:
    # Of what is never pulled nobody was asked.
    asked = outcome.pull is Pull.FAILS and outcome.cause is not None
    found = f"{outcome.cause}, but " if asked else ""
    return f"{found}nobody knows what a virtual node that may run it holds"
