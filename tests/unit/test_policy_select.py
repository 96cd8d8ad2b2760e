from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from webhook.policy.action import Action
from webhook.policy.files import BUILT_IN, PolicySet, load
from webhook.policy.select import BUILT_IN_SOURCE, DEFAULT_ACTIONS, Rules, rules_for
from webhook.registry.outcome import Rule

HEAD = "apiVersion: pullproof.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\nspec: "
TODAY = date(2027, 6, 30)


@pytest.fixture
def policies(tmp_path: Path) -> "Policies":
    return Policies(tmp_path / "p.yaml")


class Policies:
    def __init__(self, file: Path) -> None:
        self.file = file

    def of(self, *specs: str) -> PolicySet:
        self.file.write_text("---\n".join(f"{HEAD}{spec}\n" for spec in specs))
        result = load([self.file])
        assert isinstance(result, PolicySet), result
        return result


def ask(
    policy_set: PolicySet,
    *,
    namespace: str = "shop",
    labels: Mapping[str, str] | None = None,
    kind: str = "Pod",
    operation: str = "CREATE",
    image: str | None = "ghcr.io/acme/app:1",
    written: str = "ghcr.io/acme/app:1",
    today: date = TODAY,
) -> Rules:
    return rules_for(
        policy_set,
        namespace=namespace,
        namespace_labels=labels,
        kind=kind,
        operation=operation,
        image_name=image,
        written=written,
        today=today,
    )


def test_without_a_policy_the_defaults_hold() -> None:
    rules = ask(BUILT_IN)
    assert {rule: rules[rule].action for rule in Rule} == DEFAULT_ACTIONS
    assert rules[Rule.MUTABLE_TAG].source == BUILT_IN_SOURCE
    assert rules[Rule.MUTABLE_TAG].parameters.tags == ("latest",)
    assert rules.at_most.controller_owned is Action.WARN


def test_the_last_policy_that_matches_and_sets_a_rule_decides_it(policies: Policies) -> None:
    rules = ask(
        policies.of(
            "{rules: {undecided: deny, pull-secret: deny}}",
            "{rules: {undecided: audit}}",
            "{match: {namespaces: [other]}, rules: {undecided: off}}",
        )
    )
    assert rules[Rule.UNDECIDED].action is Action.AUDIT
    assert rules[Rule.UNDECIDED].source == f"{policies.file}:9"
    assert rules[Rule.PULL_SECRET].action is Action.DENY


def test_parameters_come_from_the_same_place_as_the_action(policies: Policies) -> None:
    rules = ask(
        policies.of(
            "{rules: {mutable-tag: {action: deny, tags: [main], requireDigest: true}}}",
            "{rules: {mutable-tag: warn, image-too-large: {action: warn, max: 4Gi},"
            ' registry-not-allowed: {action: deny, allow: ["ghcr.io/acme/**"]}}}',
        )
    )
    assert rules[Rule.MUTABLE_TAG].parameters.tags == ("latest",)
    assert not rules[Rule.MUTABLE_TAG].parameters.require_digest
    assert rules[Rule.IMAGE_TOO_LARGE].parameters.max_bytes == 4 * 1024**3
    allowed = rules[Rule.REGISTRY_NOT_ALLOWED].parameters
    assert allowed.allows("ghcr.io/acme/app:1")
    assert not allowed.allows("ghcr.io/other/app:1")


def test_tags_are_globs(policies: Policies) -> None:
    rules = ask(policies.of('{rules: {mutable-tag: {action: deny, tags: ["*-snapshot"]}}}'))
    parameters = rules[Rule.MUTABLE_TAG].parameters
    assert parameters.tag_is_mutable("1.2-snapshot")
    assert not parameters.tag_is_mutable("latest")


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ('{namespaces: ["sh*"]}', True),
        ('{namespaces: ["prod-*"]}', False),
        ('{namespaces: ["sh*"], excludedNamespaces: [shop]}', False),
        ("{kinds: [Deployment]}", False),
        ("{kinds: [Deployment, Pod]}", True),
        ("{operations: [UPDATE]}", False),
        ('{images: ["ghcr.io/acme/**"]}', True),
        ('{images: ["ghcr.io/acme/**"], kinds: [Job]}', False),
        ("{namespaceSelector: {matchLabels: {tier: production}}}", True),
        ("{namespaceSelector: {matchLabels: {tier: test}}}", False),
        ("{namespaceSelector: {}}", True),
        ("{namespaceSelector: {matchExpressions: [{key: tier, operator: Exists}]}}", True),
        ("{namespaceSelector: {matchExpressions: [{key: x, operator: DoesNotExist}]}}", True),
        (
            "{namespaceSelector: {matchExpressions: [{key: tier, operator: In, values: [a]}]}}",
            False,
        ),
        (
            "{namespaceSelector: {matchExpressions: [{key: x, operator: NotIn, values: [a]}]}}",
            True,
        ),
    ],
)
def test_all_that_a_match_gives_must_hold(policies: Policies, match: str, matches: bool) -> None:
    policy_set = policies.of(f"{{match: {match}, rules: {{undecided: audit}}}}")
    rules = ask(policy_set, labels={"tier": "production"})
    assert (rules[Rule.UNDECIDED].action is Action.AUDIT) == matches


def test_an_image_that_cannot_be_parsed_matches_only_everything(policies: Policies) -> None:
    some = policies.of('{match: {images: ["**/**"]}, rules: {undecided: off}}')
    assert ask(some, image=None)[Rule.UNDECIDED].action is Action.WARN
    every = policies.of('{match: {images: ["**"]}, rules: {undecided: off}}')
    assert ask(every, image=None)[Rule.UNDECIDED].action is Action.OFF


def test_unknown_labels_leave_the_mildest_that_may_hold(policies: Policies) -> None:
    selects = "{matchLabels: {tier: production}}"
    policy_set = policies.of(
        "{rules: {undecided: deny, pull-secret: audit}}",
        f"{{match: {{namespaceSelector: {selects}}},"
        " rules: {undecided: warn, pull-secret: deny}}",
    )
    assert policy_set.needs_namespace_labels
    rules = ask(policy_set, labels=None)
    assert rules[Rule.UNDECIDED].action is Action.WARN
    assert rules[Rule.PULL_SECRET].action is Action.AUDIT
    assert rules.uncertain == (f"{policies.file}:6",)
    assert ask(policy_set, labels={}).uncertain == ()


def test_unknown_labels_that_may_exempt_leave_warnings(policies: Policies) -> None:
    policy_set = policies.of(
        "{match: {namespaceSelector: {matchLabels: {a: b}}}, exempt: [{reason: ours}]}"
    )
    rules = ask(policy_set, labels=None)
    assert rules.exempt is None
    assert rules[Rule.IMAGE_NOT_FOUND].action is Action.WARN
    assert ask(policy_set, labels={"a": "b"}).exempt is not None


def test_the_last_limit_that_is_set_wins(policies: Policies) -> None:
    rules = ask(
        policies.of(
            "{atMost: {unchanged: deny, templates: warn}}", "{atMost: {controllerOwned: off}}"
        )
    )
    assert rules.at_most.unchanged is Action.DENY
    assert rules.at_most.controller_owned is Action.OFF
    assert rules.at_most.templates is Action.WARN


def test_an_exemption_holds_where_all_its_fields_hold(policies: Policies) -> None:
    policy_set = policies.of(
        '{exempt: [{written: ["auto*"], images: ["ghcr.io/acme/*"], reason: filled in}]}'
    )
    assert ask(policy_set, written="auto/x").exempt is not None
    assert ask(policy_set, written="other").exempt is None
    assert ask(policy_set, written="auto", image="ghcr.io/other/app").exempt is None


def test_an_exemption_tells_its_reason_and_its_place(policies: Policies) -> None:
    exempt = ask(policies.of("{exempt: [{reason: mirrored by hand}]}")).exempt
    assert exempt is not None
    assert (exempt.reason, exempt.source) == ("mirrored by hand", f"{policies.file}:4")


def test_an_exemption_holds_only_where_its_own_policy_matches(policies: Policies) -> None:
    policy_set = policies.of("{match: {kinds: [Job]}, exempt: [{reason: jobs}]}")
    assert ask(policy_set).exempt is None
    assert ask(policy_set, kind="Job").exempt is not None


def test_until_is_inclusive(policies: Policies) -> None:
    policy_set = policies.of("{exempt: [{reason: the move, until: 2027-06-30}]}")
    assert ask(policy_set, today=date(2027, 6, 30)).exempt is not None
    assert ask(policy_set, today=date(2027, 7, 1)).exempt is None
