"""Nodes as they come and go: snapshots stay as they were, and nothing is kept for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.cluster.node import Pool, Runtime, bytes_of, node_of
from webhook.cluster.nodes import Fleet, Nodes
from webhook.cluster.scheduling import ANYWHERE, Eligible, eligible, machines, placement_of
from webhook.images.platform import Platform

CROWDED = "w:1 w:2@sha256:0 w:2 w:4 w:5"
"""The names of one image, as many as a node tells."""


def manifest(name: str, *images: str, **labels: str) -> dict[str, Any]:
    listed = [{"names": image.split()} for image in images]
    return {"metadata": {"name": name, "labels": labels}, "status": {"images": listed}}


def test_a_snapshot_stays_as_it_was() -> None:
    fleet = Fleet()
    fleet.put(manifest("a", "x:1", pool="p"))
    fleet.put(manifest("b", "x:1", "y:1"))
    before = fleet.snapshot()
    fleet.put(manifest("a", "y:1", pool="q"))
    fleet.drop("b")
    after = fleet.snapshot()
    assert before.holding("x:1") == ("a", "b")
    assert before.holding("y:1") == ("b",)
    assert [node.labels.get("pool") for node in before.nodes] == ["p", None]
    assert (after.holding("x:1"), after.holding("y:1")) == ((), ("a",))
    assert [dict(node.labels) for node in after.nodes] == [{"pool": "q"}]


def test_what_changes_nothing_makes_no_new_snapshot() -> None:
    fleet = Fleet()
    fleet.put(manifest("a", "x:1"))
    before = fleet.snapshot()
    fleet.put(manifest("a", "x:1") | {"metadata": {"name": "a", "resourceVersion": "7"}})
    assert not fleet.changed
    assert fleet.snapshot() is before


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.none() | st.frozensets(st.sampled_from(["x:1", "y:1", "z:1", CROWDED])),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(CHANGES)
def test_any_changes_lead_to_what_a_new_list_would(changes: list[Any]) -> None:
    """A watch and a list tell the same."""
    fleet, now, snapshots = Fleet(), dict[str, Any](), []
    for name, images, looked_at in changes:
        if images is None:
            fleet.drop(name)
            now.pop(name, None)
        else:
            now[name] = manifest(name, *sorted(images), arch=name)
            fleet.put(now[name])
        if looked_at:
            snapshots.append((fleet.snapshot(), dict(now)))
    for found, then in [*snapshots, (fleet.snapshot(), now)]:
        expected = Nodes(map(node_of, then.values()))
        assert set(found.nodes) == set(expected.nodes)
        assert len(found) == len(then)
        for image in ("x:1", "y:1", "z:1", "w:1", "w"):
            assert set(found.holding(image)) == set(expected.holding(image))
            every = eligible(found, ANYWHERE)
            assert set(every.holding(image)) == set(expected.holding(image))
            assert every.count_holding(image) == len(expected.holding(image))


def test_weeks_of_new_images_and_nodes_leave_nothing_behind() -> None:
    fleet = Fleet()
    pool: Pool = fleet._pool
    for day in range(2000):
        fleet.put(manifest(f"node-{day % 5}", *(f"app:{day}-{one}" for one in range(10))))
        fleet.put(manifest(f"spot-{day}", f"app:{day}", host=f"spot-{day}"))
        fleet.drop(f"spot-{day}")
    assert len(fleet) == 5
    assert len(fleet._holders) == 50
    assert len(fleet._slots) <= 6
    assert len(pool._shared) < 4096 + 200
    assert pool.is_crowded is False


def test_equal_texts_are_kept_once() -> None:
    pool = Pool()
    [a, b] = [node_of(manifest(name, "x" * 9 + ":1", pool="p" * 9), pool) for name in "ab"]
    assert a.names[0] is b.names[0]
    assert a.labels.places is b.labels.places
    assert a.labels["pool"] is b.labels["pool"]
    assert a.profile is b.profile


def with_info(**info: str) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "status": {"nodeInfo": info}}


@pytest.mark.parametrize(
    ("node", "platform"),
    [
        (with_info(operatingSystem="linux", architecture="arm64"), Platform("linux", "arm64")),
        (
            with_info(operatingSystem="linux", architecture="amd64")
            | {"metadata": {"name": "a", "labels": {"kubernetes.io/arch": "arm64"}}},
            Platform("linux", "amd64"),
        ),
        (
            manifest("a", **{"kubernetes.io/os": "linux", "kubernetes.io/arch": "s390x"}),
            Platform("linux", "s390x"),
        ),
        (manifest("a", **{"kubernetes.io/os": "linux"}), None),
        (manifest("a"), None),
        (
            with_info(
                operatingSystem="windows", architecture="amd64", kernelVersion="10.0.20348.1726"
            ),
            Platform("windows", "amd64", os_version="10.0.20348"),
        ),
        (
            with_info(operatingSystem="windows", architecture="amd64", kernelVersion="?")
            | {
                "metadata": {
                    "name": "a",
                    "labels": {"node.kubernetes.io/windows-build": "10.0.17763"},
                }
            },
            Platform("windows", "amd64", os_version="10.0.17763"),
        ),
    ],
)
def test_the_platform_is_the_machines_and_else_the_labels(
    node: dict[str, Any], platform: Platform | None
) -> None:
    assert node_of(node).profile.platform == platform


def test_what_a_32_bit_arm_node_may_be_is_v7_or_v8() -> None:
    assert machines(Platform("linux", "arm")) == (
        Platform("linux", "arm", "v7"),
        Platform("linux", "arm", "v8"),
    )
    assert machines(Platform("linux", "arm64")) == (Platform("linux", "arm64"),)


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("95551679124", 95551679124),
        (7, 7),
        ("47Gi", 47 * 2**30),
        ("1.5k", 1500),
        ("1e3", 1000),
        ("1E3", 1000),
        ("2E", 2 * 10**18),
        ("100m", 1),
        ("0.5", 1),
        (".5Ki", 512),
        ("1.", 1),
        ("9E99", 2**63 - 1),
        (2**70, 2**63 - 1),
        ("-9E99", 1 - 2**63),
        (-(2**70), 1 - 2**63),
    ],
)
def test_a_quantity_is_read_as_whole_bytes(quantity: Any, expected: int | None) -> None:
    assert bytes_of(quantity) == expected


@pytest.mark.parametrize(
    "wrong", ["", "x", "1 Gi", "Gi", "1KI", True, None, [], 1.5, "9" * 999, "--1", "1e999"]
)
def test_what_is_no_quantity_is_not_known(wrong: Any) -> None:
    assert bytes_of(wrong) is None


def virtual(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "v", **metadata}, "status": {"nodeInfo": {"architecture": "arm"}}}


@pytest.mark.parametrize(
    "node",
    [
        virtual(labels={"type": "virtual-kubelet"}),
        virtual(labels={"eks.amazonaws.com/compute-type": "fargate"}),
        virtual()
        | {"spec": {"taints": [{"key": "virtual-kubelet.io/provider", "effect": "NoSchedule"}]}},
    ],
)
def test_virtual_nodes_are_counted_and_tell_nothing_else(node: dict[str, Any]) -> None:
    real = with_info(
        operatingSystem="linux",
        architecture="amd64",
        containerRuntimeVersion="containerd://2.1.4-k3s1",
    )
    real["status"]["allocatable"] = {"ephemeral-storage": "10Gi"}
    spec = {"tolerations": [{"operator": "Exists"}]}
    found = of(spec, real, node)
    assert (found.count, found.virtual) == (2, 1)
    assert found.platforms == {Platform("linux", "amd64"): 1}
    assert found.unknown_platforms == 0
    assert found.runtimes == {Runtime("containerd", "2.1.4-k3s1"): 1}
    assert least(found) == 10 * 2**30
    assert next(iter(found.runtimes)).numbers == (2, 1, 4)


def of(spec: dict[str, Any], *nodes: dict[str, Any]) -> Eligible:
    return eligible(Nodes(map(node_of, nodes)), placement_of(spec))


def test_only_eligible_nodes_count() -> None:
    def sized(name: str, size: str, **labels: str) -> dict[str, Any]:
        node = manifest(name, "x:1", *(f"f:{one}" for one in range(49)), **labels)
        node["status"]["allocatable"] = {"ephemeral-storage": size}
        return node

    found = of(
        {"nodeSelector": {"pool": "big"}},
        sized("a", "10Gi"),
        sized("b", "40Gi", pool="big"),
        sized("c", "20Gi", pool="big"),
    )
    assert least(found) == 20 * 2**30
    assert found.holding("x:1") == ("b", "c")
    assert found.count_holding("x:1") == found.full_lists == found.unknown_platforms == 2
    assert found.names(1) == ("b",)
    assert of({"nodeSelector": {"pool": "none"}}, sized("a", "1Gi")).count == 0
    assert of({}).count == 0


def test_the_required_affinity_and_the_tolerations_of_a_pod_leave_nodes_out() -> None:
    """In the small; ``tests/integration/test_oracle_scheduling.py`` asks kube-scheduler itself."""
    tainted = manifest("c", pool="a") | {
        "spec": {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]}
    }
    preferred = manifest("d", pool="a") | {
        "spec": {"taints": [{"key": "dedicated", "effect": "PreferNoSchedule"}]}
    }
    fleet = manifest("a", pool="a"), manifest("b", pool="b"), tainted, preferred
    term = {"matchExpressions": [{"key": "pool", "operator": "NotIn", "values": ["b"]}]}
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}

    def names(*terms: dict[str, Any], **spec: Any) -> tuple[str, ...]:
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        affinity = {"affinity": {"nodeAffinity": required}} if terms else {}
        return of(affinity | spec, *fleet).names(9)

    assert names() == ("a", "b", "d")
    assert names(term) == ("a", "d")
    assert names(term, named) == ("a", "b", "d")
    assert names(term, tolerations=[{"key": "dedicated", "operator": "Exists"}]) == ("a", "c", "d")
    assert names(term, tolerations=[{"key": "dedicated", "value": "y"}]) == ("a", "d")


def least(found: Eligible) -> int | None:
    """Return the least storage of any node."""
    return min((one.storage for one in found.smallest.values()), default=None)


def disk(name: str, size: Any, arch: str = "amd64", **labels: str) -> dict[str, Any]:
    node = with_info(operatingSystem="linux", architecture=arch)
    node["metadata"] = {"name": name, "labels": labels}
    node["status"]["allocatable"] = {"ephemeral-storage": size}
    return node


def test_each_platform_has_a_smallest_node_of_its_own() -> None:
    nodes = (
        disk("a", "10Gi", "arm64"),
        disk("b", "40Gi"),
        disk("c", "30Gi", pool="big"),
        disk("d", "30Gi", pool="big"),
        disk("untold", None),
        disk("none", "0"),
        disk("less", "-1"),
        disk("virtual", "1Gi", type="virtual-kubelet"),
        disk("nameless", "2Gi", ""),
    )
    found = of({}, *nodes)
    told = {str(p): (found.name_of(one.slot), one.storage) for p, one in found.smallest.items()}
    assert told == {
        "linux/arm64": ("a", 10 * 2**30),
        "linux/amd64": ("c", 30 * 2**30),
        "None": ("nameless", 2 * 2**30),
    }
    assert least(found) == 2 * 2**30
    big = of({"nodeSelector": {"pool": "big"}}, *nodes)
    assert set(map(str, big.smallest)) == {"linux/amd64"}
    assert of({"nodeSelector": {"pool": "none"}}, *nodes).smallest == {}
    assert least(of({})) is None


@pytest.mark.parametrize("size", [2**70, -(2**70), "9E99", "-9E99", True, "much", [], {}])
def test_a_disk_of_any_size_is_indexed(size: Any) -> None:
    assert of({}, disk("a", size)).count == 1


def test_a_node_that_a_pod_names_counts_though_it_is_cordoned() -> None:
    node = manifest("a") | {"spec": {"unschedulable": True}}
    assert of({"nodeName": "a"}, node).count == 1
    assert of({}, node).count == 0
    assert of({"nodeName": "b"}, node).count == 0


@pytest.mark.parametrize("wrong", [None, True, 1, "x", [], [None], {}, {"a": 1}, [[{}]]])
def test_a_node_of_any_shape_is_read(wrong: Any) -> None:
    for field in ("metadata", "spec", "status"):
        node_of({field: wrong})
    for field in ("name", "labels"):
        node_of({"metadata": {field: wrong}})
    for field in ("taints", "unschedulable"):
        node_of({"spec": {field: wrong}})
    for field in ("images", "nodeInfo", "allocatable"):
        node_of({"status": {field: wrong}})
    node_of({"status": {"nodeInfo": {"operatingSystem": wrong, "architecture": wrong}}})


def test_who_holds_an_image_is_gathered_once_for_all_containers_of_a_pod() -> None:
    found = eligible(Nodes(map(node_of, [manifest("a", "x:1"), manifest("b", "x:1")])), ANYWHERE)
    assert found.holding("x:1") == ("a", "b")
    assert found.holding("x:1") is found.holding("x:1")
    assert (found.count_holding("x:1"), found.all_hold("x:1")) == (2, True)
