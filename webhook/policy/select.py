"""What the policies say of one image: pure, over a set of policies that was loaded.

Labels of a namespace may be unknown. A policy that selects by them is then one
that *may* match: of all that may decide a rule the mildest action is taken, and an
exemption that may hold turns denials into warnings. A denial needs proof.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType

from webhook.policy.action import Action
from webhook.policy.files import Policy, PolicySet
from webhook.policy.glob import EVERYTHING, image_matches, text_matches
from webhook.policy.model import (
    Exempt,
    ImageTooLarge,
    LabelExpression,
    LabelSelector,
    Match,
    MutableTag,
    RegistryNotAllowed,
    RuleSetting,
)
from webhook.policy.text import quantity_bytes
from webhook.registry.outcome import Rule

BUILT_IN_SOURCE = "built-in"

DEFAULT_ACTIONS: Mapping[Rule, Action] = MappingProxyType(
    {
        Rule.INVALID_REFERENCE: Action.DENY,
        Rule.IMAGE_NOT_FOUND: Action.DENY,
        Rule.PULL_DENIED: Action.DENY,
        Rule.IMAGE_UNUSABLE: Action.DENY,
        Rule.PLATFORM_MISMATCH: Action.DENY,
        Rule.REGISTRY_MISSPELLED: Action.DENY,
        Rule.REGISTRY_NOT_FOUND: Action.WARN,
        Rule.REGISTRY_UNAVAILABLE: Action.WARN,
        Rule.REGISTRY_UNTRUSTED: Action.WARN,
        Rule.RATE_LIMITED: Action.WARN,
        Rule.UNDECIDED: Action.WARN,
        Rule.PULL_SECRET: Action.WARN,
        Rule.CREDENTIAL_EXPIRING: Action.WARN,
        Rule.MUTABLE_TAG: Action.WARN,
        Rule.NEVER_PULLED: Action.WARN,
        Rule.ALWAYS_PULL: Action.OFF,
        Rule.TAG_DRIFT: Action.AUDIT,
        Rule.IMAGE_TOO_LARGE: Action.OFF,
        Rule.REGISTRY_NOT_ALLOWED: Action.OFF,
    }
)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of the rules that have some; each rule reads its own.

    ``tags`` and ``require_digest`` are mutable-tag's, ``max_bytes`` is
    image-too-large's (None: no limit), ``allow`` is registry-not-allowed's.
    """

    tags: tuple[str, ...] = ("latest",)
    require_digest: bool = False
    max_bytes: int | None = None
    allow: tuple[str, ...] = ()

    def tag_is_mutable(self, tag: str) -> bool:
        """Tell whether one of the globs of mutable-tag matches ``tag``."""
        return any(text_matches(pattern, tag) for pattern in self.tags)

    def allows(self, image_name: str) -> bool:
        """Tell whether registry-not-allowed lets a normalised name through."""
        return any(image_matches(pattern, image_name) for pattern in self.allow)


@dataclass(frozen=True, slots=True)
class Setting:
    """What decides one rule: ``source`` is ``file:line`` or :data:`BUILT_IN_SOURCE`."""

    action: Action
    parameters: Parameters = Parameters()
    source: str = BUILT_IN_SOURCE


@dataclass(frozen=True, slots=True)
class AtMostSetting:
    """The most that findings can get on unchanged images, controllers' Pods, templates."""

    unchanged: Action = Action.WARN
    controller_owned: Action = Action.WARN
    templates: Action = Action.DENY


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why an image is let through whatever is found; ``source`` is ``file:line``."""

    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one image.

    ``uncertain`` names, as ``file:line``, the policies that may or may not match,
    since the namespace's labels were not known.
    """

    settings: Mapping[Rule, Setting]
    at_most: AtMostSetting = AtMostSetting()
    exempt: Exemption | None = None
    uncertain: tuple[str, ...] = ()

    def __getitem__(self, rule: Rule) -> Setting:
        return self.settings[rule]


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that is asked about, and where it stands.

    ``namespace_labels`` is None where they are not known; ``image_name`` is the
    normalised name, None where the reference cannot be parsed; ``written`` is the
    text of the manifest.
    """

    namespace: str
    namespace_labels: Mapping[str, str] | None
    kind: str
    operation: str
    image_name: str | None
    written: str


def rules_for(
    policy_set: PolicySet,
    *,
    namespace: str,
    namespace_labels: Mapping[str, str] | None,
    kind: str,
    operation: str,
    image_name: str | None,
    written: str,
    today: date,
) -> Rules:
    """Return what the policies say of one image; ``today`` is the day in UTC.

    The last policy that matches and sets a rule decides that rule and its
    parameters. An exemption holds where its own policy matches, and then wins.
    """
    subject = Subject(namespace, namespace_labels, kind, operation, image_name, written)
    judged = [(policy, policy_matches(policy, subject)) for policy in policy_set.policies]
    candidates = [(policy, matches) for policy, matches in judged if matches is not False]
    settings = {rule: _setting(rule, candidates) for rule in Rule}
    exempt, may_be_exempt = _exemption(candidates, subject, today)
    if exempt is None and may_be_exempt:
        settings = {
            rule: replace(setting, action=setting.action.at_most(Action.WARN))
            for rule, setting in settings.items()
        }
    return Rules(
        settings=settings,
        at_most=_at_most(candidates),
        exempt=exempt,
        uncertain=tuple(_place(policy) for policy, matches in candidates if matches is None),
    )


Candidates = Sequence[tuple[Policy, bool | None]]


def _place(policy: Policy) -> str:
    return f"{policy.file}:{policy.line}"


def _setting(rule: Rule, candidates: Candidates) -> Setting:
    mildest: Setting | None = None
    for policy, matches in reversed(candidates):
        model = policy.model.spec.rules.of(rule)
        if model is None:
            continue
        setting = Setting(model.action, _parameters(model), policy.source(rule))
        mildest = _milder(mildest, setting)
        if matches:
            return mildest
    return _milder(mildest, Setting(DEFAULT_ACTIONS[rule]))


def _milder(later: Setting | None, earlier: Setting) -> Setting:
    if later is None or earlier.action.weight < later.action.weight:
        return earlier
    return later


def _parameters(model: RuleSetting) -> Parameters:
    if isinstance(model, MutableTag):
        return Parameters(tags=model.tags, require_digest=model.require_digest)
    if isinstance(model, ImageTooLarge) and model.max is not None:
        return Parameters(max_bytes=quantity_bytes(model.max))
    if isinstance(model, RegistryNotAllowed):
        return Parameters(allow=model.allow)
    return Parameters()


def _at_most(candidates: Candidates) -> AtMostSetting:
    result = AtMostSetting()
    for policy, matches in candidates:
        given = policy.model.spec.at_most
        owned = Action(given.controller_owned) if given.controller_owned is not None else None
        result = AtMostSetting(
            unchanged=_limit(result.unchanged, given.unchanged, matches),
            controller_owned=_limit(result.controller_owned, owned, matches),
            templates=_limit(result.templates, given.templates, matches),
        )
    return result


def _limit(before: Action, given: Action | None, matches: bool | None) -> Action:
    if given is None:
        return before
    return given if matches else before.at_most(given)


def _exemption(
    candidates: Candidates, subject: Subject, today: date
) -> tuple[Exemption | None, bool]:
    may_hold = False
    for policy, matches in candidates:
        for exempt, line in zip(policy.model.spec.exempt, policy.exempt_lines, strict=True):
            if not _exempts(exempt, subject, today):
                continue
            if matches:
                return Exemption(exempt.reason, f"{policy.file}:{line}"), False
            may_hold = True
    return None, may_hold


def _exempts(exempt: Exempt, subject: Subject, today: date) -> bool:
    if exempt.until is not None and today > exempt.until:
        return False
    if exempt.written is not None and not _any_text(exempt.written, subject.written):
        return False
    return exempt.images is None or _any_image(exempt.images, subject.image_name)


def policy_matches(policy: Policy, subject: Subject) -> bool | None:
    """Tell whether a policy matches; None where only unknown labels could tell."""
    match = policy.model.spec.match
    if not all(_facts(match, subject)):
        return False
    if match.namespace_selector is None:
        return True
    if subject.namespace_labels is None:
        return None
    return _selects(match.namespace_selector, subject.namespace_labels)


def _facts(match: Match, subject: Subject) -> Iterator[bool]:
    yield match.namespaces is None or _any_text(match.namespaces, subject.namespace)
    yield not _any_text(match.excluded_namespaces, subject.namespace)
    yield match.kinds is None or subject.kind in match.kinds
    yield match.operations is None or subject.operation in match.operations
    yield match.images is None or _any_image(match.images, subject.image_name)


def _any_text(patterns: tuple[str, ...], text: str) -> bool:
    return any(text_matches(pattern, text) for pattern in patterns)


def _any_image(patterns: tuple[str, ...], name: str | None) -> bool:
    if name is None:
        return EVERYTHING in patterns
    return any(image_matches(pattern, name) for pattern in patterns)


def _selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _expression_holds(expression, labels) for expression in selector.match_expressions
    )


def _expression_holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.key)
    if expression.operator == "Exists":
        return value is not None
    if expression.operator == "DoesNotExist":
        return value is None
    return (value in expression.values) == (expression.operator == "In")
