"""Objects as they are sent: what a manifest leaves out is filled in, and its images are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.node.machine import NODE
from tests.node.model import Object

MADE_BY = "node.pullproof.test/object"

# Where a kind is created, and where in it the spec of its pods is.
_KINDS = {
    "Pod": ("/api/v1", "pods", ()),
    "ReplicationController": ("/api/v1", "replicationcontrollers", ("spec", "template")),
    "Deployment": ("/apis/apps/v1", "deployments", ("spec", "template")),
    "ReplicaSet": ("/apis/apps/v1", "replicasets", ("spec", "template")),
    "StatefulSet": ("/apis/apps/v1", "statefulsets", ("spec", "template")),
    "DaemonSet": ("/apis/apps/v1", "daemonsets", ("spec", "template")),
    "Job": ("/apis/batch/v1", "jobs", ("spec", "template")),
    "CronJob": ("/apis/batch/v1", "cronjobs", ("spec", "jobTemplate", "spec", "template")),
}
COLLECTIONS = {
    kind: f"{group}/{{}}/{plural}" for kind, (group, plural, _) in _KINDS.items() if kind != "Pod"
}
_OTHERS = {"ServiceAccount": "serviceaccounts", "Secret": "secrets"}
_SELECTING = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet")
DEBUG = "EphemeralContainer"

# Containers that are to end, so that what comes after them may begin.
_ENDS = ["/hello", "end"]


@dataclass(frozen=True)
class Use:
    """One image of an object: the container's name, or `volume:` and the volume's."""

    container: str
    image: str
    field: str
    policy: str
    mounts: tuple[str, ...] = ()
    # The images of the volumes that it mounts.
    mounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    """One object as it goes to the API server. `uses` is empty for what starts no pods."""

    kind: str
    name: str
    path: str
    body: Object
    uses: tuple[Use, ...] = ()

    @property
    def template(self) -> Object:
        at: Object = self.body
        for part in _KINDS[self.kind][2]:
            at = at[part]
        return at


def sent(given: Object, namespace: str, count: int) -> Sent:
    """Complete one manifest of a case; without a kind it is the spec of a Pod."""
    if "kind" not in given:
        name = given.get("name", f"pod-{count}")
        spec = {key: value for key, value in given.items() if key != "name"}
        given = {"kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kind = given["kind"]
    name = given["metadata"]["name"]
    metadata = {"namespace": namespace, **given["metadata"]}
    if kind == DEBUG:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers"
        container = _container(given["spec"], ends=False)
        use = Use(container["name"], container["image"], "spec.ephemeralContainers[0].image", "")
        return Sent(kind, name, path, container, (use,))
    if kind in _OTHERS:
        path = f"/api/v1/namespaces/{namespace}/{_OTHERS[kind]}"
        return Sent(kind, name, path, {"apiVersion": "v1", **given, "metadata": metadata})
    group, plural, where = _KINDS[kind]
    body = {"apiVersion": _version(group), **given, "metadata": metadata}
    template = body
    for part in where:
        template[part] = dict(template[part])
        template = template[part]
    template["metadata"] = {**template.get("metadata", {})}
    labels = {**template["metadata"].get("labels", {}), MADE_BY: name}
    template["metadata"]["labels"] = labels
    if kind in _SELECTING:
        body["spec"].setdefault("selector", {"matchLabels": {MADE_BY: name}})
    template["spec"] = _pod_spec(template["spec"], ends=kind in ("Job", "CronJob"))
    uses = _uses(template["spec"], ".".join((*where, "spec")))
    return Sent(kind, name, f"{group}/namespaces/{namespace}/{plural}", body, uses)


def is_volume(use: Use) -> bool:
    return use.container.startswith("volume:")


def pull_policy(use: Use, spec: Mapping[str, Any]) -> str:
    """Return the policy in force: what the API server wrote where the manifest says nothing."""
    if is_volume(use):
        volumes = {f"volume:{one['name']}": one.get("image", {}) for one in spec["volumes"]}
        return str(volumes[use.container].get("pullPolicy", ""))
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for one in spec.get(part, []):
            if one["name"] == use.container:
                return str(one.get("imagePullPolicy", ""))
    return use.policy


def known_as(image: str) -> frozenset[str]:
    """Return the names under which a node may tell of an image."""
    name, _, digest = image.partition("@")
    if digest:
        tagged = [f"{name.rpartition(':')[0] if ':' in name.rpartition('/')[2] else name}@{digest}"]
    else:
        tagged = [name if ":" in name.rpartition("/")[2] else f"{name}:latest"]
    return frozenset(
        f"{before}{one}" for one in tagged for before in ("", "docker.io/", "docker.io/library/")
    )


def _version(group: str) -> str:
    return group.removeprefix("/apis/").removeprefix("/api/")


def _pod_spec(given: Object, *, ends: bool) -> Object:
    spec = dict(given)
    image = {key: spec.pop(key) for key in ("image", "imagePullPolicy") if key in spec}
    if image:
        spec["containers"] = [{"name": "app", **image}]
    spec.setdefault("nodeName", NODE)
    # There is no network of pods, and nobody who would answer with their token.
    spec.setdefault("hostNetwork", True)
    spec.setdefault("automountServiceAccountToken", False)
    spec.setdefault("terminationGracePeriodSeconds", 1)
    if ends:
        spec.setdefault("restartPolicy", "Never")
    secrets = spec.get("imagePullSecrets")
    if secrets is not None:
        spec["imagePullSecrets"] = [
            {"name": one} if isinstance(one, str) else one for one in secrets
        ]
    spec["containers"] = [_container(one, ends=ends) for one in spec["containers"]]
    if "initContainers" in spec:
        spec["initContainers"] = [
            _container(one, ends="restartPolicy" not in one) for one in spec["initContainers"]
        ]
    return spec


def _container(given: Object, *, ends: bool) -> Object:
    # For want of seccomp, which the sandbox of any other pod asks for.
    container = {"securityContext": {"privileged": True}, **given}
    if ends:
        container.setdefault("command", _ENDS)
    return container


def _uses(spec: Object, field: str) -> tuple[Use, ...]:
    found = []
    volumes = {
        one["name"]: one["image"].get("reference")
        for one in spec.get("volumes", [])
        if one.get("image")
    }
    for part in ("initContainers", "containers"):
        for number, one in enumerate(spec.get(part, [])):
            mounts = tuple(mount["name"] for mount in one.get("volumeMounts", []))
            policy = one.get("imagePullPolicy", "")
            place = f"{field}.{part}[{number}].image"
            mounted = tuple(volumes[name] for name in mounts if volumes.get(name))
            found.append(Use(one["name"], one.get("image", ""), place, policy, mounts, mounted))
    for number, volume in enumerate(spec.get("volumes", [])):
        image: Any = volume.get("image")
        if image is not None:
            place = f"{field}.volumes[{number}].image.reference"
            policy = image.get("pullPolicy", "")
            name = f"volume:{volume['name']}"
            found.append(Use(name, image.get("reference", ""), place, policy))
    return tuple(found)
