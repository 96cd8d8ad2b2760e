"""Which images a workload uses, where they stand in it, and how they are pulled.

The kinds and paths are those of the Kubernetes API; the default pull policy is
that of the API server (``SetDefaults_Container``): ``Always`` for the tag
``latest``, also where it is implied, else ``IfNotPresent``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from webhook.images.placement import ANYWHERE, Placement, placement_of
from webhook.images.reference import DEFAULT_TAG, InvalidReference, Reference, parse
from webhook.images.rollout import Rollout, rollout_of

DEFAULT_SERVICE_ACCOUNT = "default"


class PullPolicy(StrEnum):
    """When the kubelet pulls."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Place(StrEnum):
    """Where in a pod an image is used; the value is the field of the pod's spec."""

    CONTAINER = "containers"
    INIT_CONTAINER = "initContainers"
    EPHEMERAL_CONTAINER = "ephemeralContainers"
    VOLUME = "volumes"


POD_SPECS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): ("spec",),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("", "PodTemplate"): ("template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""Where the pod's spec stands, by API group and kind."""


@dataclass(frozen=True, slots=True)
class ImageUse:
    """One image of a pod: ``field`` is its full path, ``written`` the text that stands there.

    ``container`` is the container's name, or ``volume:NAME``. ``mounted`` is False
    for an image volume that no container mounts: it blocks nobody.
    """

    field: str
    container: str
    place: Place
    written: str
    reference: Reference | InvalidReference
    pull_policy: PullPolicy
    mounted: bool = True


@dataclass(frozen=True, slots=True)
class PodInputs:
    """What of a pod's spec decides its pulls, besides the images themselves.

    ``rollout`` says how many pods come of it; it decides no pull, and two that differ
    in it alone are equal.
    """

    secrets: tuple[str, ...]
    service_account: str
    images: tuple[ImageUse, ...]
    node_selection: str = ""
    placement: Placement = ANYWHERE
    rollout: Rollout = field(default=Rollout(), compare=False)


def pod_spec_path(group: str, kind: str) -> tuple[str, ...] | None:
    """Return where the pod's spec stands in an object of that kind; None for other kinds."""
    return POD_SPECS.get((group, kind))


def dig(value: Any, path: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the mapping that stands at ``path``, or None where anything else does."""
    for step in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value if isinstance(value, Mapping) else None


def pod_inputs(group: str, kind: str, manifest: Mapping[str, Any]) -> PodInputs | None:
    """Read what decides the pulls of the pods of ``manifest``; None when it makes no pods."""
    path = pod_spec_path(group, kind)
    return inputs_at(path, {**manifest, "kind": kind}) if path is not None else None


def inputs_at(path: Sequence[str], manifest: Mapping[str, Any]) -> PodInputs | None:
    """Read what decides the pulls of the pods whose spec stands at ``path``, None where none is.

    Whether they are a DaemonSet's, and how many they are, goes by the ``kind`` of ``manifest``.
    """
    spec = dig(manifest, path)
    if spec is None:
        return None
    daemon = manifest.get("kind") == "DaemonSet"
    return PodInputs(
        secrets=tuple(_pull_secret_names(spec)),
        service_account=_text(spec.get("serviceAccountName"))
        or _text(spec.get("serviceAccount"))
        or DEFAULT_SERVICE_ACCOUNT,
        images=tuple(_image_uses(spec, ".".join(path))),
        node_selection=_node_selection(spec),
        placement=placement_of(spec, daemon=daemon),
        rollout=rollout_of(manifest),
    )


def _pull_secret_names(spec: Mapping[str, Any]) -> Iterator[str]:
    """Yield every entry, an empty name too: ``[{}]`` keeps the account's from being merged."""
    for entry in _list(spec.get("imagePullSecrets")):
        yield _text(entry.get("name"))


def _node_selection(spec: Mapping[str, Any]) -> str:
    keys = ("nodeName", "nodeSelector", "affinity", "tolerations", "runtimeClassName")
    try:
        return repr([spec.get(key) for key in keys])
    except RecursionError:
        # An API server lets nothing so deep through; in a file it must not end the check.
        return ""


def _image_uses(spec: Mapping[str, Any], path: str) -> Iterator[ImageUse]:
    mounted: set[str] = set()
    for place in (Place.CONTAINER, Place.INIT_CONTAINER, Place.EPHEMERAL_CONTAINER):
        for index, container in _indexed(spec.get(place)):
            mounted.update(_text(m.get("name")) for m in _list(container.get("volumeMounts")))
            written = _text(container.get("image"))
            if written:
                yield _use(
                    f"{path}.{place}[{index}].image",
                    _text(container.get("name")),
                    place,
                    written,
                    container.get("imagePullPolicy"),
                )
    for index, volume in _indexed(spec.get(Place.VOLUME)):
        image = volume.get("image")
        if not isinstance(image, Mapping) or not _text(image.get("reference")):
            continue
        name = _text(volume.get("name"))
        yield _use(
            f"{path}.volumes[{index}].image.reference",
            f"volume:{name}",
            Place.VOLUME,
            _text(image.get("reference")),
            image.get("pullPolicy"),
            mounted=name in mounted,
        )


def _use(
    field: str, container: str, place: Place, written: str, policy: Any, *, mounted: bool = True
) -> ImageUse:
    reference = parse(written)
    return ImageUse(
        field=field,
        container=container,
        place=place,
        written=written,
        reference=reference,
        pull_policy=pull_policy(policy, reference),
        mounted=mounted,
    )


def pull_policy(written: Any, reference: Reference | InvalidReference) -> PullPolicy:
    """Return the policy in force; a tag of ``latest`` beside a digest still means Always."""
    try:
        return PullPolicy(written)
    except ValueError:
        pass
    if isinstance(reference, Reference) and reference.tag == DEFAULT_TAG:
        return PullPolicy.ALWAYS
    return PullPolicy.IF_NOT_PRESENT


def _indexed(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((n, item) for n, item in enumerate(value) if isinstance(item, Mapping))


def _list(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for _, item in _indexed(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
