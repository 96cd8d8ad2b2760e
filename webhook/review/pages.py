"""A page for each cause and each rule: what ``pullproof explain`` prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from webhook.policy.action import Action
from webhook.policy.select import DEFAULT_ACTIONS
from webhook.registry.outcome import Cause, Rule
from webhook.review.causes import MEANINGS
from webhook.review.words import quoted

_NEAR = 3


@dataclass(frozen=True, slots=True)
class RulePage:
    """What a rule is about, how its findings are known, and what a denial needs."""

    about: str
    known: str
    proof: str


RULES: Mapping[Rule, RulePage] = {
    Rule.INVALID_REFERENCE: RulePage(
        "The text is no name of an image, so no node can pull it.",
        "By the grammar that the kubelet and containerd use. No registry is asked.",
        "nothing more: the grammar decides",
    ),
    Rule.IMAGE_NOT_FOUND: RulePage(
        "The registry has no such image.",
        "The registry answered 404 to the request that containerd would make, with the same "
        "credentials. Its list of tags is then read to say what is missing.",
        "a 404 from the registry's own host, every credential tried (unless it asked for none), "
        "and no named pull secret missing",
    ),
    Rule.PULL_DENIED: RulePage(
        "The registry refuses the image to the pod.",
        "Every pull secret of the pod, or else of its service account, was tried in the kubelet's "
        "order, and the registry or its token service answered 401 or 403.",
        "every credential tried that the kubelet would try, and no named pull secret missing",
    ),
    Rule.IMAGE_UNUSABLE: RulePage(
        "The registry has something of that name, and a node cannot unpack it.",
        "Its manifest was read, and judged by containerd's own limits and types.",
        "the manifest was read",
    ),
    Rule.PLATFORM_MISMATCH: RulePage(
        "The image is not built for the nodes that may run it.",
        "The platforms of its index or config, compared with those of the nodes.",
        "the nodes are known, and the image serves none of them",
    ),
    Rule.REGISTRY_MISSPELLED: RulePage(
        "The registry's host does not exist, and is one slip away from one that does.",
        "DNS says that the name does not exist; the near name is on a list of public registries, "
        "or configured.",
        "DNS's own word, and a well-known registry one slip away",
    ),
    Rule.REGISTRY_NOT_FOUND: RulePage(
        "The registry's host does not exist.",
        "DNS says that the name does not exist.",
        "vantage: node, since nodes may use another DNS",
    ),
    Rule.REGISTRY_UNAVAILABLE: RulePage(
        "Nothing answers there as a registry does.",
        "The registry was asked as containerd asks it.",
        "vantage: node, since nodes may reach what we cannot",
    ),
    Rule.REGISTRY_UNTRUSTED: RulePage(
        "The registry's certificate does not hold.",
        "The TLS handshake was made with the system's CAs, and those of RegistryConfig.",
        "vantage: node, since nodes may trust other CAs",
    ),
    Rule.RATE_LIMITED: RulePage(
        "The registry limits how much may be pulled.",
        "The registry answered 429, or told how many pulls are left.",
        "never denied: it passes",
    ),
    Rule.UNDECIDED: RulePage(
        "It could not be known whether the image will be pulled.",
        "Something that the answer depends on could not be read or asked.",
        "never denied: nothing is proven",
    ),
    Rule.PULL_SECRET: RulePage(
        "A pull secret that the pod names will not serve.",
        "The secrets and the service account of the pod's namespace were read.",
        "the object read anew for this answer; by default it is a warning, since controllers "
        "often create secrets a moment later",
    ),
    Rule.CREDENTIAL_EXPIRING: RulePage(
        "A credential that works today will soon not work.",
        "What stands in the credential itself, or the age of its secret.",
        "nothing more",
    ),
    Rule.MUTABLE_TAG: RulePage(
        "What the reference stands for can change without any change of the manifest.",
        "By the text of the manifest.",
        "nothing more: the text decides",
    ),
    Rule.NEVER_PULLED: RulePage(
        "The image is never pulled, and no node is known to have it.",
        "By the manifest's imagePullPolicy, and the images that nodes report.",
        "never denied: nodes do not report every image",
    ),
    Rule.ALWAYS_PULL: RulePage(
        "Each start of a container asks the registry.",
        "By the manifest's imagePullPolicy, written or implied by the tag latest.",
        "nothing more: the text decides",
    ),
    Rule.TAG_DRIFT: RulePage(
        "A tag stands for another image than the one that runs.",
        "The audit compares the digest that runs with what the tag gives today.",
        "found by the audit alone",
    ),
    Rule.IMAGE_TOO_LARGE: RulePage(
        "The image is larger than allowed, or than a node has room for.",
        "The sum of the compressed layers that each platform takes, from its manifest, beside the "
        "policy's max and the smallest node of that platform.",
        "the manifests were read (depth: platform or whole), and for a node's disk that no node "
        "holds the image already",
    ),
    Rule.REGISTRY_NOT_ALLOWED: RulePage(
        "The policy does not allow images from there.",
        "By the text of the manifest, and the policy's list.",
        "nothing more: the text decides",
    ),
}


def page(word: str) -> str | None:
    """Return the page of a code, a cause or a rule; None where there is none."""
    wanted = word.strip().lower()
    for cause in Cause:
        if wanted in (cause.value, cause.code.lower()):
            return "\n".join(_cause_page(cause))
    for rule in Rule:
        if wanted == rule.value:
            return "\n".join(_rule_page(rule))
    return None


def near(word: str) -> Sequence[str]:
    """Return the names that somebody who wrote ``word`` may have meant."""
    names = [name for cause in Cause for name in (cause.value, cause.code)]
    names += [rule.value for rule in Rule if rule.value not in names]
    lower = {name.lower(): name for name in names}
    return [lower[n] for n in get_close_matches(word.lower()[:100], lower, _NEAR, cutoff=0.5)]


def unknown(word: str) -> str:
    """Say that there is no such page, and which are near."""
    close = near(word)
    hint = f"; near: {', '.join(close)}" if close else "; codes run from PP-001 to PP-831"
    return f"there is no code, cause or rule {quoted(word, 80)}{hint}"


def _cause_page(cause: Cause) -> Iterator[str]:
    rule = RULES[cause.rule]
    meaning = MEANINGS[cause]
    yield f"{cause.code} {cause.value}"
    yield f"  rule:   {cause.rule.value} (by default: {DEFAULT_ACTIONS[cause.rule].value})"
    yield f"  means:  {meaning.means}"
    yield f"  known:  {meaning.known or rule.known}"
    yield f"  mend:   {meaning.mend}"
    yield f"  denial: {_proof(rule)}"


def _rule_page(rule: Rule) -> Iterator[str]:
    told = RULES[rule]
    yield f"rule {rule.value} (by default: {DEFAULT_ACTIONS[rule].value})"
    yield f"  means:  {told.about}"
    yield f"  known:  {told.known}"
    actions = ", ".join(action.value for action in Action)
    yield f"  mend:   see the causes; a policy sets spec.rules.{rule.value} to one of {actions}"
    yield f"  denial: {_proof(told)}"
    for cause in Cause:
        if cause.rule is rule:
            yield f"  {cause.code}  {cause.value}: {MEANINGS[cause].means}"


def _proof(page: RulePage) -> str:
    return page.proof if page.proof.startswith(("never", "found")) else f"needs {page.proof}"
