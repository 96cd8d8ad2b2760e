"""What is certain of a pull before a registry is asked, and whatever it says then."""

from dataclasses import replace
from pathlib import Path

from webhook.credentials.keyring import Broken, Credential, Keyring
from webhook.images.reference import (
    Fault,
    InvalidReference,
    Reference,
    literal_fault,
    port_fault,
)
from webhook.images.workloads import ImageUse, PullPolicy
from webhook.registry.hosts import is_configured
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull, Rule, decided
from webhook.rules.facts import PodFacts

FAULTS = {
    Fault.MALFORMED: Cause.REFERENCE_MALFORMED,
    Fault.UPPERCASE: Cause.REFERENCE_UPPERCASE,
    Fault.DIGEST_MALFORMED: Cause.DIGEST_MALFORMED,
    Fault.DIGEST_UNSUPPORTED: Cause.DIGEST_UNSUPPORTED,
}
_OF_THE_NETWORK = NETWORK_RULES | {Rule.UNDECIDED}


def credentials_for(pod: PodFacts, use: ImageUse) -> tuple[Credential, ...]:
    """Return what the kubelet would try for an image, in its order."""
    if isinstance(pod.keyring, Keyring) and isinstance(use.reference, Reference):
        return pod.keyring.lookup(use.reference.name)
    return ()


def known_outcome(pod: PodFacts, use: ImageUse, hosts_dir: Path | None) -> Outcome | None:
    """Return what is certain without asking anybody, in the order in which the kubelet fails."""
    if isinstance(use.reference, InvalidReference):
        return decided(FAULTS[use.reference.fault], use.reference.reason)
    if use.pull_policy is PullPolicy.NEVER:
        return Outcome(Pull.UNKNOWN, Cause.NEVER_PULLED, detail="its pull policy is Never")
    if isinstance(pod.keyring, Broken):
        outcome = decided(Cause.CREDENTIAL_UNDECODABLE, pod.keyring.reason)
        return replace(outcome, source=pod.keyring.source)
    address = literal_fault(use.reference)
    if address is None and not is_configured(use.reference.host, hosts_dir):
        address = port_fault(use.reference)
    return decided(Cause.ADDRESS_INVALID, address) if address is not None else None


def stands_anyway(outcome: Outcome) -> bool:
    """Tell whether credentials that we could not read would have changed nothing.

    They would not where no challenge came, nor where a credential that we have
    succeeded; they might where an anonymous token did, since any match forbids that.
    """
    if outcome.cause is not None and outcome.cause.rule in _OF_THE_NETWORK:
        return True
    return outcome.before_credentials or (outcome.pull is Pull.OK and bool(outcome.source))
