"""The last column of the rules' table: with its proof a cause is denied, without it warned of."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.unit.review_kit import (
    IMAGE,
    asked,
    broken_secret,
    docker_secret,
    judged_of,
    named,
    pod_of,
    rules_of,
    use_of,
)
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.credentials.secret import Secret
from webhook.images.workloads import Place, PullPolicy
from webhook.policy.action import Action
from webhook.policy.select import AtMostSetting, Exemption, Parameters
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull, Rule
from webhook.registry.settings import Vantage
from webhook.review.messages import warning
from webhook.rules.facts import Judged, Presence
from webhook.rules.judge import Circumstances, Finding, judge, without_repeats

DENY_ALL: Mapping[Rule, Action] = dict.fromkeys(
    [r for r in Rule if r not in (Rule.MUTABLE_TAG, Rule.ALWAYS_PULL, Rule.REGISTRY_NOT_ALLOWED)],
    Action.DENY,
)
NEVER_DENIED: list[Cause] = [
    cause
    for cause in Cause
    if cause.rule in (Rule.UNDECIDED, Rule.RATE_LIMITED, Rule.NEVER_PULLED)
    or cause in (Cause.BLOB_MISSING, Cause.PLATFORM_SOME)
]
NOT_FOUND: list[Cause] = [cause for cause in Cause if cause.rule is Rule.IMAGE_NOT_FOUND]
REFUSED: list[Cause] = [
    cause
    for cause in Cause
    if cause.rule is Rule.PULL_DENIED and cause is not Cause.CREDENTIAL_UNDECODABLE
]
NETWORK: list[Cause] = [
    cause for cause in Cause if cause.rule in NETWORK_RULES and cause.rule is not Rule.RATE_LIMITED
]
UNUSABLE: list[Cause] = [
    c for c in Cause if c.rule is Rule.IMAGE_UNUSABLE and c is not Cause.BLOB_MISSING
]


def finding_of(judged: Judged, circumstances: Circumstances | None = None) -> Finding:
    rules = rules_of({**DENY_ALL, Rule.REGISTRY_NOT_ALLOWED: Action.OFF})
    found = [
        finding
        for finding in judge(judged, rules, circumstances or Circumstances())
        if finding.cause is judged.outcome.cause
    ]
    assert len(found) == 1
    return found[0]


def failed(cause: Cause, pull: Pull = Pull.FAILS) -> Outcome:
    return Outcome(pull, cause, requests=(asked(401),), detail="")


def assert_doubted(finding: Finding, words: str) -> None:
    assert finding.action is Action.WARN
    assert words in finding.doubt
    assert words in warning(finding)


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED + UNUSABLE)
def test_what_the_registry_says_of_its_own_is_denied(cause: Cause) -> None:
    finding = finding_of(judged_of(failed(cause)))
    assert (finding.action, finding.doubt) == (Action.DENY, "")


@pytest.mark.parametrize("cause", [c for c in Cause if c.rule is Rule.INVALID_REFERENCE])
def test_the_grammar_needs_no_proof(cause: Cause) -> None:
    assert finding_of(judged_of(failed(cause))).action is Action.DENY


@pytest.mark.parametrize("cause", NEVER_DENIED)
def test_what_nobody_can_prove_is_never_denied(cause: Cause) -> None:
    for vantage in Vantage:
        finding = finding_of(judged_of(failed(cause), pod=pod_of(vantage=vantage)))
        assert finding.action is Action.WARN
        assert finding.doubt


@pytest.mark.parametrize("cause", NETWORK)
def test_a_networks_fault_is_proven_only_where_a_node_stands(cause: Cause) -> None:
    seen = finding_of(judged_of(failed(cause), pod=pod_of(vantage=Vantage.NODE)))
    assert seen.action is Action.DENY
    unseen = finding_of(judged_of(failed(cause, Pull.UNKNOWN), pod=pod_of(vantage=Vantage.POD)))
    assert_doubted(unseen, "the nodes may see the network differently")


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED)
def test_a_named_secret_that_is_not_there_takes_the_proof(cause: Cause) -> None:
    pod = pod_of(named("late", Absent()))
    finding = finding_of(judged_of(failed(cause), pod=pod))
    assert_doubted(finding, 'secret "late" is not there yet')


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED)
def test_an_account_that_is_not_there_takes_the_proof(cause: Cause) -> None:
    finding = finding_of(judged_of(failed(cause), pod=pod_of(account=Absent())))
    assert_doubted(finding, 'service account "default" is not there yet')


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED)
def test_a_secret_that_cannot_be_read_takes_the_proof(cause: Cause) -> None:
    unreadable = Unreadable(Cause.SECRET_UNREADABLE, "cannot read secret regcred: forbidden")
    finding = finding_of(judged_of(failed(cause), pod=pod_of(named("regcred", unreadable))))
    assert_doubted(finding, "cannot read secret regcred: forbidden")


@pytest.mark.parametrize("cause", [*NOT_FOUND, Cause.DENIED_OR_MISSING])
def test_a_refusal_without_a_challenge_needs_no_credential_to_have_been_tried(
    cause: Cause,
) -> None:
    outcome = replace(failed(cause), before_credentials=True)
    assert finding_of(judged_of(outcome)).action is Action.DENY


@pytest.mark.parametrize("cause", [*NOT_FOUND, Cause.DENIED_OR_MISSING])
def test_a_missing_secret_takes_the_proof_of_a_refusal_without_a_challenge_too(
    cause: Cause,
) -> None:
    outcome = replace(failed(cause), before_credentials=True)
    judged = judged_of(outcome, pod=pod_of(named("late", Absent())))
    assert_doubted(finding_of(judged), 'secret "late" is not there yet')


@pytest.mark.parametrize("cause", [*NOT_FOUND, *REFUSED, Cause.CREDENTIAL_UNDECODABLE])
def test_an_image_that_a_node_may_hold_is_not_denied(cause: Cause) -> None:
    judged = replace(judged_of(failed(cause)), presence=Presence(held_by=("node-7",)))
    assert_doubted(finding_of(judged), 'node "node-7" holds the image already')


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED)
def test_another_hosts_answer_proves_nothing_of_the_registry(cause: Cause) -> None:
    finding = finding_of(judged_of(replace(failed(cause), own_host=False)))
    assert_doubted(finding, "a host that the registry redirects to")


@pytest.mark.parametrize("cause", UNUSABLE)
def test_a_manifest_is_judged_wherever_the_registry_keeps_it(cause: Cause) -> None:
    finding = finding_of(judged_of(replace(failed(cause), own_host=False)))
    assert finding.action is Action.DENY


def test_an_undecodable_secret_breaks_the_pod_whatever_else_is_missing() -> None:
    pod = pod_of(named("bad", broken_secret("bad")), named("late", Absent()))
    finding = finding_of(judged_of(failed(Cause.CREDENTIAL_UNDECODABLE), pod=pod))
    assert finding.action is Action.DENY


@pytest.mark.parametrize("cause", NOT_FOUND + REFUSED)
def test_an_unknown_pull_is_never_denied(cause: Cause) -> None:
    finding = finding_of(judged_of(failed(cause, Pull.UNKNOWN)))
    assert_doubted(finding, "it could not be known")


@pytest.mark.parametrize("cause", [Cause.TAG_NOT_FOUND, Cause.REFERENCE_MALFORMED])
def test_a_volume_that_nobody_mounts_is_warned_of_at_most(cause: Cause) -> None:
    use = use_of(place=Place.VOLUME, mounted=False)
    assert_doubted(finding_of(judged_of(failed(cause), use)), "no container mounts the volume")
    mounted = use_of(place=Place.VOLUME, mounted=True)
    assert finding_of(judged_of(failed(cause), mounted)).action is Action.DENY


def test_a_policys_own_rules_spare_a_volume_that_nobody_mounts_too() -> None:
    rules = rules_of({Rule.MUTABLE_TAG: Action.DENY})
    use = use_of("ghcr.io/acme/app:latest", place=Place.VOLUME, mounted=False)
    judged = judged_of(Outcome(Pull.OK), use)
    (finding,) = judge(judged, rules, Circumstances())
    assert (finding.cause, finding.action) == (Cause.TAG_LATEST, Action.WARN)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (Absent(), Cause.SECRET_NOT_FOUND),
        (Secret("shop", "s", "Opaque", {}), Cause.SECRET_WRONG_TYPE),
        (Secret("shop", "s", "kubernetes.io/dockerconfigjson", {}), Cause.SECRET_MALFORMED),
    ],
)
def test_a_pull_secret_that_will_not_serve_is_told_at_its_field(
    state: Secret | Absent, cause: Cause
) -> None:
    secret = named("s", state)
    judged = judged_of(Outcome(Pull.OK), pod=pod_of(secret))
    (finding,) = judge(judged, rules_of(), Circumstances())
    assert (finding.cause, finding.action, finding.field) == (cause, Action.WARN, secret.field)
    (strict,) = judge(judged, rules_of({Rule.PULL_SECRET: Action.DENY}), Circumstances())
    assert strict.action is Action.DENY


def test_an_entry_is_missed_only_where_the_pull_failed_for_want_of_it() -> None:
    pod = pod_of(named("other", docker_secret("other", ["quay.io"])))

    def causes(outcome: Outcome) -> set[Cause]:
        return {f.cause for f in judge(judged_of(outcome, pod=pod), rules_of(), Circumstances())}

    assert causes(failed(Cause.CREDENTIALS_MISSING)) == {
        Cause.CREDENTIALS_MISSING,
        Cause.SECRET_NO_ENTRY,
    }
    assert causes(failed(Cause.TAG_NOT_FOUND)) == {Cause.TAG_NOT_FOUND}
    assert causes(Outcome(Pull.OK)) == set()


def test_an_account_that_is_not_there_is_told_once_for_all_images() -> None:
    pod = pod_of(account=Absent())
    uses = [use_of(path=f"spec.containers[{n}].image") for n in range(3)]
    rules = rules_of()
    findings = [
        f
        for use in uses
        for f in judge(judged_of(Outcome(Pull.OK), use, pod), rules, Circumstances())
    ]
    (finding,) = without_repeats(findings)
    assert finding.cause is Cause.SERVICE_ACCOUNT_NOT_FOUND
    assert finding.field == "spec.template.spec.serviceAccountName"


@pytest.mark.parametrize(
    ("image", "parameters", "cause"),
    [
        ("nginx", Parameters(), Cause.TAG_MISSING),
        ("nginx:latest", Parameters(), Cause.TAG_LATEST),
        ("nginx:1.27", Parameters(), None),
        ("nginx:main", Parameters(tags=("main", "*-snapshot")), Cause.TAG_MUTABLE),
        ("nginx:1-snapshot", Parameters(tags=("*-snapshot",)), Cause.TAG_MUTABLE),
        ("nginx:1.27", Parameters(require_digest=True), Cause.DIGEST_REQUIRED),
        ("nginx", Parameters(require_digest=True), Cause.TAG_MISSING),
        ("nginx:latest@sha256:" + "a" * 64, Parameters(require_digest=True), None),
    ],
)
def test_the_tag_decides_whether_it_may_move(
    image: str, parameters: Parameters, cause: Cause | None
) -> None:
    judged = judged_of(Outcome(Pull.OK), use_of(image))
    found = [f.cause for f in judge(judged, rules_of(None, parameters), Circumstances())]
    assert found == ([cause] if cause else [])


def test_always_and_allowed_registries_are_told_where_a_policy_asks() -> None:
    wanted = {Rule.ALWAYS_PULL: Action.WARN, Rule.REGISTRY_NOT_ALLOWED: Action.DENY}
    use = use_of(policy=PullPolicy.ALWAYS)
    judged = judged_of(Outcome(Pull.OK), use)
    found = {f.cause: f.action for f in judge(judged, rules_of(wanted), Circumstances())}
    assert found == {
        Cause.ALWAYS_PULL: Action.WARN,
        Cause.REGISTRY_NOT_ALLOWED: Action.DENY,
    }
    allowed = rules_of(wanted, Parameters(allow=("ghcr.io/acme/**",)))
    assert {f.cause for f in judge(judged, allowed, Circumstances())} == {Cause.ALWAYS_PULL}


@pytest.mark.parametrize(
    ("at", "at_most", "action"),
    [
        (Circumstances(unchanged=True), AtMostSetting(), Action.WARN),
        (Circumstances(controller_owned=True), AtMostSetting(), Action.WARN),
        (Circumstances(is_template=True), AtMostSetting(), Action.DENY),
        (Circumstances(is_template=True), AtMostSetting(templates=Action.WARN), Action.WARN),
        (Circumstances(unchanged=True), AtMostSetting(unchanged=Action.AUDIT), Action.AUDIT),
    ],
)
def test_circumstances_bound_what_is_done(
    at: Circumstances, at_most: AtMostSetting, action: Action
) -> None:
    rules = rules_of(at_most=at_most)
    (finding,) = judge(judged_of(failed(Cause.TAG_NOT_FOUND)), rules, at)
    assert finding.action is action


def test_an_exemption_leaves_the_audit_and_its_reason() -> None:
    rules = rules_of(exempt=Exemption("mirrored by hand", "prod.yaml:3"))
    (finding,) = judge(judged_of(failed(Cause.TAG_NOT_FOUND)), rules, Circumstances())
    assert (finding.action, finding.exempt) == (Action.AUDIT, "mirrored by hand")
    assert finding.source == "prod.yaml:3"


def test_a_rule_that_is_off_says_nothing() -> None:
    rules = rules_of({Rule.IMAGE_NOT_FOUND: Action.OFF})
    assert not list(judge(judged_of(failed(Cause.TAG_NOT_FOUND)), rules, Circumstances()))


def test_the_strictest_of_repeated_findings_is_kept() -> None:
    account = ServiceAccount("shop", "default", ("regcred",))
    pod = pod_of(named("regcred", Absent()), account=account)
    judged = judged_of(Outcome(Pull.OK), use_of(IMAGE), pod)
    (mild,) = judge(judged, rules_of(), Circumstances())
    (strict,) = judge(judged, rules_of({Rule.PULL_SECRET: Action.DENY}), Circumstances())
    assert without_repeats([mild, strict, mild]) == (strict,)
