"""Rules that the text of the manifest decides: tags, pull policy, allowed registries."""

from collections.abc import Iterator

from webhook.images.reference import DEFAULT_TAG, Reference
from webhook.images.workloads import PullPolicy
from webhook.policy.select import Parameters, Rules
from webhook.registry.outcome import Cause, Rule
from webhook.rules.facts import Found, Judged


def findings(judged: Judged, rules: Rules) -> Iterator[Found]:
    """Yield what the text alone shows; an invalid reference has its own rule."""
    reference = judged.use.reference
    if not isinstance(reference, Reference):
        return
    cause = mutable_tag(reference, rules[Rule.MUTABLE_TAG].parameters)
    if cause is not None:
        yield Found(cause)
    if judged.use.pull_policy is PullPolicy.ALWAYS:
        yield Found(Cause.ALWAYS_PULL)
    if not rules[Rule.REGISTRY_NOT_ALLOWED].parameters.allows(reference.full):
        yield Found(Cause.REGISTRY_NOT_ALLOWED)


def mutable_tag(reference: Reference, parameters: Parameters) -> Cause | None:
    """Return why the tag may move, None where it may not; a digest never moves."""
    if reference.digest is not None:
        return None
    if not reference.tag_written:
        return Cause.TAG_MISSING
    if reference.tag is not None and parameters.tag_is_mutable(reference.tag):
        return Cause.TAG_LATEST if reference.tag == DEFAULT_TAG else Cause.TAG_MUTABLE
    return Cause.DIGEST_REQUIRED if parameters.require_digest else None
