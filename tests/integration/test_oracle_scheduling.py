"""The nodes that are eligible are those of kube-scheduler's own code, whatever a pod asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.scheduling import Scheduling
from tests.parts.sight import locate_in_sight
from webhook.cluster.node import TRANSIENT_TAINTS
from webhook.cluster.nodes import Nodes, node_of
from webhook.cluster.scheduling import eligible, placement_of

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def scheduler(pytestconfig: pytest.Config) -> Iterator[Scheduling]:
    locate_in_sight(pytestconfig, ["scheduling"])
    with Scheduling() as running:
        yield running


def ours(
    spec: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], *, daemon: bool = False
) -> set[str]:
    found = eligible(Nodes(map(node_of, nodes)), placement_of(spec, daemon=daemon))
    names = found.names(len(nodes))
    assert found.count == len(names)
    return set(names)


# Few of each, so that they meet; among them what no API server would let through.
KEYS = st.sampled_from(
    ["a", "b", "kubernetes.io/hostname", "example.com/a", "", "/a", "x/", "A.b/c", "a/b/c", "-a"]
)
VALUES = st.sampled_from(
    [
        *("", "x", "y", "n0", "n1", "1", "2", "-1", "+1", "01", "0", "x-", "a b", "y" * 63),
        *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "y" * 64, "ä"),
    ]
)
NAMES = st.sampled_from(["n0", "n1", "n2", "n9", ""])
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule", "", "Other"])
TAINT_KEYS = st.sampled_from(["a", "b", "", "node.kubernetes.io/unschedulable"])
OPERATORS = st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "", "in"])


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Manifest]:
    """Objects in which any field may be left out."""
    return st.fixed_dictionaries({}, optional=fields)


def requirements(keys: st.SearchStrategy[str]) -> st.SearchStrategy[list[Manifest]]:
    values = st.lists(st.one_of(VALUES, NAMES), max_size=2)
    return st.lists(some(key=keys, operator=OPERATORS, values=values), max_size=2)


TERMS = some(
    matchExpressions=requirements(KEYS),
    matchFields=requirements(st.sampled_from(["metadata.name", "metadata.namespace", ""])),
)
AFFINITIES = some(
    nodeAffinity=some(
        requiredDuringSchedulingIgnoredDuringExecution=some(
            nodeSelectorTerms=st.lists(TERMS, max_size=3)
        )
    )
)
TOLERATIONS = some(
    key=TAINT_KEYS,
    operator=st.sampled_from(["", "Equal", "Exists", "Lt", "Gt", "exists"]),
    value=VALUES,
    effect=EFFECTS,
    tolerationSeconds=st.integers(-1, 5),
)
SPECS = some(
    nodeName=NAMES,
    nodeSelector=st.dictionaries(KEYS, VALUES, max_size=2),
    affinity=AFFINITIES,
    tolerations=st.lists(TOLERATIONS, max_size=3),
    hostNetwork=st.booleans(),
)
TAINTS = st.fixed_dictionaries({"key": TAINT_KEYS, "value": VALUES, "effect": EFFECTS})


@st.composite
def fleets(draw: st.DrawFn) -> list[Manifest]:
    count = draw(st.integers(0, 3))
    return [
        {
            "metadata": {
                "name": f"n{number}",
                "labels": draw(st.dictionaries(KEYS, VALUES, max_size=3))
                | {"kubernetes.io/hostname": f"n{number}"},
            },
            "spec": {
                "unschedulable": draw(st.booleans()),
                "taints": draw(st.lists(TAINTS, max_size=2)),
            },
        }
        for number in range(count)
    ]


@settings(max_examples=1200, deadline=None)
@given(SPECS, fleets(), st.booleans())
def test_any_pod_may_run_where_the_scheduler_says(
    scheduler: Scheduling, spec: Manifest, nodes: list[Manifest], daemon: bool
) -> None:
    """NodeAffinity, TaintToleration, NodeUnschedulable and NodeName, as their plugins filter."""
    assert ours(spec, nodes, daemon=daemon) == scheduler.eligible(spec, nodes, daemon=daemon)


@settings(max_examples=600, deadline=None)
@given(requirements(KEYS), requirements(st.just("metadata.name")), fleets())
def test_any_term_matches_the_nodes_that_the_schedulers_own_code_matches(
    scheduler: Scheduling,
    expressions: list[Manifest],
    fields: list[Manifest],
    nodes: list[Manifest],
) -> None:
    """Terms are ORed, their requirements ANDed; a nil or empty term matches no objects."""
    nodes = [{**node, "spec": {}} for node in nodes]
    term = {"matchExpressions": expressions, "matchFields": fields}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    spec = {"affinity": {"nodeAffinity": required}}
    assert ours(spec, nodes) == scheduler.eligible(spec, nodes)


@settings(max_examples=600, deadline=None)
@given(st.lists(TOLERATIONS, max_size=2), st.lists(TAINTS, min_size=1, max_size=2))
def test_any_toleration_bears_what_the_schedulers_own_code_says(
    scheduler: Scheduling, tolerations: list[Manifest], taints: list[Manifest]
) -> None:
    """An empty effect matches all effects, an empty key all keys, Exists all values."""
    nodes = [{"metadata": {"name": "n0"}, "spec": {"taints": taints}}]
    spec = {"tolerations": tolerations}
    assert ours(spec, nodes) == scheduler.eligible(spec, nodes)


@settings(max_examples=200, deadline=None)
@given(SPECS, fleets(), st.sampled_from(sorted(TRANSIENT_TAINTS)))
def test_a_taint_that_the_cluster_lifts_by_itself_excludes_no_node(
    spec: Manifest, nodes: list[Manifest], key: str
) -> None:
    """A pod waits until the node is well; what it pulls there then is asked now."""
    before = ours(spec, nodes)
    for node in nodes:
        node["spec"]["taints"] += [{"key": key, "effect": e} for e in ("NoSchedule", "NoExecute")]
    assert ours(spec, nodes) == before
