"""From what the rules found to what is done about it: policy, proof, and the most allowed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webhook.images.workloads import Place
from webhook.policy.action import Action
from webhook.policy.select import Rules
from webhook.registry.outcome import Cause, Rule
from webhook.rules import pulls, secrets, size, texts
from webhook.rules.facts import Found, Judged, Shortage


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What of a review bounds its findings, besides the image itself."""

    is_template: bool = False
    controller_owned: bool = False
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one image, and what is done about it.

    ``doubt`` says why it is not denied though a policy would; ``source`` is the
    file and line of the policy that decided. ``exempt`` is the reason of the
    exemption that lets it through. ``shortage`` is the quota that it is about. ``detail``
    stands for the outcome's, where it is not empty.
    """

    cause: Cause
    action: Action
    judged: Judged
    field: str
    secret: str = ""
    doubt: str = ""
    source: str = ""
    exempt: str = ""
    shortage: Shortage | None = None
    detail: str = ""

    @property
    def rule(self) -> Rule:
        """Return the rule that the cause belongs to."""
        return self.cause.rule


def judge(
    judged: Judged,
    rules: Rules,
    circumstances: Circumstances,
    shared: Iterable[Found] = (),
) -> Iterator[Finding]:
    """Yield the findings of one image that a policy wants to hear of.

    ``shared`` is what was found of it together with the pod's other images.
    """
    for found in (*_all(judged, rules), *shared):
        finding = _weigh(found, judged, rules, circumstances)
        if finding.action is not Action.OFF:
            yield finding


def _all(judged: Judged, rules: Rules) -> Iterator[Found]:
    yield from pulls.findings(judged)
    yield from size.findings(judged, rules)
    yield from secrets.findings(judged)
    yield from texts.findings(judged, rules)


def _weigh(found: Found, judged: Judged, rules: Rules, at: Circumstances) -> Finding:
    setting = rules[found.cause.rule]
    wanted = setting.action.at_most(_most(rules, at)).at_most(found.most)
    doubt = found.doubt or _unmounted(found, judged)
    action = wanted if not doubt else wanted.at_most(Action.WARN)
    exempt = rules.exempt
    return Finding(
        cause=found.cause,
        action=action.at_most(Action.AUDIT) if exempt is not None else action,
        judged=judged,
        field=found.field or judged.use.field,
        secret=found.secret,
        doubt=doubt if wanted is Action.DENY else "",
        source=exempt.source if exempt is not None else setting.source,
        exempt=exempt.reason if exempt is not None else "",
        shortage=found.shortage,
        detail=found.detail,
    )


def _unmounted(found: Found, judged: Judged) -> str:
    """Say why a volume's image is warned of at most; a pull secret is the whole pod's."""
    if found.secret and found.cause is not Cause.SECRET_NO_ENTRY:
        return ""
    if judged.use.place is Place.VOLUME and not judged.use.mounted:
        return "no container mounts the volume, so it blocks nothing"
    return ""


def _most(rules: Rules, at: Circumstances) -> Action:
    most = Action.DENY
    if at.is_template:
        most = most.at_most(rules.at_most.templates)
    if at.controller_owned:
        most = most.at_most(rules.at_most.controller_owned)
    if at.unchanged:
        most = most.at_most(rules.at_most.unchanged)
    return most


def without_repeats(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Tell what images share once for all of them, as strictly as any image has it.

    That is what is wrong with one secret, and one quota that is too small.
    """
    kept: dict[tuple[Cause, str, Shortage | None, str], Finding] = {}
    for finding in findings:
        of_secret = finding.secret and finding.cause is not Cause.SECRET_NO_ENTRY
        once = of_secret or finding.shortage is not None
        image = "" if once else finding.judged.use.field
        key = (finding.cause, finding.secret, finding.shortage, image)
        before = kept.get(key)
        if before is None or before.action.weight < finding.action.weight:
            kept[key] = finding
    return tuple(kept.values())
