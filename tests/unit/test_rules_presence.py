"""What the nodes hold, and what it changes."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.review_kit import use_of
from webhook.cluster.nodes import IMAGE_LIST_CAP, Nodes, node_of
from webhook.cluster.scheduling import ANYWHERE, Eligible, eligible
from webhook.cluster.view import Unreadable
from webhook.images.workloads import PullPolicy
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.rules.presence import matters, presence_of, with_presence

APP = "ghcr.io/acme/app:1.2"
GONE = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND)
HELD = use_of(APP, policy=PullPolicy.IF_NOT_PRESENT)


def manifest(name: str, *images: str, more: int = 0) -> Mapping[str, Any]:
    listed = [{"names": [image], "sizeBytes": 1} for image in images]
    listed += [{"names": [f"docker.io/library/x:{n}"]} for n in range(more)]
    return {"metadata": {"name": name}, "status": {"images": listed}}


def nodes(*manifests: Mapping[str, Any]) -> Eligible:
    return eligible(Nodes(tuple(node_of(item) for item in manifests)), ANYWHERE)


def test_a_node_that_names_the_image_may_hold_it() -> None:
    presence = presence_of(HELD, nodes(manifest("a"), manifest("b", str(HELD.reference))))
    assert presence.held_by == ("b",)
    outcome = with_presence(HELD, GONE, presence)
    assert (outcome.pull, outcome.cause) == (Pull.UNKNOWN, Cause.TAG_NOT_FOUND)


def test_a_list_of_under_fifty_entries_is_proof_of_absence() -> None:
    presence = presence_of(HELD, nodes(manifest("a", more=IMAGE_LIST_CAP - 1)))
    assert (presence.held_by, presence.full_lists) == ((), 0)
    assert with_presence(HELD, GONE, presence) is GONE


def test_at_fifty_entries_it_is_judged_absent_and_that_is_told() -> None:
    presence = presence_of(HELD, nodes(manifest("a", more=IMAGE_LIST_CAP)))
    assert (presence.held_by, presence.full_lists) == ((), 1)
    assert with_presence(HELD, GONE, presence) is GONE


DIGEST = "@sha256:" + "1" * 64
FOUR_OTHERS = [f"ghcr.io/acme/app:{n}" for n in range(4)]


@pytest.mark.parametrize(
    ("names", "written", "pull"),
    [
        ([f"ghcr.io/acme/app{DIGEST}", *FOUR_OTHERS], APP, Pull.UNKNOWN),
        ([f"ghcr.io/acme/app{DIGEST}", *FOUR_OTHERS[:3]], APP, Pull.FAILS),
        ([f"ghcr.io/acme/app{DIGEST}", *FOUR_OTHERS], "ghcr.io/acme/other:1.2", Pull.FAILS),
        (
            [f"ghcr.io/acme/app{DIGEST}", *FOUR_OTHERS],
            "ghcr.io/acme/app@sha256:" + "2" * 64,
            Pull.FAILS,
        ),
        ([f"localhost:5000/a{DIGEST}", *FOUR_OTHERS], "localhost:5000/a:1", Pull.UNKNOWN),
    ],
)
def test_of_an_image_five_names_are_listed_and_others_may_be_there(
    names: list[str], written: str, pull: Pull
) -> None:
    """``MaxNamesPerImageInNodeStatus``: RepoDigests, then RepoTags, cut at five."""
    use = use_of(written, policy=PullPolicy.IF_NOT_PRESENT)
    held = nodes({"metadata": {"name": "a"}, "status": {"images": [{"names": names}]}})
    presence = presence_of(use, held)
    assert presence.held_by == ()
    assert with_presence(use, GONE, presence).pull is pull
    never = Outcome(Pull.UNKNOWN, Cause.NEVER_PULLED)
    assert with_presence(use_of(written, policy=PullPolicy.NEVER), never, presence) is never


def test_five_digests_hide_whole_repositories_and_make_a_list_a_full_one() -> None:
    names = [f"r{n}.io/a{DIGEST}" for n in range(5)]
    held = nodes({"metadata": {"name": "a"}, "status": {"images": [{"names": names}]}})
    assert presence_of(HELD, held).full_lists == 1


def test_nodes_that_cannot_be_read_leave_a_failure_undecided() -> None:
    unreadable = Unreadable(Cause.CLUSTER_UNAVAILABLE, "pullproof may not list nodes")
    outcome = with_presence(HELD, GONE, presence_of(HELD, unreadable))
    assert (outcome.pull, outcome.cause) == (Pull.UNKNOWN, Cause.CLUSTER_UNAVAILABLE)


def test_no_node_at_all_is_absence() -> None:
    assert with_presence(HELD, GONE, presence_of(HELD, nodes())) is GONE


def test_never_with_a_node_that_holds_it_is_no_finding() -> None:
    use = use_of(APP, policy=PullPolicy.NEVER)
    never = Outcome(Pull.UNKNOWN, Cause.NEVER_PULLED)
    presence = presence_of(use, nodes(manifest("a", str(use.reference))))
    assert with_presence(use, never, presence).cause is None
    assert with_presence(use, never, presence_of(use, nodes())) is never


@pytest.mark.parametrize(
    ("policy", "outcome", "looked"),
    [
        (PullPolicy.ALWAYS, GONE, False),
        (PullPolicy.IF_NOT_PRESENT, Outcome(Pull.OK), False),
        (PullPolicy.IF_NOT_PRESENT, Outcome(Pull.UNKNOWN, Cause.DEADLINE), False),
        (PullPolicy.IF_NOT_PRESENT, Outcome(Pull.FAILS, Cause.ADDRESS_INVALID), False),
        (PullPolicy.IF_NOT_PRESENT, GONE, True),
        (PullPolicy.NEVER, Outcome(Pull.UNKNOWN, Cause.NEVER_PULLED), True),
    ],
)
def test_nodes_are_looked_at_only_where_they_can_change_something(
    policy: PullPolicy, outcome: Outcome, looked: bool
) -> None:
    assert matters(use_of(APP, policy=policy), outcome) is looked


@pytest.mark.parametrize(
    "status",
    [None, [], {"images": "x"}, {"images": [None, 1, {"names": 5}, {"names": [None, 7]}]}],
)
def test_a_node_of_another_shape_holds_nothing(status: Any) -> None:
    assert node_of({"metadata": None, "status": status}).images == frozenset()
