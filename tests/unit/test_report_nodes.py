"""What ``inspect`` tells of the nodes, and of what they hold themselves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.review_kit import IMAGE, broken_secret, judged_of, named, pod_of, use_of
from tests.unit.test_report_inspection import faults
from webhook.cluster.nodes import IMAGE_LIST_CAP, Nodes, node_of
from webhook.cluster.scheduling import ANYWHERE, Eligible, Placement, eligible
from webhook.cluster.view import Unreadable
from webhook.credentials.keyring import Credential
from webhook.credentials.node import NodeCause, Undecided
from webhook.images.platform import Platform
from webhook.images.workloads import PullPolicy
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.report.inspection import as_json, as_text
from webhook.report.inspection_schema import schema
from webhook.report.nodes import KEYS
from webhook.rules.facts import Judged

AMD64, ARM64 = "linux/amd64", "linux/arm64"
UNREADABLE = Unreadable(Cause.CLUSTER_UNAVAILABLE, "pullproof may not list nodes")


def node(
    name: str,
    arch: str = "amd64",
    *,
    runtime: str = "containerd://2.4.2",
    images: Sequence[str] = (),
    full: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    more = [f"docker.io/library/x:{n}" for n in range(IMAGE_LIST_CAP if full else 0)]
    info = {"architecture": arch, "operatingSystem": "linux", "containerRuntimeVersion": runtime}
    listed = [{"names": [image]} for image in (*images, *more)]
    return {
        "metadata": {"name": name, "labels": dict(labels or {})},
        "status": {"nodeInfo": info if arch else {}, "images": listed},
    }


def virtual(name: str) -> Mapping[str, Any]:
    return node(name, labels={"type": "virtual-kubelet"})


def on(
    *nodes: Mapping[str, Any],
    outcome: Outcome | None = None,
    placement: Placement = ANYWHERE,
    policy: PullPolicy = PullPolicy.IF_NOT_PRESENT,
    settings: RegistrySettings | None = None,
    view: Unreadable | None = None,
    **more: Any,
) -> Judged:
    """Return an image whose pod may run on nodes."""
    found: Eligible | Unreadable = view or eligible(Nodes(map(node_of, nodes)), placement)
    pod = replace(pod_of(), eligible=found, settings=settings or RegistrySettings())
    judged = judged_of(outcome or Outcome(Pull.OK), use_of(IMAGE, policy=policy), pod)
    return replace(judged, **more)


def lines(judged: Judged, *heads: str) -> list[str]:
    """Return the lines under ``heads``, those that go on below a head included."""
    found, head = [], ""
    for line in as_text(judged).splitlines()[1:]:
        head = line[2:15].strip() or head
        if head in heads:
            found.append(line[2:].rstrip())
    return found


def told(judged: Judged) -> Any:
    nodes = as_json(judged)["nodes"]
    assert json.loads(json.dumps(nodes)) == nodes
    return nodes


FLEET = (
    node("a", images=(IMAGE,)),
    node("b", images=(IMAGE,)),
    node("c", "arm64", runtime="containerd://1.7.34", full=True),
    node("d", labels={"pool": "other"}),
)


def test_the_nodes_that_were_counted_are_told_with_what_they_are() -> None:
    judged = on(*FLEET)
    assert lines(judged, "nodes", "held by") == [
        "nodes        4 of 4 may run it: a, b, c, d",
        "             3 linux/amd64, 1 linux/arm64; containerd 2.4.2 (3), containerd 1.7.34 (1)",
        "held by      a, b (1 list is full and proves nothing)",
    ]
    assert told(judged) == {
        "known": 4,
        "eligible": 4,
        "virtual": 0,
        "names": ["a", "b", "c", "d"],
        "platforms": {AMD64: 3, ARM64: 1},
        "unknownPlatforms": 0,
        "runtimes": {"containerd 2.4.2": 3, "containerd 1.7.34": 1},
        "unknownRuntimes": 0,
        "fullLists": 1,
        "holders": 2,
        "heldBy": ["a", "b"],
        "why": None,
    }


def test_only_nodes_that_the_pod_may_run_on_are_told() -> None:
    judged = on(*FLEET, placement=Placement(node_selector=(("pool", "other"),)))
    assert lines(judged, "nodes", "held by") == [
        "nodes        1 of 4 may run it: d",
        "             1 linux/amd64; containerd 2.4.2 (1)",
        "held by      none of them",
    ]
    assert (told(judged)["names"], told(judged)["heldBy"]) == (["d"], [])
    nowhere = on(*FLEET, placement=Placement(node_selector=(("pool", "gone"),)))
    assert lines(nowhere, "nodes", "held by") == ["nodes        none of 4 may run it"]
    assert (told(nowhere)["known"], told(nowhere)["eligible"]) == (4, 0)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Pull.OK),
        Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND),
        Outcome(Pull.UNKNOWN, Cause.DEADLINE),
    ],
)
@pytest.mark.parametrize("policy", PullPolicy)
def test_who_holds_the_image_is_told_whatever_came_of_the_pull(
    outcome: Outcome, policy: PullPolicy
) -> None:
    judged = on(*FLEET, outcome=outcome, policy=policy)
    assert told(judged)["heldBy"] == ["a", "b"]
    [line] = lines(judged, "held by")
    assert line.startswith("held by      a, b (")
    assert ("asks the registry all the same" in line) == (policy is PullPolicy.ALWAYS)


def test_a_full_list_that_names_the_image_leaves_nothing_open() -> None:
    judged = on(node("a", images=(IMAGE,), full=True), node("b"))
    assert lines(judged, "held by") == ["held by      a"]
    assert told(judged)["fullLists"] == 0
    two = on(node("a", full=True), node("b", full=True), virtual("v"), virtual("w"))
    assert lines(two, "held by") == [
        "held by      none of them (2 lists are full and prove nothing; "
        "2 are virtual and tell nothing)"
    ]


def test_virtual_nodes_are_counted_and_nothing_else_is_told_of_them() -> None:
    judged = on(node("a"), virtual("v"))
    assert lines(judged, "nodes", "held by") == [
        "nodes        2 of 2 may run it: a, v (1 of them virtual)",
        "             1 linux/amd64; containerd 2.4.2 (1)",
        "held by      none of them (1 is virtual and tells nothing)",
    ]
    alone = on(virtual("v"))
    assert lines(alone, "nodes") == ["nodes        1 of 1 may run it: v (1 of them virtual)"]
    assert (told(alone)["virtual"], told(alone)["platforms"]) == (1, {})


def test_what_a_node_does_not_tell_is_told_to_be_unknown() -> None:
    judged = on(node("a"), node("b", ""))
    assert lines(judged, "nodes")[1:] == [
        "             1 linux/amd64, 1 of no known platform; "
        "containerd 2.4.2 (1), no known runtime (1)"
    ]
    assert (told(judged)["unknownPlatforms"], told(judged)["unknownRuntimes"]) == (1, 1)


def test_many_nodes_are_told_by_their_first_names_and_their_number() -> None:
    fleet = [node(f"n{n:02}", f"cpu{n}", images=(IMAGE,)) for n in range(30)]
    judged = on(*fleet)
    assert lines(judged, "nodes", "held by") == [
        "nodes        30 of 30 may run it: n00, n01, n02, n03, n04 and 25 more",
        "             1 linux/cpu0, 1 linux/cpu1, 1 linux/cpu10, 1 linux/cpu11, 1 linux/cpu12 "
        "and 25 more; containerd 2.4.2 (30)",
        "held by      n00, n01, n02, n03, n04 and 25 more",
    ]
    assert (len(told(judged)["names"]), len(told(judged)["heldBy"])) == (20, 20)
    assert told(judged)["holders"] == 30


def test_no_node_at_all_is_told_apart_from_nodes_that_cannot_be_read() -> None:
    nobody = on(outcome=Outcome(Pull.OK, judged_for=(AMD64,)))
    assert lines(nobody, "nodes", "judged for", "held by") == [
        "nodes        none is known: judged for linux/amd64"
    ]
    assert told(nobody) is None
    assert as_json(nobody)["judgedFor"] == {AMD64: "default"}
    unread = on(view=UNREADABLE, outcome=Outcome(Pull.OK, judged_for=(AMD64,)))
    assert lines(unread, "nodes", "judged for", "held by") == [
        "nodes        not known: pullproof may not list nodes",
        "judged for   linux/amd64 (no platform of a node is known)",
    ]
    assert told(unread) == {**dict.fromkeys(KEYS), "why": "pullproof may not list nodes"}


def test_the_platforms_that_an_image_was_judged_for_are_told_with_their_origin() -> None:
    both = Outcome(Pull.OK, judged_for=(AMD64, ARM64))
    assert lines(on(node("a"), node("b", "arm64"), outcome=both), "judged for") == []
    declared = RegistrySettings(platforms=(Platform("linux", "arm64"),))
    scaled = on(node("a"), outcome=both, settings=declared)
    assert lines(scaled, "judged for") == [
        "judged for   linux/amd64 (of the nodes), linux/arm64 (declared in RegistryConfig)"
    ]
    assert as_json(scaled)["judgedFor"] == {AMD64: "nodes", ARM64: "declared"}
    flagged = RegistrySettings(only_platforms=(Platform("linux", "arm64"),))
    asked = on(node("a"), outcome=Outcome(Pull.OK, judged_for=(ARM64,)), settings=flagged)
    assert lines(asked, "judged for") == ["judged for   linux/arm64 (given by --platform)"]
    assert as_json(asked)["judgedFor"] == {ARM64: "flag"}


def test_a_32_bit_arm_node_is_the_origin_of_both_its_variants() -> None:
    outcome = Outcome(Pull.OK, judged_for=("linux/arm/v7", "linux/arm/v8"))
    judged = on(node("a", "arm"), outcome=outcome)
    assert as_json(judged)["judgedFor"] == {"linux/arm/v7": "nodes", "linux/arm/v8": "nodes"}


def test_what_nobody_looked_at_is_not_told_to_have_been_judged() -> None:
    judged = on(outcome=Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND))
    assert lines(judged, "nodes") == ["nodes        none is known"]
    assert as_json(judged)["judgedFor"] == {}


# -- what nodes hold themselves ----------------------------------------------------------------

FILE = Credential("node/config.json", "ghcr.io", "node", "x")
PLUGIN = Credential("provider/ecr", "ghcr.io", "AWS", "x")


def test_the_nodes_own_credentials_come_with_their_sources_in_their_order() -> None:
    judged = on(credentials=(FILE, PLUGIN))
    assert lines(judged, "credentials") == [
        "credentials  1. node/config.json, key ghcr.io, user node",
        "             2. provider/ecr, key ghcr.io, user AWS",
    ]
    assert [c["source"] for c in as_json(judged)["credentials"]] == [
        "node/config.json",
        "provider/ecr",
    ]
    assert as_json(judged)["credentialsUnknown"] is None


def test_what_could_not_be_learnt_of_the_nodes_credentials_has_a_line_of_its_own() -> None:
    why = "credential provider ecr ended with exit code 1"
    undecided = Undecided(NodeCause.PROVIDER_FAILING, why, (FILE,))
    judged = on(credentials=(FILE,), undecided=undecided)
    assert lines(judged, "credentials") == [
        "credentials  1. node/config.json, key ghcr.io, user node",
        f"             others not known: {why}",
    ]
    assert lines(on(undecided=undecided), "credentials") == [f"credentials  not known: {why}"]
    assert as_json(judged)["credentialsUnknown"] == why
    assert judged.outcome.pull is Pull.OK


def test_a_secret_that_cannot_be_read_or_decoded_is_not_called_anonymous() -> None:
    unread = Unreadable(Cause.SECRET_UNREADABLE, 'pullproof may not get secret "s"')
    judged = judged_of(Outcome(Pull.OK), pod=pod_of(named("s", unread)))
    assert lines(judged, "credentials") == [f"credentials  not known: {unread.why}"]
    broken = judged_of(Outcome(Pull.FAILS), pod=pod_of(named("s", broken_secret("s"))))
    assert lines(broken, "credentials") == []
    assert lines(judged_of(Outcome(Pull.OK)), "credentials") == [
        "credentials  none: the pull is anonymous"
    ]


# -- what others wrote -------------------------------------------------------------------------

HOSTILE = "x\n\x1b[31m\u202e\ud800" + "y" * 300


@pytest.mark.parametrize(
    "judged",
    [
        on(*FLEET),
        on(virtual("v")),
        on(view=UNREADABLE),
        on(view=Unreadable(Cause.CLUSTER_UNAVAILABLE, HOSTILE)),
        on(node(HOSTILE, HOSTILE, runtime=f"{HOSTILE}://{HOSTILE}", images=(IMAGE,))),
        on(undecided=Undecided(NodeCause.PROVIDER_FAILING, HOSTILE)),
        on(credentials=(Credential(f"provider/{HOSTILE}", HOSTILE, HOSTILE, "x"),)),
        on(outcome=Outcome(Pull.OK, judged_for=(HOSTILE,))),
    ],
)
def test_whatever_others_wrote_the_text_can_be_printed_and_the_json_is_the_schemas(
    judged: Judged,
) -> None:
    for line in as_text(judged).splitlines():
        assert line.isprintable()
        line.encode()
    document = as_json(judged)
    assert faults(json.loads(json.dumps(document)), schema()) == []
    json.dumps(document, ensure_ascii=False).encode()
