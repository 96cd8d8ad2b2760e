"""Images that every node holds: the kubelet's records of who pulled them decide."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.unit.review_kit import (
    FIELD,
    FakeAsker,
    FakeView,
    Held,
    broken_secret,
    docker_secret,
    no_policies,
    use_of,
    workload,
)
from tests.unit.test_review_placed import node
from webhook.cluster.nodes import Nodes, node_of
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.credentials.keyring import Credential
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.images.platform import Platform
from webhook.images.workloads import PullPolicy
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.review.engine import Engine, Judgement, Workload
from webhook.review.messages import warning, words
from webhook.rules.pulls import KEPT_BACK

APP = "ghcr.io/acme/app:1.2"
HOLDS, EMPTY = node("a", images=(APP,)), node("b")
REFUSED = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING)
GONE = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)
REJECTED = Outcome(Pull.FAILS, Cause.CREDENTIALS_REJECTED, source="secret/regcred")
DOWN = Outcome(Pull.FAILS, Cause.REFUSED)
PUBLIC = Outcome(Pull.OK, digest="sha256:" + "a" * 64)
MATCHING = {"regcred": docker_secret("regcred")}
OTHER = {"regcred": docker_secret("regcred", ["quay.io"])}
BROKEN = {"regcred": broken_secret("regcred")}


def judge(
    outcome: Outcome,
    *nodes: Mapping[str, Any],
    secrets: Mapping[str, Secret | Unreadable] | None = None,
    policy: PullPolicy = PullPolicy.IF_NOT_PRESENT,
    held: Held | None = None,
    asker: FakeAsker | None = None,
    settings: RegistrySettings | None = None,
) -> Judgement:
    view = FakeView(
        secrets=dict(secrets or {}), accounts={"builder": ServiceAccount("shop", "builder", ())}
    )
    view.fleet = Nodes(tuple(map(node_of, nodes or (HOLDS,))))
    engine = Engine(
        no_policies(),
        settings or RegistrySettings(),
        view,
        asker or FakeAsker({APP: outcome}),
        held or Held(),
    )
    return engine.judge(subject(policy, secrets), Deadline.after(5), date(2026, 1, 1))


def subject(policy: PullPolicy, secrets: Mapping[str, Any] | None) -> Workload:
    return workload(use_of(APP, policy=policy), secrets=tuple(secrets or ()))


def told(judgement: Judgement) -> dict[Cause, Action]:
    return {f.cause: f.action for f in judgement.findings if f.cause is not Cause.SECRET_NO_ENTRY}


@pytest.mark.parametrize(
    ("outcome", "secrets", "action"),
    [
        (REFUSED, {}, Action.WARN),
        (REFUSED, OTHER, Action.WARN),
        (REJECTED, MATCHING, Action.AUDIT),
        (GONE, {}, Action.AUDIT),
        (GONE, MATCHING, Action.AUDIT),
        (DOWN, {}, Action.AUDIT),
    ],
)
def test_a_warning_is_due_exactly_if_anonymous_pulls_are_refused_and_no_credential_matches(
    outcome: Outcome, secrets: Mapping[str, Secret], action: Action
) -> None:
    """Where only the kubelet's pull records decide: a warning exactly if the registry refuses
    anonymous pulls and no credential of the pod matches."""
    judgement = judge(outcome, secrets=secrets)
    assert told(judgement) == {outcome.cause: action}
    assert judgement.images[0].outcome.pull is Pull.UNKNOWN


@pytest.mark.parametrize(("without", "action"), [(REFUSED, Action.WARN), (PUBLIC, Action.AUDIT)])
def test_an_undecodable_secret_matters_only_where_the_registry_wants_a_login(
    without: Outcome, action: Action
) -> None:
    """An image already there that needs no credential check still runs."""
    assert told(judge(without, secrets=BROKEN)) == {Cause.CREDENTIAL_UNDECODABLE: action}


def test_an_undecodable_secret_breaks_the_pod_where_one_node_has_yet_to_pull() -> None:
    asker = FakeAsker({APP: PUBLIC})
    judgement = judge(PUBLIC, HOLDS, EMPTY, secrets=BROKEN, asker=asker)
    assert told(judgement) == {Cause.CREDENTIAL_UNDECODABLE: Action.WARN}
    assert asker.questions == []


@pytest.mark.parametrize(
    ("without", "secrets", "expected"),
    [
        (REFUSED, {}, {Cause.NEVER_PULLED: Action.WARN}),
        (REFUSED, BROKEN, {Cause.NEVER_PULLED: Action.WARN}),
        (REFUSED, MATCHING, {}),
        (PUBLIC, {}, {}),
        (GONE, {}, {}),
    ],
)
def test_what_is_never_pulled_is_warned_of_where_another_login_may_have_pulled_it(
    without: Outcome, secrets: Mapping[str, Secret], expected: Mapping[Cause, Action]
) -> None:
    assert told(judge(without, secrets=secrets, policy=PullPolicy.NEVER)) == expected


def test_a_login_that_matches_is_not_sent_for_an_image_that_is_never_pulled() -> None:
    asker = FakeAsker({APP: REFUSED})
    judge(REFUSED, secrets=MATCHING, policy=PullPolicy.NEVER, asker=asker)
    assert asker.questions == []


def test_where_a_node_does_not_hold_it_a_failure_is_a_warning_whatever_matches() -> None:
    assert told(judge(REJECTED, HOLDS, EMPTY, secrets=MATCHING)) == {
        Cause.CREDENTIALS_REJECTED: Action.WARN
    }
    assert told(judge(GONE, HOLDS, EMPTY)) == {Cause.TAG_NOT_FOUND: Action.WARN}


def test_a_virtual_node_tells_nobody_what_it_holds() -> None:
    fargate = node("f", images=(APP,), labels={"eks.amazonaws.com/compute-type": "fargate"})
    assert told(judge(GONE, HOLDS, fargate)) == {Cause.TAG_NOT_FOUND: Action.WARN}


@pytest.mark.parametrize(
    ("version", "action"),
    [
        ("v1.37.0", Action.WARN),
        ("v1.35.0-rc.1", Action.WARN),
        ("v1.34.9-eks-1a2b3c", Action.AUDIT),
        ("v1.9.11", Action.AUDIT),
        ("unknown", Action.WARN),
        ("", Action.WARN),
    ],
)
def test_a_kubelet_before_1_35_lets_every_pod_have_what_its_node_holds(
    version: str, action: Action
) -> None:
    """KubeletEnsureSecretPulledImages: on by default from 1.35."""
    old = {**HOLDS, "status": {**HOLDS["status"]}}
    old["status"]["nodeInfo"] = {**HOLDS["status"]["nodeInfo"], "kubeletVersion": version}
    assert told(judge(REFUSED, old)) == {Cause.CREDENTIALS_MISSING: action}
    newer = {**HOLDS, "metadata": {**HOLDS["metadata"], "name": "newer"}}
    assert told(judge(REFUSED, old, newer)) == {Cause.CREDENTIALS_MISSING: Action.WARN}


def test_nodes_that_are_yet_to_come_hold_nothing() -> None:
    declared = RegistrySettings(platforms=(Platform("linux", "amd64"),))
    assert told(judge(GONE, settings=declared)) == {Cause.TAG_NOT_FOUND: Action.WARN}


def test_under_always_presence_never_counts() -> None:
    judgement = judge(GONE, policy=PullPolicy.ALWAYS)
    assert told(judgement) == {Cause.TAG_NOT_FOUND: Action.DENY}


def test_what_the_nodes_own_login_pulled_is_every_pods() -> None:
    """Pulled anonymously, with node credentials or a plugin's: every pod."""
    own = Credential("node/config.json", "ghcr.io", "node", "x")
    asker = FakeAsker({APP: PUBLIC})
    judgement = judge(PUBLIC, held=Held((own,)), policy=PullPolicy.NEVER, asker=asker)
    assert told(judgement) == {}
    assert [c.source for c in asker.questions[0].credentials] == ["node/config.json"]


def test_where_the_pods_credentials_are_not_known_it_is_undecided() -> None:
    unreadable = {"regcred": Unreadable(Cause.SECRET_UNREADABLE, "pullproof may not read it")}
    assert told(judge(REFUSED, secrets=unreadable)) == {Cause.SECRET_UNREADABLE: Action.WARN}


def test_a_single_manifest_for_others_is_no_denial_where_a_node_holds_something_of_its_name() -> (
    None
):
    foreign = replace(
        PUBLIC,
        platforms=("linux/arm64",),
        judged_for=("linux/amd64",),
        unserved=("linux/amd64",),
    )
    assert told(judge(foreign, EMPTY)) == {Cause.PLATFORM_NONE: Action.DENY}
    assert told(judge(foreign, HOLDS)) == {Cause.PLATFORM_NONE: Action.WARN}


def test_it_is_said_what_the_nodes_may_do() -> None:
    (finding, *_) = judge(REFUSED).findings
    assert finding.doubt == KEPT_BACK
    assert warning(finding) == (
        f"{FIELD} {APP}: needs a login, and the pod has none for it; "
        f"not certain: {KEPT_BACK}; name a pull secret for it [PP-201]"
    )
    (finding, *_) = judge(REFUSED, policy=PullPolicy.NEVER).findings
    assert warning(finding) == (
        f"{FIELD} {APP}: imagePullPolicy is Never, and nodes keep from it what another pod's "
        "login pulled; name a pull secret for it [PP-811]"
    )
    said = words(finding)
    assert said.what == (
        "imagePullPolicy is Never, and ghcr.io wants a login that the pod has not: the kubelet "
        "starts the image that the nodes hold unless another pod's login pulled it"
    )
    assert said.mend.startswith("write spec.imagePullSecrets: [{name: ")
