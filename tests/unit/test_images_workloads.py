"""Which images a workload uses, whatever its kind and however hostile its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.images.placement import (
    ANYWHERE,
    Placement,
    Requirement,
    Term,
    Toleration,
    placement_of,
)
from webhook.images.reference import InvalidReference, parse
from webhook.images.rollout import Rollout, rollout_of
from webhook.images.workloads import (
    POD_SPECS,
    Place,
    PodInputs,
    PullPolicy,
    dig,
    pod_inputs,
    pod_spec_path,
    pull_policy,
)

DIGEST = "sha256:" + "0" * 64


def under(path: tuple[str, ...], spec: Any) -> dict[str, Any]:
    for step in reversed(path):
        spec = {step: spec}
    assert isinstance(spec, dict)
    return spec


def of_pod(spec: Mapping[str, Any]) -> PodInputs:
    got = pod_inputs("", "Pod", {"spec": spec})
    assert got is not None
    return got


@pytest.mark.parametrize(
    ("group", "kind", "field"),
    [
        ("", "Pod", "spec"),
        ("", "ReplicationController", "spec.template.spec"),
        ("", "PodTemplate", "template.spec"),
        ("apps", "Deployment", "spec.template.spec"),
        ("apps", "ReplicaSet", "spec.template.spec"),
        ("apps", "StatefulSet", "spec.template.spec"),
        ("apps", "DaemonSet", "spec.template.spec"),
        ("batch", "Job", "spec.template.spec"),
        ("batch", "CronJob", "spec.jobTemplate.spec.template.spec"),
    ],
)
def test_each_kind_has_its_pods_spec_at_its_own_path(group: str, kind: str, field: str) -> None:
    path = tuple(field.split("."))
    manifest = under(path, {"containers": [{"name": "web", "image": "nginx"}]})
    got = pod_inputs(group, kind, manifest)
    assert got is not None
    assert [use.field for use in got.images] == [f"{field}.containers[0].image"]
    assert pod_spec_path(group, kind) == path


@pytest.mark.parametrize(
    ("group", "kind"), [("", "Service"), ("extensions", "Deployment"), ("apps", "Pod"), ("", "")]
)
def test_other_kinds_make_no_pods(group: str, kind: str) -> None:
    assert pod_inputs(group, kind, {"spec": {"containers": [{"image": "nginx"}]}}) is None


def test_containers_init_and_ephemeral_containers_and_image_volumes_are_read() -> None:
    got = of_pod(
        {
            "containers": [
                {"name": "web", "image": "web:1", "volumeMounts": [{"name": "model"}]},
                {"name": "bare"},
            ],
            "initContainers": [{"name": "init", "image": "init:1"}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox:1"}],
            "volumes": [
                {"name": "cfg", "configMap": {}},
                {"name": "model", "image": {"reference": "model:1"}},
                {"name": "spare", "image": {"reference": "spare:1", "pullPolicy": "Never"}},
                {"name": "empty", "image": {"reference": ""}},
            ],
        }
    )
    assert [(u.field, u.container, u.place, u.written, u.mounted) for u in got.images] == [
        ("spec.containers[0].image", "web", Place.CONTAINER, "web:1", True),
        ("spec.initContainers[0].image", "init", Place.INIT_CONTAINER, "init:1", True),
        (
            "spec.ephemeralContainers[0].image",
            "debug",
            Place.EPHEMERAL_CONTAINER,
            "busybox:1",
            True,
        ),
        ("spec.volumes[1].image.reference", "volume:model", Place.VOLUME, "model:1", True),
        ("spec.volumes[2].image.reference", "volume:spare", Place.VOLUME, "spare:1", False),
    ]
    assert got.images[-1].pull_policy is PullPolicy.NEVER


def test_an_image_that_is_no_reference_is_kept_with_its_fault() -> None:
    [use] = of_pod({"containers": [{"name": "web", "image": "Nginx"}]}).images
    assert isinstance(use.reference, InvalidReference)
    assert use.pull_policy is PullPolicy.IF_NOT_PRESENT


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", PullPolicy.ALWAYS),
        ("nginx:latest", PullPolicy.ALWAYS),
        ("nginx:1", PullPolicy.IF_NOT_PRESENT),
        ("nginx:LATEST", PullPolicy.IF_NOT_PRESENT),
        (f"nginx@{DIGEST}", PullPolicy.IF_NOT_PRESENT),
        (f"nginx:latest@{DIGEST}", PullPolicy.ALWAYS),
        ("nginx:", PullPolicy.IF_NOT_PRESENT),
    ],
)
def test_latest_also_implied_means_always(image: str, policy: PullPolicy) -> None:
    assert pull_policy(None, parse(image)) is policy


@pytest.mark.parametrize("written", ["", "always", 1, [], {}, None, True])
def test_a_policy_that_is_none_leaves_the_default(written: Any) -> None:
    assert pull_policy(written, parse("nginx:1")) is PullPolicy.IF_NOT_PRESENT


@pytest.mark.parametrize("policy", list(PullPolicy))
def test_a_written_policy_is_in_force(policy: PullPolicy) -> None:
    assert pull_policy(policy.value, parse("nginx")) is policy


def test_every_entry_of_imagepullsecrets_counts_also_one_without_a_name() -> None:
    """The account's secrets are merged only if the pod has none at all: `[{}]` blocks it."""
    assert of_pod(
        {"imagePullSecrets": [{"name": "a"}, {}, {"name": ""}, {"name": "a"}]}
    ).secrets == (*("a", "", "", "a"),)
    assert of_pod({"imagePullSecrets": []}).secrets == ()


@pytest.mark.parametrize(
    ("spec", "account"),
    [
        ({}, "default"),
        ({"serviceAccountName": "bot"}, "bot"),
        ({"serviceAccount": "old"}, "old"),
        ({"serviceAccountName": "bot", "serviceAccount": "old"}, "bot"),
        ({"serviceAccountName": "", "serviceAccount": 3}, "default"),
    ],
)
def test_the_account_is_default_when_unset(spec: Mapping[str, Any], account: str) -> None:
    assert of_pod(spec).service_account == account


@pytest.mark.parametrize(
    "changed",
    [
        {"imagePullSecrets": [{"name": "new"}]},
        {"serviceAccountName": "bot"},
        {"nodeSelector": {"kubernetes.io/arch": "arm64"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"containers": [{"name": "a", "image": "nginx:1", "imagePullPolicy": "Always"}]},
    ],
)
def test_what_decides_a_pull_is_part_of_its_inputs(changed: Mapping[str, Any]) -> None:
    spec: dict[str, Any] = {"containers": [{"name": "a", "image": "nginx:1"}]}
    assert of_pod({**spec, **changed}) != of_pod(spec)
    assert of_pod({**spec, "hostname": "h"}) == of_pod(spec)


@pytest.mark.parametrize(
    "wrong", [None, True, 1, 1.5, "text", [], ["a"], [None], {}, {"a": 1}, [[{}]]]
)
def test_a_wrong_type_anywhere_never_raises(wrong: Any) -> None:
    fields = ["containers", "initContainers", "ephemeralContainers", "volumes", "imagePullSecrets"]
    for group, kind in POD_SPECS:
        path = POD_SPECS[group, kind]
        for depth in range(len(path)):
            assert (
                pod_inputs(group, kind, under(path[: depth + 1], wrong)) is None
                or wrong == {}
                or (depth == len(path) - 1 and isinstance(wrong, dict))
            )
        for field in fields:
            assert pod_inputs(group, kind, under(path, {field: wrong})) is not None
    for container in ("name", "image", "imagePullPolicy", "volumeMounts"):
        of_pod({"containers": [{"name": "a", "image": "nginx", container: wrong}]})
    for volume in ("name", "image"):
        of_pod({"volumes": [{"name": "a", "image": {"reference": "a"}, volume: wrong}]})
    for image in ("reference", "pullPolicy"):
        of_pod({"volumes": [{"name": "a", "image": {"reference": "a", image: wrong}}]})
    for mount in ("name", "mountPath"):
        of_pod({"containers": [{"image": "a", "volumeMounts": [{mount: wrong}]}]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("spec", "template", "jobTemplate", "containers", "initContainers", "volumes"),
                    *(
                        "image",
                        "reference",
                        "name",
                        "imagePullSecrets",
                        "volumeMounts",
                        "nodeSelector",
                    ),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON, st.sampled_from(sorted(POD_SPECS)))
def test_no_manifest_raises(manifest: Any, kind: tuple[str, str]) -> None:
    if isinstance(manifest, dict):
        pod_inputs(*kind, manifest)
    dig(manifest, POD_SPECS[kind])


def test_a_selection_too_deep_to_print_never_raises() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = [deep]
    assert of_pod({"affinity": deep}).node_selection == ""


def test_where_a_pod_may_run_is_read() -> None:
    term = {
        "matchExpressions": [{"key": "pool", "operator": "In", "values": ["a", 1]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
    }
    required = {"nodeSelectorTerms": [term, {}]}
    got = of_pod(
        {
            "nodeName": "n",
            "nodeSelector": {"b": "2", "a": "1", "c": 3},
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}
            },
            "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 5}, 7],
        }
    ).placement
    assert got == Placement(
        node_name="n",
        node_selector=(("a", "1"), ("b", "2")),
        terms=(
            Term(
                (Requirement("pool", "In", ("a", "")),),
                (Requirement("metadata.name", "In", ("n",)),),
            ),
            Term(),
        ),
        tolerations=(Toleration("k", "Exists"),),
    )
    assert of_pod({}).placement == ANYWHERE


def test_a_required_affinity_without_terms_is_not_none() -> None:
    """Nil is no constraint; an empty selector matches no objects."""
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    assert placement_of({"affinity": {"nodeAffinity": {name: {}}}}).terms == ()
    assert placement_of({"affinity": {"nodeAffinity": {name: None}}}).terms is None
    assert placement_of({"affinity": {"nodeAffinity": {}}}).terms is None


def test_the_pods_of_a_daemonset_tolerate_what_its_controller_adds() -> None:
    manifest = {"spec": {"template": {"spec": {"hostNetwork": True}}}}
    daemons = pod_inputs("apps", "DaemonSet", manifest)
    others = pod_inputs("apps", "Deployment", manifest)
    assert daemons is not None
    assert others is not None
    assert daemons.placement.daemon
    keys = {toleration.key for toleration in daemons.placement.tolerations}
    assert "node.kubernetes.io/unschedulable" in keys
    assert "node.kubernetes.io/network-unavailable" in keys
    assert others.placement == ANYWHERE


@pytest.mark.parametrize(
    "wrong", [None, True, 1, 1.5, "text", [], ["a"], [None], {}, {"a": 1}, [[{}]], [{"a": 1}]]
)
def test_a_placement_and_a_rollout_of_any_shape_are_read(wrong: Any) -> None:
    for field in ("nodeName", "nodeSelector", "affinity", "tolerations", "hostNetwork"):
        placement_of({field: wrong}, daemon=True)
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    placement_of({"affinity": {"nodeAffinity": wrong}})
    placement_of({"affinity": {"nodeAffinity": {name: wrong}}})
    placement_of({"affinity": {"nodeAffinity": {name: {"nodeSelectorTerms": wrong}}}})
    for part in ("matchExpressions", "matchFields"):
        terms = {"nodeSelectorTerms": [{part: wrong}, {part: [{"values": wrong, "key": wrong}]}]}
        placement_of({"affinity": {"nodeAffinity": {name: terms}}})
    for kind in ("Pod", "Deployment", "Job", "CronJob", "DaemonSet", "StatefulSet", wrong):
        rollout_of({"kind": kind, "spec": wrong})
        for key in ("replicas", "strategy", "parallelism", "completions", "jobTemplate"):
            assert rollout_of({"kind": kind, "spec": {key: wrong}}).pods >= 0
        rollout_of({"kind": kind, "spec": {"strategy": {"rollingUpdate": {"maxSurge": wrong}}}})


@pytest.mark.parametrize(
    ("kind", "spec", "pods"),
    [
        ("Pod", {}, 1),
        ("Deployment", {}, 2),
        ("Deployment", {"replicas": 10}, 13),
        ("Deployment", {"replicas": 10, "strategy": {"type": "Recreate"}}, 10),
        ("Deployment", {"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 0}}}, 4),
        ("Deployment", {"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": "30%"}}}, 6),
        ("Deployment", {"replicas": 0}, 0),
        ("StatefulSet", {"replicas": 3}, 3),
        ("ReplicaSet", {}, 1),
        ("Job", {}, 1),
        ("Job", {"parallelism": 8, "completions": 5}, 5),
        ("CronJob", {"jobTemplate": {"spec": {"parallelism": 4}}}, 4),
        ("PodTemplate", {}, 0),
        ("Rollout", {"replicas": 6}, 6),
        ("Deployment", {"replicas": -1}, 0),
        ("StatefulSet", {"replicas": 10**4000}, 2**31 - 1),
        ("Deployment", {"replicas": True, "strategy": {"type": "Recreate"}}, 1),
    ],
)
def test_a_rollout_starts_as_many_pods_as_its_kind_says(
    kind: str, spec: Mapping[str, Any], pods: int
) -> None:
    got = rollout_of({"kind": kind, "spec": spec})
    assert got == Rollout(pods)
    assert got.pulls(pods + 1) == pods
    assert got.pulls(2) == min(pods, 2)


def test_a_daemonset_pulls_on_every_node() -> None:
    assert rollout_of({"kind": "DaemonSet"}).pulls(5000) == 5000


def test_a_scaling_changes_no_pull_input() -> None:
    def scaled(replicas: int) -> PodInputs | None:
        spec = {"template": {"spec": {}}, "replicas": replicas}
        return pod_inputs("apps", "Deployment", {"spec": spec})

    one, two = scaled(1), scaled(2)
    assert one == two
    assert one is not None
    assert two is not None
    assert one.rollout != two.rollout
