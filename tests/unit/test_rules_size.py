"""What is too large: for the policy's max, and for the smallest node of each platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.review_kit import FakeAsker, FakeView, asked, no_policies, use_of, workload
from webhook.cluster.nodes import Nodes, node_of
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.deadline import Deadline
from webhook.images.placement import Placement
from webhook.images.platform import Platform
from webhook.images.workloads import Place, PullPolicy
from webhook.policy.action import Action
from webhook.policy.files import PolicySet, load
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.review.engine import Engine, Judgement, Workload
from webhook.review.messages import paragraph, words
from webhook.rules.judge import Finding
from webhook.rules.size import amount, told_apart

APP = "ghcr.io/acme/app:1.2"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
ARM7, ARM8 = Platform("linux", "arm", "v7"), Platform("linux", "arm", "v8")
MIB, GIB = 2**20, 2**30
LARGE = ((AMD64, 2 * GIB), (ARM64, 5 * GIB))


def node(name: str, storage: str | None, arch: str = "amd64", **more: Any) -> Mapping[str, Any]:
    images = [{"names": [image], "sizeBytes": 1} for image in more.get("images", ())]
    images += [{"names": [f"docker.io/library/x:{n}"]} for n in range(more.get("full", 0))]
    return {
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/arch": arch, **more.get("labels", {})},
        },
        "status": {
            "nodeInfo": {"architecture": arch, "operatingSystem": "linux"},
            "allocatable": {"ephemeral-storage": storage},
            "images": images,
        },
    }


def policies(folder: Path, setting: str) -> PolicySet:
    if not setting:
        return no_policies()
    file = folder / "size.yaml"
    file.write_text(
        "apiVersion: pullproof.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: size}\n"
        f"spec:\n  rules:\n    image-too-large: {setting}\n"
    )
    loaded = load([file])
    assert isinstance(loaded, PolicySet)
    return loaded


@dataclass
class Judge:
    """An engine with one policy; each image is as large as ``sizes`` says."""

    folder: Path
    setting: str = "{action: deny, max: 4Gi}"
    asker: FakeAsker = field(default_factory=FakeAsker)

    def __call__(
        self,
        *nodes: Mapping[str, Any],
        sizes: tuple[tuple[Platform, int], ...] = LARGE,
        subject: Workload | None = None,
        unreadable: Unreadable | None = None,
        **outcome: Any,
    ) -> Judgement:
        view = FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())})
        view.fleet = unreadable or Nodes(tuple(map(node_of, nodes)))
        told = {"pull": Pull.OK, "requests": (asked(200),), **outcome}
        self.asker.answers = {APP: Outcome(sizes=sizes, **told)}
        engine = Engine(policies(self.folder, self.setting), RegistrySettings(), view, self.asker)
        return engine.judge(subject or workload(APP), Deadline.after(5), date(2026, 1, 1))


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def found(judgement: Judgement) -> Mapping[Cause, Action]:
    return {finding.cause: finding.action for finding in judgement.findings}


def only(judgement: Judgement) -> Finding:
    [finding] = judgement.findings
    return finding


def where(**placement: Any) -> Workload:
    subject = workload(use_of(policy=PullPolicy.IF_NOT_PRESENT))
    return replace(subject, inputs=replace(subject.inputs, placement=Placement(**placement)))


# -- what is asked ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "nodes", "wanted"),
    [
        ("off", [node("a", "1Gi")], False),
        ("{action: off, max: 4Gi}", [node("a", "1Gi")], False),
        ("{action: audit, max: 4Gi}", [], True),
        ("{action: deny, max: 4Gi}", [node("a", None)], True),
        ("warn", [node("a", "1Gi")], True),
        # Nothing that could be found without a limit and without a node's word.
        ("warn", [node("a", None)], False),
        ("warn", [], False),
    ],
)
def test_sizes_are_asked_for_where_they_decide_something(
    judge: Judge, setting: str, nodes: list[Mapping[str, Any]], wanted: bool
) -> None:
    judge.setting = setting
    judge(*nodes, sizes=())
    assert {question.sizes for question in judge.asker.questions} == {wanted}


def test_with_no_policy_nobody_asks_for_sizes_and_none_is_found(judge: Judge) -> None:
    judge.setting = ""
    assert found(judge(node("a", "1Gi"))) == {}
    assert [question.sizes for question in judge.asker.questions] == [False]


def test_of_an_image_that_is_never_pulled_no_size_is_asked(judge: Judge) -> None:
    # Where every node holds it, the registry is asked what it says to a pod without a login.
    subject = workload(use_of(policy=PullPolicy.NEVER))
    assert found(judge(node("a", "1Gi", images=(APP,)), subject=subject)) == {}
    assert [question.sizes for question in judge.asker.questions] == [False]


def test_a_denial_is_asked_for_anew(judge: Judge) -> None:
    assert found(judge()) == {Cause.SIZE_OVER_LIMIT: Action.DENY}
    assert [denial for _, denial in judge.asker.calls] == [False, True]
    assert all(question.sizes for question in judge.asker.questions)


# -- over the limit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "causes"), [(4 * GIB, set()), (4 * GIB + 1, {Cause.SIZE_OVER_LIMIT})]
)
def test_what_is_as_large_as_the_limit_is_allowed(
    judge: Judge, most: int, causes: set[Cause]
) -> None:
    assert set(found(judge(sizes=((AMD64, 1), (ARM64, most))))) == causes


def test_the_platform_with_the_most_is_named_with_both_sizes(judge: Judge) -> None:
    finding = only(judge(sizes=((AMD64, 4 * GIB + 1), (ARM64, int(5.2 * GIB)))))
    assert finding.detail == "5.2 GiB of compressed layers for linux/arm64, the policy allows 4 GiB"
    assert finding.doubt == ""
    assert words(finding).what == f"the image is too large: {finding.detail}"
    assert words(finding).known.endswith("size.yaml:6")


def test_what_others_find_of_the_image_keeps_its_own_detail(judge: Judge) -> None:
    judgement = judge(
        pull=Pull.UNKNOWN,
        cause=Cause.PLATFORM_SOME,
        detail="not for linux/s390x",
        unserved=("linux/s390x",),
        judged_for=("linux/amd64", "linux/arm64", "linux/s390x"),
    )
    said = {finding.cause: words(finding).what for finding in judgement.findings}
    assert "not for linux/s390x" in said[Cause.PLATFORM_SOME]
    assert "not for linux/s390x" not in said[Cause.SIZE_OVER_LIMIT]
    # What the others take is known, whoever is not served.
    assert found(judgement)[Cause.SIZE_OVER_LIMIT] is Action.DENY


def test_sizes_that_were_not_learnt_are_no_finding(judge: Judge) -> None:
    assert found(judge(node("a", "1"), sizes=())) == {}


def test_the_pull_stays_what_it_was(judge: Judge) -> None:
    judgement = judge(node("a", "1"))
    assert (judgement.images[0].outcome.pull, judgement.images[0].outcome.cause) == (Pull.OK, None)


def test_an_image_volume_counts_and_one_that_nobody_mounts_is_warned_of(judge: Judge) -> None:
    volume = use_of(place=Place.VOLUME, container="volume:model")
    assert found(judge(subject=workload(volume))) == {Cause.SIZE_OVER_LIMIT: Action.DENY}
    idle = replace(volume, mounted=False)
    assert found(judge(subject=workload(idle))) == {Cause.SIZE_OVER_LIMIT: Action.WARN}


def test_a_size_that_rests_on_an_answer_that_is_undecided_only_warns(judge: Judge) -> None:
    finding = next(
        finding
        for finding in judge(
            pull=Pull.UNKNOWN, cause=Cause.SECRET_UNREADABLE, detail="forbidden"
        ).findings
        if finding.cause is Cause.SIZE_OVER_LIMIT
    )
    assert (finding.action, finding.doubt) == (Action.WARN, "forbidden")


def test_a_node_that_holds_the_image_does_not_lift_the_limit(judge: Judge) -> None:
    holding = node("a", None, images=(APP,))
    assert found(judge(holding)) == {Cause.SIZE_OVER_LIMIT: Action.DENY}


# -- a node too small ------------------------------------------------------------------------


def test_a_node_is_too_small_for_what_its_own_platform_takes_alone(judge: Judge) -> None:
    judge.setting = "deny"
    fleet = node("a", "3Gi"), node("b", "8Gi", "arm64")
    assert found(judge(*fleet)) == {}
    finding = only(judge(*fleet, node("pi", "4Gi", "arm64"), node("pi2", "4.5Gi", "arm64")))
    assert (finding.cause, finding.action) == (Cause.NODE_TOO_SMALL, Action.DENY)
    assert finding.detail == (
        '5 GiB of compressed layers for linux/arm64, 4 GiB of storage on node "pi"'
    )
    assert paragraph(finding).count("\n") == 3


def test_the_node_that_lacks_most_is_named(judge: Judge) -> None:
    judge.setting = "deny"
    finding = only(judge(node("a", "1Mi"), node("b", "4Gi", "arm64")))
    assert 'on node "a"' in finding.detail


def test_both_may_be_found_of_one_image(judge: Judge) -> None:
    assert found(judge(node("a", "1Gi"))) == dict.fromkeys(
        (Cause.SIZE_OVER_LIMIT, Cause.NODE_TOO_SMALL), Action.DENY
    )


@pytest.mark.parametrize(
    "other",
    [
        node("untold", None),
        node("zero", "0"),
        node("odd", "much"),
        node("s390x", "1", "s390x"),
        node("fargate", "1", labels={"eks.amazonaws.com/compute-type": "fargate"}),
        node("elsewhere", "1", labels={"pool": "other"}),
    ],
    ids=lambda one: str(one["metadata"]["name"]),
)
def test_a_node_that_tells_nothing_or_takes_nothing_of_it_is_not_too_small(
    judge: Judge, other: Mapping[str, Any]
) -> None:
    judge.setting = "deny"
    fits = node("a", "8Gi", labels={"pool": "own"}), node("b", "8Gi", "arm64")
    assert found(judge(*fits, other, subject=where(node_selector=(("pool", "own"),)))) == {}
    if other["metadata"]["name"] != "elsewhere":
        assert found(judge(*fits, other)) == {}


def test_a_node_that_tells_no_platform_is_warned_of_where_the_least_is_too_much(
    judge: Judge,
) -> None:
    judge.setting = "deny"
    finding = only(judge(node("a", "8Gi"), node("nameless", "1Gi", "")))
    assert (finding.cause, finding.action) == (Cause.NODE_TOO_SMALL, Action.WARN)
    assert finding.doubt == "that node does not tell its platform"
    assert found(judge(node("nameless", "2Gi", ""))) == {}
    both = only(judge(node("nameless", "1", ""), node("b", "1Gi")))
    assert both.action is Action.DENY


def test_nodes_that_are_not_known_are_not_too_small(judge: Judge) -> None:
    judge.setting = "deny"
    unreadable = Unreadable(Cause.CLUSTER_UNAVAILABLE, "nodes are not listed yet")
    assert found(judge(unreadable=unreadable)) == {}
    assert found(judge()) == {}


def test_an_arm_node_is_too_small_where_it_is_for_either_machine_that_it_may_be(
    judge: Judge,
) -> None:
    judge.setting = "deny"
    pi = node("pi", "1Gi", "arm")
    assert found(judge(pi, sizes=((ARM7, 2 * GIB), (ARM8, GIB)))) == {}
    finding = only(judge(pi, sizes=((ARM7, 3 * GIB), (ARM8, 2 * GIB))))
    assert finding.detail.startswith("2 GiB of compressed layers for linux/arm/v8, 1 GiB ")


def test_a_declared_platform_is_that_of_the_nodes_however_it_is_written(judge: Judge) -> None:
    judge.setting = "deny"
    written = ((Platform("linux", "arm64", "v8"), 5 * GIB),)
    assert found(judge(node("b", "4Gi", "arm64"), sizes=written)) == {
        Cause.NODE_TOO_SMALL: Action.DENY
    }


@pytest.mark.parametrize(
    ("policy", "action"),
    [(PullPolicy.IF_NOT_PRESENT, Action.WARN), (PullPolicy.ALWAYS, Action.DENY)],
)
def test_a_node_that_holds_the_image_already_is_a_doubt_unless_each_start_pulls(
    judge: Judge, policy: PullPolicy, action: Action
) -> None:
    judge.setting = "deny"
    subject = workload(use_of(policy=policy))
    finding = only(judge(node("a", "1Gi", images=(APP,)), subject=subject))
    assert finding.action is action
    assert finding.doubt == ('node "a" holds the image already' if action is Action.WARN else "")


def test_a_node_that_may_hold_it_under_a_name_that_it_does_not_list_is_a_doubt(
    judge: Judge,
) -> None:
    judge.setting = "deny"
    crowded = node("a", "1Gi")
    names = ["ghcr.io/acme/app@sha256:" + "1" * 64, *(f"ghcr.io/acme/app:{n}" for n in range(4))]
    crowded["status"]["images"].append({"names": names})
    subject = workload(use_of(policy=PullPolicy.IF_NOT_PRESENT))
    finding = only(judge(crowded, subject=subject))
    assert (finding.cause, finding.action) == (Cause.NODE_TOO_SMALL, Action.WARN)


def test_lists_that_are_too_full_to_tell_are_told(judge: Judge) -> None:
    judge.setting = "deny"
    subject = workload(use_of(policy=PullPolicy.IF_NOT_PRESENT))
    told = words(only(judge(node("a", "1Gi", full=50), subject=subject))).known
    assert "the list of 1 node is as long as can be" in told
    short = words(only(judge(node("a", "1Gi", full=49), subject=subject))).known
    assert "as long as can be" not in short


def test_the_numbers_of_a_node_with_the_longest_name_are_not_cut(judge: Judge) -> None:
    judge.setting = "deny"
    finding = only(judge(node("n" * 253, "1Gi", "arm64")))
    assert "5 GiB of compressed layers for linux/arm64, 1 GiB of storage" in paragraph(finding)


@pytest.mark.parametrize("size", [2**63, 10_000 * 2**63, 10**40])
def test_sizes_past_every_disk_are_told(judge: Judge, size: int) -> None:
    judgement = judge(node("a", "1Gi"), sizes=((AMD64, size),))
    assert set(found(judgement)) == {Cause.SIZE_OVER_LIMIT, Cause.NODE_TOO_SMALL}
    for finding in judgement.findings:
        assert " EiB of compressed layers for linux/amd64" in paragraph(finding)


# -- amounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (412 * MIB, "412 MiB"),
        (GIB - 1, "1 GiB"),
        (5 * GIB + GIB // 4, "5.3 GiB"),
        (4 * 10**9, "3.7 GiB"),
        (2**63 - 1, "8 EiB"),
        (2**75, "32768 EiB"),
    ],
)
def test_an_amount_is_told_in_the_unit_that_people_use(size: int, text: str) -> None:
    assert amount(size) == text


@pytest.mark.parametrize(
    ("larger", "smaller", "texts"),
    [
        (int(5.2 * GIB), 4 * GIB, ("5.2 GiB", "4 GiB")),
        (int(4.01 * GIB), 4 * GIB, ("4.01 GiB", "4 GiB")),
        (4 * GIB + 1, 4 * GIB, ("4294967297 bytes", "4294967296 bytes")),
        (GIB, GIB - 1, ("1073741824 bytes", "1073741823 bytes")),
        (1, 0, ("1 byte", "0 bytes")),
    ],
)
def test_two_amounts_that_differ_never_read_the_same(
    larger: int, smaller: int, texts: tuple[str, str]
) -> None:
    assert told_apart(larger, smaller) == texts


def read(text: str) -> Fraction:
    number, _, unit = text.partition(" ")
    units = ("byte", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    return Fraction(number) * Fraction(1024 ** units.index(unit.removesuffix("s")))


@given(st.integers(0, 2**80), st.one_of(st.integers(1, 2**10), st.integers(1, 2**80)))
def test_of_two_amounts_the_larger_one_reads_larger(smaller: int, more: int) -> None:
    texts = told_apart(smaller + more, smaller)
    assert read(texts[0]) > read(texts[1])
