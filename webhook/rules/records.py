"""Whom the kubelet lets have an image that its node holds: its records of who pulled it decide.

Rule: ``KubeletEnsureSecretPulledImages`` (on from 1.35): under ``IfNotPresent`` and
``Never`` an image that a secret's credential pulled is run without a pull only for a pod
that has a matching credential; one that was loaded, or pulled without any secret, is run
for every pod. Nobody else can read the records. What can be known is whether they may
matter: where the registry lets nobody in without a login, a login may have pulled the image.
"""

from collections.abc import Sequence

from webhook.cluster.scheduling import Eligible
from webhook.credentials.keyring import Credential
from webhook.images.reference import Reference
from webhook.images.workloads import ImageUse, PullPolicy
from webhook.registry.outcome import Outcome, Pull, Rule
from webhook.rules.facts import PodFacts


def decide(pod: PodFacts, use: ImageUse) -> bool:
    """Tell whether they alone decide: every node that may run the pod holds the image.

    False too where it is not known which credentials the pod has: one that matches is enough.
    """
    if use.pull_policy is PullPolicy.ALWAYS or not isinstance(use.reference, Reference):
        return False
    if pod.unreadable is not None or not isinstance(pod.eligible, Eligible):
        return False
    # A node that is yet to come holds nothing.
    return not pod.settings.platforms and pod.eligible.all_hold(str(use.reference))


def matter(pod: PodFacts, credentials: Sequence[Credential]) -> bool:
    """Tell whether they may keep an image from the pod, whose ``credentials`` match it.

    Only a kubelet of 1.35 or later keeps any, and one credential that matches will do.
    """
    keep = isinstance(pod.eligible, Eligible) and pod.eligible.keep_records
    return keep and not credentials


def may_keep_back(without: Outcome) -> bool:
    """Tell whether they may keep the image from a pod that has no matching credential.

    ``without`` is what a pull with no credential of the pod comes to. A registry that is
    down, or has no such image, refuses nobody.
    """
    if without.pull is not Pull.FAILS or without.cause is None:
        return False
    return without.cause.rule is Rule.PULL_DENIED
