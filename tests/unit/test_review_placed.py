"""What the nodes that a pod may run on make of its images: the engine over a fleet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.unit.review_kit import (
    FakeAsker,
    FakeView,
    Held,
    docker_secret,
    no_policies,
    use_of,
    workload,
)
from webhook.cluster.nodes import IMAGE_LIST_CAP, Nodes, node_of
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.credentials.keyring import Credential
from webhook.credentials.node import NodeCause, Undecided
from webhook.deadline import Deadline
from webhook.images.placement import Placement
from webhook.images.platform import Platform
from webhook.images.workloads import Place, PullPolicy
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.review.engine import Engine, Judgement, Workload
from webhook.review.messages import warning, words

APP = "ghcr.io/acme/app:1.2"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
NONE = Outcome(
    Pull.FAILS,
    Cause.PLATFORM_NONE,
    platforms=("linux/s390x",),
    judged_for=("linux/amd64",),
    unserved=("linux/amd64",),
)


def node(name: str, arch: str = "amd64", **more: Any) -> Mapping[str, Any]:
    labels = {"kubernetes.io/arch": arch, "kubernetes.io/os": "linux", **more.get("labels", {})}
    info = {
        "architecture": arch,
        "operatingSystem": "linux",
        "containerRuntimeVersion": more.get("runtime", "containerd://2.4.2"),
    }
    images = [{"names": [image], "sizeBytes": 1} for image in more.get("images", ())]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": more.get("taints", [])},
        "status": {"nodeInfo": info, "images": images},
    }


@dataclass
class Asked:
    judgement: Judgement
    asker: FakeAsker

    @property
    def causes(self) -> Mapping[Cause, Action]:
        return {finding.cause: finding.action for finding in self.judgement.findings}

    @property
    def outcome(self) -> Outcome:
        return self.judgement.images[0].outcome

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(map(str, self.asker.questions[0].platforms))


def judge(
    *nodes: Mapping[str, Any],
    outcome: Outcome | None = None,
    subject: Workload | None = None,
    settings: RegistrySettings | None = None,
    held: Held | None = None,
    unreadable: Unreadable | None = None,
) -> Asked:
    view = FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())})
    view.fleet = unreadable or Nodes(tuple(map(node_of, nodes)))
    asker = FakeAsker({APP: outcome} if outcome is not None else {})
    engine = Engine(no_policies(), settings or RegistrySettings(), view, asker, held or Held())
    subject = subject or workload(APP)
    return Asked(engine.judge(subject, Deadline.after(5), date(2026, 1, 1)), asker)


def placed(**placement: Any) -> Workload:
    subject = workload(APP)
    return replace(subject, inputs=replace(subject.inputs, placement=Placement(**placement)))


def test_an_image_is_judged_for_the_platforms_of_the_nodes_that_the_pod_may_run_on() -> None:
    fleet = node("a"), node("b", "arm64"), node("c", "arm64")
    assert judge(*fleet).platforms == ("linux/amd64", "linux/arm64")
    arm = placed(node_selector=(("kubernetes.io/arch", "arm64"),))
    assert judge(*fleet, subject=arm).platforms == ("linux/arm64",)
    assert judge().platforms == ()


def test_declared_platforms_come_beside_those_of_nodes_and_a_flag_replaces_both() -> None:
    declared = RegistrySettings(platforms=(ARM64,))
    assert judge(node("a"), settings=declared).platforms == ("linux/amd64", "linux/arm64")
    flagged = RegistrySettings(platforms=(ARM64,), only_platforms=(Platform("linux", "s390x"),))
    assert judge(node("a"), settings=flagged).platforms == ("linux/s390x",)


def test_none_served_is_a_denial_that_tells_counts_and_labels() -> None:
    asked = judge(node("a"), node("b"), outcome=NONE)
    assert asked.causes == {Cause.PLATFORM_NONE: Action.DENY}
    told = "not for linux/amd64 (2 nodes with kubernetes.io/arch=amd64)"
    assert asked.outcome.detail == f"it is for linux/s390x, {told}"


@pytest.mark.parametrize(
    ("nodes", "subject", "settings", "doubt"),
    [
        ((), None, None, "no node is known"),
        (
            (node("a"),),
            placed(node_selector=(("pool", "gone"),)),
            None,
            "no node that is known may run it",
        ),
        (
            (node("a"), {"metadata": {"name": "bare"}}),
            None,
            None,
            "not every node tells its platform",
        ),
    ],
)
def test_without_a_node_that_may_run_it_none_served_is_no_proof(
    nodes: tuple[Mapping[str, Any], ...],
    subject: Workload | None,
    settings: RegistrySettings | None,
    doubt: str,
) -> None:
    asked = judge(*nodes, outcome=NONE, subject=subject, settings=settings)
    assert asked.causes == {Cause.PLATFORM_NONE: Action.WARN}
    assert asked.judgement.findings[0].doubt == doubt


def test_the_platforms_of_nodes_that_are_not_known_prove_nothing() -> None:
    unreadable = Unreadable(Cause.CLUSTER_UNAVAILABLE, "nodes are not listed yet")
    foreign = replace(NONE, pull=Pull.OK, cause=None)
    asked = judge(outcome=foreign, unreadable=unreadable)
    assert asked.causes == {Cause.PLATFORM_NONE: Action.WARN}
    assert asked.judgement.findings[0].doubt == unreadable.why


def test_some_served_names_those_that_are_not_by_count_and_label() -> None:
    some = Outcome(
        Pull.UNKNOWN,
        Cause.PLATFORM_SOME,
        platforms=("linux/amd64",),
        judged_for=("linux/amd64", "linux/arm64"),
        unserved=("linux/arm64",),
    )
    asked = judge(node("a"), node("b", "arm64"), node("c", "arm64"), outcome=some)
    told = "it is for linux/amd64, not for linux/arm64 (2 nodes with kubernetes.io/arch=arm64)"
    assert asked.outcome.detail == told
    declared = RegistrySettings(platforms=(ARM64,))
    scaled = judge(node("a"), outcome=some, settings=declared)
    assert scaled.outcome.detail == "it is for linux/amd64, not for linux/arm64"


def test_some_served_is_a_warning() -> None:
    some = replace(
        NONE,
        pull=Pull.UNKNOWN,
        cause=Cause.PLATFORM_SOME,
        judged_for=("linux/amd64", "linux/arm64"),
    )
    assert judge(node("a"), node("b", "arm64"), outcome=some).causes == {
        Cause.PLATFORM_SOME: Action.WARN
    }


def test_a_single_manifest_of_another_architecture_pulls_and_is_found_beside() -> None:
    foreign = replace(NONE, pull=Pull.OK, cause=None)
    asked = judge(node("a"), outcome=foreign)
    assert asked.outcome.pull is Pull.OK
    assert asked.causes == {Cause.PLATFORM_NONE: Action.DENY}
    some = replace(foreign, judged_for=("linux/amd64", "linux/s390x"))
    mixed = judge(node("a"), node("b", "s390x"), outcome=some)
    assert mixed.causes == {Cause.PLATFORM_SOME: Action.WARN}


def test_a_volume_is_mounted_whatever_its_image_was_built_for() -> None:
    foreign = replace(NONE, pull=Pull.OK, cause=None)
    volume = workload(use_of(APP, place=Place.VOLUME))
    assert judge(node("a"), outcome=foreign, subject=volume).causes == {}
    assert judge(node("a"), outcome=NONE, subject=volume).causes == {
        Cause.PLATFORM_NONE: Action.DENY
    }


def test_a_virtual_node_leaves_the_platform_undecided() -> None:
    fargate = node("f", labels={"eks.amazonaws.com/compute-type": "fargate"})
    asked = judge(node("a"), fargate, outcome=NONE)
    assert (asked.outcome.pull, asked.outcome.cause) == (Pull.UNKNOWN, Cause.RUNTIME_UNKNOWN)
    foreign = judge(node("a"), fargate, outcome=replace(NONE, pull=Pull.OK, cause=None))
    assert foreign.causes == {Cause.PLATFORM_NONE: Action.WARN}
    assert foreign.judgement.findings[0].doubt == "a virtual node may run it"


@pytest.mark.parametrize(
    ("runtime", "cause"),
    [
        ("containerd://2.1.0", Cause.PLATFORM_NONE),
        ("containerd://2.10.0", Cause.PLATFORM_NONE),
        ("containerd://3.0.0", Cause.PLATFORM_NONE),
        ("containerd://2.0.7", Cause.RUNTIME_UNKNOWN),
        ("containerd://1.7.34", Cause.RUNTIME_UNKNOWN),
        ("containerd://unknown", Cause.RUNTIME_UNKNOWN),
        ("cri-o://2.4.2", Cause.RUNTIME_UNKNOWN),
        ("", Cause.RUNTIME_UNKNOWN),
    ],
)
def test_what_an_older_containerd_would_pull_is_denied_where_all_nodes_are_newer_alone(
    runtime: str, cause: Cause
) -> None:
    older = replace(NONE, older_take=True)
    action = Action.DENY if cause is Cause.PLATFORM_NONE else Action.WARN
    assert judge(node("a", runtime=runtime), outcome=older).causes == {cause: action}
    assert judge(node("a"), node("b", runtime=runtime), outcome=older).causes == {cause: action}


def test_a_short_name_is_undecided_where_a_node_runs_cri_o() -> None:
    gone = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)
    crio = node("a", runtime="cri-o://1.37.0")
    for written, cause in (
        ("nginx:1", Cause.RUNTIME_UNKNOWN),
        ("docker.io/nginx:1", Cause.TAG_NOT_FOUND),
        ("quay.io/acme/app:1", Cause.TAG_NOT_FOUND),
    ):
        view = FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())})
        view.fleet = Nodes((node_of(crio),))
        subject = workload(written)
        name = str(subject.inputs.images[0].reference)
        engine = Engine(no_policies(), RegistrySettings(), view, FakeAsker({name: gone}))
        judgement = engine.judge(subject, Deadline.after(5), date(2026, 1, 1))
        assert judgement.images[0].outcome.cause is cause


def test_only_a_node_that_the_pod_may_run_on_counts_as_holding_the_image() -> None:
    gone = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)
    fleet = node("a", images=(APP,)), node("b", "arm64")
    assert judge(*fleet, outcome=gone).outcome.pull is Pull.UNKNOWN
    arm = placed(node_selector=(("kubernetes.io/arch", "arm64"),))
    assert judge(*fleet, outcome=gone, subject=arm).outcome.pull is Pull.FAILS


def test_a_full_list_is_told_where_it_is_all_that_speaks_for_absence() -> None:
    gone = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)

    def told(listed: int) -> str:
        asked = judge(node("a", images=[f"x.io/a:{n}" for n in range(listed)]), outcome=gone)
        assert asked.causes == {Cause.TAG_NOT_FOUND: Action.DENY}
        return words(asked.judgement.findings[0]).known

    assert told(IMAGE_LIST_CAP).endswith(
        "; the list of 1 node is as long as can be (50 images, 5 names of each), "
        "and there may be more"
    )
    assert "may hold more" not in told(IMAGE_LIST_CAP - 1)


def test_nodes_that_are_not_known_leave_a_failure_undecided() -> None:
    unreadable = Unreadable(Cause.CLUSTER_UNAVAILABLE, "nodes are not listed yet")
    asked = judge(outcome=NONE, unreadable=unreadable)
    assert asked.causes == {Cause.CLUSTER_UNAVAILABLE: Action.WARN}


# -- what nodes hold themselves --------------------------------------------------------------


def test_the_nodes_own_credentials_are_tried_after_the_pods() -> None:
    own = Credential("node/config.json", "ghcr.io", "node", "x")
    asked = judge(held=Held((own,)))
    assert [c.source for c in asked.asker.questions[0].credentials] == ["node/config.json"]
    assert asked.judgement.images[0].credentials == (own,)


def test_of_several_credentials_the_pods_come_first_whatever_their_keys() -> None:
    own = Credential("node/config.json", "ghcr.io/acme/app", "node", "x")
    view = FakeView(secrets={"regcred": docker_secret("regcred")})
    asker = FakeAsker()
    engine = Engine(no_policies(), RegistrySettings(), view, asker, Held((own,)))
    subject = workload(APP, secrets=("regcred",))
    engine.judge(subject, Deadline.after(5), date(2026, 1, 1))
    sources = [credential.source for credential in asker.questions[0].credentials]
    assert sources == ["secret/regcred", "node/config.json"]


def test_what_is_not_known_of_the_nodes_credentials_stays_with_the_image() -> None:
    undecided = Undecided(NodeCause.PROVIDER_FAILING, "plugin ecr: it timed out")
    assert judge(held=Held(undecided)).judgement.images[0].undecided is undecided
    assert judge().judgement.images[0].undecided is None


def test_a_plugin_that_fails_here_leaves_a_refusal_undecided_and_a_success_as_it_is() -> None:
    failing = Held(Undecided(NodeCause.PROVIDER_FAILING, "plugin ecr: it timed out"))
    missing = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING)
    assert judge(outcome=missing, held=failing).causes == {Cause.PROVIDER_FAILING: Action.WARN}
    assert judge(held=failing).causes == {}
    gone = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)
    assert judge(outcome=gone, held=failing).causes == {Cause.TAG_NOT_FOUND: Action.DENY}


# -- what is not known of some nodes ----------------------------------------------------------

FARGATE = node("f", labels={"eks.amazonaws.com/compute-type": "fargate"})
GONE = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True)


@pytest.mark.parametrize("fleet", [(FARGATE,), (node("a"), FARGATE)])
def test_what_a_virtual_node_holds_is_undecided(fleet: tuple[Mapping[str, Any], ...]) -> None:
    """Virtual nodes are undecided in presence and platform."""
    asked = judge(*fleet, outcome=GONE)
    assert asked.causes == {Cause.RUNTIME_UNKNOWN: Action.WARN}
    assert words(asked.judgement.findings[0]).what == (
        "not checked: some of its nodes may do otherwise: "
        "tag-not-found, but nobody knows what a virtual node that may run it holds"
    )
    never = workload(use_of(APP, policy=PullPolicy.NEVER))
    assert judge(*fleet, subject=never).causes == {Cause.RUNTIME_UNKNOWN: Action.WARN}
    always = workload(use_of(APP, policy=PullPolicy.ALWAYS))
    assert judge(*fleet, outcome=GONE, subject=always).causes == {Cause.TAG_NOT_FOUND: Action.DENY}


@pytest.mark.parametrize(
    ("runtime", "host", "cause"),
    [
        ("cri-o://1.37.0", "ghcr.io", Cause.RUNTIME_UNKNOWN),
        ("docker://27.0.3", "ghcr.io", Cause.RUNTIME_UNKNOWN),
        ("containerd://1.4.13", "ghcr.io", Cause.RUNTIME_UNKNOWN),
        ("cri-o://1.37.0", "quay.io", Cause.TAG_NOT_FOUND),
        ("containerd://1.5.0", "ghcr.io", Cause.TAG_NOT_FOUND),
        ("containerd://2.4.2", "ghcr.io", Cause.TAG_NOT_FOUND),
        ("", "ghcr.io", Cause.TAG_NOT_FOUND),
    ],
)
def test_a_failure_by_way_of_a_hosts_toml_is_undecided_where_a_runtime_reads_none(
    runtime: str, host: str, cause: Cause, tmp_path: Path
) -> None:
    (tmp_path / host).mkdir()
    (tmp_path / host / "hosts.toml").write_text('[host."https://mirror.corp"]\n')
    settings = RegistrySettings(hosts_dir=tmp_path)
    asked = judge(node("a", runtime=runtime), node("b"), outcome=GONE, settings=settings)
    assert asked.outcome.cause is cause


@pytest.mark.parametrize(
    ("written", "outcome", "cause"),
    [
        ("nginx:1", GONE, Cause.CLUSTER_UNAVAILABLE),
        (APP, replace(NONE, older_take=True), Cause.CLUSTER_UNAVAILABLE),
        (APP, GONE, Cause.TAG_NOT_FOUND),
    ],
)
def test_where_no_node_can_be_read_no_runtime_is_taken_for_granted(
    written: str, outcome: Outcome, cause: Cause
) -> None:
    subject = workload(use_of(written, policy=PullPolicy.ALWAYS))
    name = str(subject.inputs.images[0].reference)
    view = FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())})
    view.fleet = Unreadable(Cause.CLUSTER_UNAVAILABLE, "nodes are not listed yet")
    engine = Engine(no_policies(), RegistrySettings(), view, FakeAsker({name: outcome}), Held())
    judgement = engine.judge(subject, Deadline.after(5), date(2026, 1, 1))
    assert judgement.images[0].outcome.cause is cause


def windows(name: str, build: str) -> Mapping[str, Any]:
    info = {
        "architecture": "amd64",
        "operatingSystem": "windows",
        "kernelVersion": build,
        "containerRuntimeVersion": "containerd://2.4.2",
    }
    return {"metadata": {"name": name}, "status": {"nodeInfo": info}}


def test_windows_nodes_are_told_by_their_builds() -> None:
    fleet = windows("a", "10.0.20348.2"), windows("b", "10.0.20348.9"), windows("c", "10.0.26100")
    names = "windows(10.0.20348)/amd64", "windows(10.0.26100)/amd64"
    none = replace(NONE, platforms=("linux/amd64",), judged_for=names, unserved=names)
    asked = judge(*fleet, outcome=none)
    labels = "kubernetes.io/os=windows, kubernetes.io/arch=amd64"
    assert asked.outcome.detail == (
        f"it is for linux/amd64, not for {names[0]} (2 nodes with {labels}), "
        f"{names[1]} (1 node with {labels})"
    )


def test_some_served_is_said_once() -> None:
    some = replace(NONE, cause=Cause.PLATFORM_SOME, pull=Pull.UNKNOWN)
    asked = judge(node("a"), node("b", "arm64"), outcome=some)
    assert warning(asked.judgement.findings[0]).count("not for linux/amd64") == 1
