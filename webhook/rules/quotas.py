"""Whether what is left of a registry's quota is enough for the pulls that a rollout starts.

Pulls are counted by node, since a node pulls an image once for all its pods: the smaller
of pods and eligible nodes for each image, on a DaemonSet every node. Each number is the
most that may be pulled.
"""

from collections.abc import Mapping, Sequence

from webhook.cluster.scheduling import Eligible
from webhook.images.reference import Reference
from webhook.images.rollout import Rollout
from webhook.images.workloads import ImageUse, PullPolicy
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.quota import Quota
from webhook.rules.facts import Found, Judged, PodFacts, PulledBy, Shortage

DOUBT = "more may be left when the nodes pull"

_STILL_PULLED = frozenset({None, Cause.PLATFORM_NONE, Cause.PLATFORM_SOME, Cause.RUNTIME_UNKNOWN})
"""Why a pull may be unknown though nodes make it, as the one who was told the quota."""


def shortages(images: Sequence[Judged], rollout: Rollout) -> Mapping[ImageUse, Found]:
    """Return the finding of each image that is pulled from a quota that is too small.

    ``images`` are those of one pod, ``rollout`` says how many pods there will be. Images
    that one host counts for one user share a quota, and have the same finding; of what
    was told of it the least counts.
    """
    by_quota: dict[tuple[str, str], list[tuple[Judged, Quota]]] = {}
    for judged in images:
        quota = _quota_of(judged.outcome)
        if quota is not None:
            by_quota.setdefault((quota.host, quota.user), []).append((judged, quota))
    found: dict[ImageUse, Found] = {}
    for sharing in by_quota.values():
        found.update(_shortage(sharing, rollout))
    return found


def _quota_of(outcome: Outcome) -> Quota | None:
    """Return the quota that the image is pulled from, None where none is known of."""
    if outcome.pull is Pull.FAILS:
        return None
    if outcome.pull is Pull.UNKNOWN and outcome.cause not in _STILL_PULLED:
        return None
    return outcome.quota


def _shortage(
    sharing: Sequence[tuple[Judged, Quota]], rollout: Rollout
) -> Mapping[ImageUse, Found]:
    pulls: dict[str, int] = {}
    users: list[ImageUse] = []
    for judged, _ in sharing:
        count = pulls_of(judged, rollout)
        if count:
            # A second container of the same image finds it there.
            name = str(judged.use.reference)
            pulls[name] = max(pulls.get(name, 0), count)
            users.append(judged.use)
    total = sum(pulls.values())
    least = min((quota for _, quota in sharing), key=lambda quota: quota.remaining)
    if least.remaining >= total:
        return {}
    by = pulled_by(sharing[0][0].pod, rollout)
    shortage = Shortage(least, total, len(pulls), max(pulls.values()), by)
    return dict.fromkeys(users, Found(Cause.QUOTA_TOO_SMALL, DOUBT, shortage=shortage))


def pulled_by(pod: PodFacts, rollout: Rollout) -> PulledBy:
    """Return by what the pulls of one image are counted.

    Where no node is known each pod may get one of its own, and on a virtual node (Fargate)
    each pulls for itself. A DaemonSet has one pod a node in any case.
    """
    eligible = pod.eligible
    known = isinstance(eligible, Eligible) and len(eligible.nodes) > 0
    if rollout.per_node:
        return PulledBy.NODE if known else PulledBy.EVERY_NODE
    virtual = isinstance(eligible, Eligible) and eligible.virtual
    return PulledBy.NODE if known and not virtual else PulledBy.POD


def pulls_of(judged: Judged, rollout: Rollout) -> int:
    """Return how often a rollout may pull one image at most, in units of :func:`pulled_by`.

    A node that lists an image does not pull it under ``IfNotPresent``; under ``Always`` it
    asks by HEAD, but the tag may have moved.
    """
    use, eligible = judged.use, judged.pod.eligible
    if use.pull_policy is PullPolicy.NEVER or not isinstance(use.reference, Reference):
        return 0
    if pulled_by(judged.pod, rollout) is not PulledBy.NODE or not isinstance(eligible, Eligible):
        return rollout.pods
    nodes = eligible.count
    if use.pull_policy is PullPolicy.IF_NOT_PRESENT:
        nodes -= eligible.count_holding(str(use.reference))
    return rollout.pulls(nodes)
