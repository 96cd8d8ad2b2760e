"""Which images a workload uses, whatever its kind and however hostile its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.images.reference import InvalidReference, parse
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
