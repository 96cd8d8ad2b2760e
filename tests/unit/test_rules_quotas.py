"""Whether a quota is enough for a rollout: the counting, and the finding through the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.review_kit import (
    FakeAsker,
    FakeView,
    docker_secret,
    judged_of,
    no_policies,
    pod_of,
    use_of,
)
from tests.unit.test_review_placed import node
from webhook.cluster.nodes import Nodes, node_of
from webhook.cluster.scheduling import ANYWHERE, Eligible, eligible
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.deadline import Deadline
from webhook.images.rollout import Rollout
from webhook.images.workloads import ImageUse, PodInputs, PullPolicy
from webhook.policy.action import Action
from webhook.policy.files import PolicySet, load
from webhook.registry.outcome import Cause, Outcome, Pull, Rule
from webhook.registry.quota import Quota
from webhook.registry.settings import RegistrySettings
from webhook.review.decision import decide
from webhook.review.engine import Engine, Judgement, Workload
from webhook.review.messages import warning
from webhook.rules.facts import Judged, PulledBy, Shortage
from webhook.rules.quotas import pulls_of, shortages

A, B = "ghcr.io/acme/a:1", "ghcr.io/acme/b:1"
FARGATE = {"eks.amazonaws.com/compute-type": "fargate"}
DOWN = Unreadable(Cause.CLUSTER_UNAVAILABLE, "the nodes are not known yet")
DAEMON = Rollout(1, per_node=True)


def left(remaining: int, host: str = "ghcr.io", user: str = "") -> Outcome:
    return Outcome(Pull.OK, quota=Quota(remaining, 100, 21600, host, user))


def fleet(count: int, *, holding: Mapping[str, int] | None = None, virtual: int = 0) -> Eligible:
    """Return nodes of which the first so many list an image, and virtual ones beside them."""
    nodes = [
        node(f"n{n}", images=[name for name, many in (holding or {}).items() if n < many])
        for n in range(count)
    ]
    nodes += [node(f"v{n}", labels=FARGATE) for n in range(virtual)]
    return eligible(Nodes(tuple(map(node_of, nodes))), ANYWHERE)


def judged(
    image: str,
    outcome: Outcome,
    nodes: Eligible | Unreadable | None = None,
    *,
    number: int = 0,
    policy: PullPolicy | None = None,
) -> Judged:
    use = use_of(image, policy=policy, path=f"spec.containers[{number}].image")
    return judged_of(outcome, use, replace(pod_of(), eligible=nodes))


def shortage_of(rollout: Rollout, *images: Judged) -> Shortage | None:
    """Return the one shortage, or none."""
    found = set(shortages(images, rollout).values())
    assert len(found) <= 1
    return found.pop().shortage if found else None


# -- what one image takes ------------------------------------------------------------------


@given(
    pods=st.integers(0, 40),
    nodes=st.integers(1, 12),
    holding=st.integers(0, 12),
    policy=st.sampled_from(PullPolicy),
    daemon=st.booleans(),
)
def test_an_image_is_pulled_by_nodes_not_by_replicas(
    pods: int, nodes: int, holding: int, policy: PullPolicy, *, daemon: bool
) -> None:
    """ "min(replicas + surge, eligible nodes) x images, a DaemonSet one a node"."""
    rollout = DAEMON if daemon else Rollout(pods)
    image = judged(A, left(1), fleet(nodes, holding={A: holding}), policy=policy)
    pulling = {
        PullPolicy.NEVER: 0,
        PullPolicy.ALWAYS: nodes,
        PullPolicy.IF_NOT_PRESENT: max(0, nodes - holding),
    }[policy]
    assert pulls_of(image, rollout) == (pulling if daemon else min(pods, pulling))


@given(pods=st.integers(0, 40), nodes=st.integers(0, 5), virtual=st.integers(1, 3))
def test_each_pod_pulls_for_itself_where_a_virtual_node_may_run_it(
    pods: int, nodes: int, virtual: int
) -> None:
    some = fleet(nodes, holding={A: nodes}, virtual=virtual)
    assert pulls_of(judged(A, left(1), some), Rollout(pods)) == pods
    assert pulls_of(judged(A, left(1), some), DAEMON) == virtual


@pytest.mark.parametrize("nodes", [None, DOWN, eligible(Nodes(), ANYWHERE)])
def test_where_no_node_is_known_each_pod_may_get_one_of_its_own(
    nodes: Eligible | Unreadable | None,
) -> None:
    assert pulls_of(judged(A, left(1), nodes), Rollout(7)) == 7
    assert pulls_of(judged(A, left(1), nodes), DAEMON) == 1


def test_where_no_node_may_run_it_nothing_is_pulled_yet() -> None:
    nobody = eligible(
        Nodes((node_of(node("a")),)), replace(ANYWHERE, node_selector=(("pool", "gone"),))
    )
    assert pulls_of(judged(A, left(0), nobody), Rollout(7)) == 0
    assert shortage_of(Rollout(7), judged(A, left(0), nobody)) is None


# -- what the images of a pod take together --------------------------------------------------


@given(
    pods=st.integers(0, 9),
    nodes=st.integers(1, 9),
    images=st.lists(
        st.tuples(
            st.sampled_from([A, B, "ghcr.io/acme/c:1"]),
            st.sampled_from(PullPolicy),
            st.integers(0, 30),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_too_small_is_what_is_left_less_than_the_sum_over_distinct_images(
    pods: int, nodes: int, images: Sequence[tuple[str, PullPolicy, int]]
) -> None:
    """ "What is left is less than the pulls that this rollout starts"."""
    some = fleet(nodes, holding={A: 3})
    rollout = Rollout(pods)
    all_of_them = [
        judged(name, left(number), some, number=place, policy=policy)
        for place, (name, policy, number) in enumerate(images)
    ]
    each: dict[str, int] = {}
    for name, policy, _ in images:
        there = 3 if name == A and policy is PullPolicy.IF_NOT_PRESENT else 0
        here = 0 if policy is PullPolicy.NEVER else min(pods, max(0, nodes - there))
        each[name] = max(each.get(name, 0), here)
    least = min(number for _, _, number in images)
    shortage = shortage_of(rollout, *all_of_them)
    if least >= sum(each.values()):
        assert shortage is None
        return
    assert shortage == Shortage(
        Quota(least, 100, 21600, "ghcr.io"),
        sum(each.values()),
        sum(1 for count in each.values() if count),
        max(each.values()),
        PulledBy.NODE,
    )


def test_as_much_as_is_needed_is_enough() -> None:
    some = fleet(5)
    assert shortage_of(Rollout(9), judged(A, left(5), some)) is None
    assert shortage_of(Rollout(9), judged(A, left(4), some)) is not None


def test_an_image_that_two_containers_use_is_pulled_once() -> None:
    once = "docker.io/library/nginx:1", "nginx:1"
    images = [judged(name, left(5), fleet(5), number=n) for n, name in enumerate(once)]
    assert shortage_of(Rollout(5), *images) is None


def test_each_host_counts_for_itself_and_for_each_user() -> None:
    some = fleet(3)
    images = [
        judged(A, left(3), some, number=0),
        judged(B, left(3, user="bot"), some, number=1),
        judged("ghcr.io/acme/c:1", left(3, host="mirror.corp"), some, number=2),
        judged("ghcr.io/acme/d:1", left(5, user="amy"), some, number=3),
        judged("ghcr.io/acme/e:1", left(6, user="amy"), some, number=4),
    ]
    found = shortages(images, Rollout(3))
    assert {use.written for use in found} == {"ghcr.io/acme/d:1", "ghcr.io/acme/e:1"}
    (told,) = {found.shortage for found in found.values()}
    assert told == Shortage(Quota(5, 100, 21600, "ghcr.io", "amy"), 6, 2, 3, PulledBy.NODE)


@pytest.mark.parametrize(
    ("rollout", "nodes", "by"),
    [
        (Rollout(3), fleet(2), PulledBy.NODE),
        (Rollout(3), fleet(2, virtual=1), PulledBy.POD),
        (Rollout(3), DOWN, PulledBy.POD),
        (DAEMON, fleet(2), PulledBy.NODE),
        (DAEMON, fleet(2, virtual=1), PulledBy.NODE),
        (DAEMON, None, PulledBy.EVERY_NODE),
    ],
)
def test_it_is_said_by_what_the_pulls_are_counted(
    rollout: Rollout, nodes: Eligible | Unreadable | None, by: PulledBy
) -> None:
    shortage = shortage_of(rollout, judged(A, left(0), nodes))
    assert shortage is not None
    assert shortage.by is by


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (left(0), True),
        (replace(left(0), pull=Pull.UNKNOWN, cause=Cause.PLATFORM_SOME), True),
        (left(0).unknown(Cause.RUNTIME_UNKNOWN, ""), True),
        (left(0).unknown(Cause.SECRET_UNREADABLE, ""), False),
        (left(0).unknown(Cause.TOO_MANY_REQUESTS, ""), False),
        (replace(left(0), pull=Pull.FAILS, cause=Cause.MANIFEST_MALFORMED), False),
        (replace(left(0), pull=Pull.FAILS, cause=Cause.PLATFORM_NONE), False),
        (Outcome(Pull.OK), False),
    ],
)
def test_only_an_image_that_will_be_pulled_by_whom_it_was_told_to_counts(
    outcome: Outcome, *, counts: bool
) -> None:
    assert (shortage_of(Rollout(1), judged(A, outcome, fleet(1))) is not None) is counts


# -- through the engine ----------------------------------------------------------------------


def engine_of(
    answers: Mapping[str, Outcome], *nodes: Mapping[str, Any], policies: PolicySet | None = None
) -> Engine:
    view = FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())})
    view.secrets["regcred"] = docker_secret("regcred")
    view.fleet = Nodes(tuple(map(node_of, nodes)))
    asker = FakeAsker(dict(answers))
    return Engine(policies or no_policies(), RegistrySettings(), view, asker)


def deployment(*images: ImageUse | str, pods: int = 10) -> Workload:
    uses = [
        image
        if isinstance(image, ImageUse)
        else use_of(image, path=f"spec.template.spec.containers[{n}].image")
        for n, image in enumerate(images)
    ]
    inputs = PodInputs((), "builder", tuple(uses), rollout=Rollout(pods))
    return Workload("shop", "Deployment", "web", inputs, spec_field="spec.template.spec")


def judge(engine: Engine, workload: Workload) -> Judgement:
    return engine.judge(workload, Deadline.after(5), date(2026, 1, 1))


FIVE = tuple(node(f"n{n}") for n in range(5))


def test_one_finding_for_a_quota_stands_at_its_first_image() -> None:
    engine = engine_of({A: left(3), B: left(4)}, *FIVE)
    judgement = judge(engine, deployment("ghcr.io/acme/free:1", A, B))
    (finding,) = judgement.findings
    assert (finding.cause, finding.action) == (Cause.QUOTA_TOO_SMALL, Action.WARN)
    assert finding.field == "spec.template.spec.containers[1].image"
    assert warning(finding) == (
        f"spec.template.spec.containers[1].image {A}: ghcr.io has 3 anonymous pulls left, and "
        "this rollout starts up to 10 (2 images on 5 nodes); log in, or use a mirror [PP-542]"
    )
    decision = decide(judgement)
    assert (decision.verdict, decision.message) == ("warn", "")
    assert [image.outcome.pull for image in judgement.images] == [Pull.OK] * 3


def test_it_asks_nobody_anything_more() -> None:
    engine = engine_of({A: left(3), B: left(4)}, *FIVE)
    judge(engine, deployment(A, B))
    assert isinstance(engine.asker, FakeAsker)
    assert engine.asker.calls == [((A, B), False)]


def policies(tmp_path: Any, spec: str) -> PolicySet:
    file = tmp_path / "policy.yaml"
    head = "apiVersion: pullproof.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\n"
    file.write_text(head + spec)
    loaded = load([file])
    assert isinstance(loaded, PolicySet), loaded
    return loaded


def test_it_is_never_denied_and_says_why_where_a_policy_wants_it(tmp_path: Any) -> None:
    denying = policies(tmp_path, "spec: {rules: {rate-limited: deny}}\n")
    engine = engine_of({A: left(3)}, *FIVE, policies=denying)
    (finding,) = judge(engine, deployment(A)).findings
    assert finding.action is Action.WARN
    assert "; not certain: more may be left when the nodes pull; " in warning(finding)


@pytest.mark.parametrize(
    "spec",
    [
        'spec: {match: {images: ["ghcr.io/acme/a"]}, rules: {rate-limited: "off"}}\n',
        'spec: {match: {images: ["ghcr.io/acme/a"]}, rules: {rate-limited: audit}}\n',
        'spec: {exempt: [{images: ["ghcr.io/acme/a"], reason: known, until: 2027-01-01}]}\n',
    ],
)
def test_it_stands_at_the_first_image_whose_policy_wants_to_hear_of_it(
    tmp_path: Any, spec: str
) -> None:
    """What is pulled of the first image still counts: it is pulled whatever a policy says."""
    engine = engine_of({A: left(9), B: left(9)}, *FIVE, policies=policies(tmp_path, spec))
    (finding,) = judge(engine, deployment(A, B)).findings
    assert (finding.rule, finding.action) == (Rule.RATE_LIMITED, Action.WARN)
    assert finding.judged.use.written == B
    assert finding.shortage is not None
    assert finding.shortage.pulls == 10


def test_the_nodes_that_list_an_image_do_not_pull_it() -> None:
    holders = [node(f"h{n}", images=[A]) for n in range(4)]
    engine = engine_of({A: left(1)}, *holders, node("n"))
    assert judge(engine, deployment(A)).findings == ()
    always = use_of(A, policy=PullPolicy.ALWAYS)
    causes = [f.cause for f in judge(engine, deployment(always)).findings]
    assert causes == [Cause.QUOTA_TOO_SMALL]


def test_a_pod_that_runs_pulls_what_is_new_alone() -> None:
    before = replace(deployment(A, pods=1), kind="Pod")
    after = replace(deployment(A, B, pods=1), kind="Pod", operation="UPDATE", before=before.inputs)
    enough, short = (engine_of({A: left(n), B: left(n)}, *FIVE) for n in (1, 0))
    assert judge(enough, after).findings == ()
    (finding,) = judge(short, after).findings
    assert finding.judged.use.written == B
    # A new pod of a Deployment may come to a node that has neither.
    rolled = replace(after, kind="Deployment")
    (finding,) = judge(enough, rolled).findings
    assert finding.shortage is not None
    assert finding.shortage.pulls == 2


def test_a_template_that_did_not_change_is_not_judged() -> None:
    engine = engine_of({A: left(0)}, *FIVE)
    assert judge(engine, replace(deployment(A), template_unchanged=True)).findings == ()
