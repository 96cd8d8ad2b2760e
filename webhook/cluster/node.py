"""One node, slimmed to what decides where a pod may run and what its runtime pulls there."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from webhook.images.placement import NO_EXECUTE, NO_SCHEDULE
from webhook.images.platform import Platform

IMAGE_LIST_CAP = 50
"""Images that a kubelet lists at most by default; a full list proves no absence."""
NAME_LIST_CAP = 5
"""Names of one image that a kubelet lists at most, digests first, whatever its settings
(``MaxNamesPerImageInNodeStatus``): others of the same bytes are left out."""
OS_LABEL = "kubernetes.io/os"
ARCH_LABEL = "kubernetes.io/arch"
WINDOWS_BUILD_LABEL = "node.kubernetes.io/windows-build"
STORAGE = "ephemeral-storage"

TRANSIENT_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/pid-pressure",
        "node.kubernetes.io/network-unavailable",
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)
"""Taints that the cluster sets and lifts by itself as a node's condition changes.

The scheduler would place nothing there now; but a pod waits, and the node may be well
when it is placed. They exclude no node. A cordon (``unschedulable``) is somebody's wish
and does.
"""

_VIRTUAL_LABELS = (
    ("type", "virtual-kubelet"),
    ("eks.amazonaws.com/compute-type", "fargate"),
    ("liqo.io/type", "virtual-node"),
)
_VIRTUAL_TAINTS = frozenset({"virtual-kubelet.io/provider", "eks.amazonaws.com/compute-type"})

FIRST_WITH_RECORDS = (1, 35)
"""The first kubelet that keeps records of who pulled an image, unless told otherwise."""

_KUBELET = re.compile(r"v([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", re.ASCII)
_WINDOWS_VERSION = re.compile(r"([0-9]+\.[0-9]+\.[0-9]+)(\.[0-9]+)?", re.ASCII)
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i))?",
    re.ASCII,
)
_SUFFIXES = {
    **{
        suffix: Fraction(1024**n)
        for n, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)
    },
    **{suffix: Fraction(1000**n) for n, suffix in enumerate("kMGTPE", 1)},
    **{suffix: Fraction(1, 1000**n) for n, suffix in enumerate("mun", 1)},
}
_MAX_QUANTITY = 2**63 - 1

Shared = TypeVar("Shared", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint that keeps pods away: ``effect`` is NoSchedule or NoExecute."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime, as ``containerRuntimeVersion`` names it: ``containerd``, ``2.1.4``."""

    name: str = ""
    version: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Return the leading numbers of the version, empty where it begins with none."""
        found = re.match(r"v?([0-9]{1,9}(?:\.[0-9]{1,9})*)", self.version, re.ASCII)
        return tuple(map(int, found[1].split("."))) if found else ()

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class Profile:
    """What the nodes of a pool have in common, their labels aside; shared among them.

    ``platform`` is what the node's containerd takes itself for, as far as the API
    tells; None where it does not. ``virtual`` nodes (Fargate, virtual-kubelet) are no
    machine: what they pull with, and for which platform, is their provider's to know.
    ``keeps_records``: its kubelet may ask who pulled an image before a pod may use it.
    """

    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    platform: Platform | None = None
    runtime: Runtime = Runtime()
    virtual: bool = False
    keeps_records: bool = True


class Labels(Mapping[str, str]):
    """Labels: ``row`` holds the values, ``places`` where each key's value stands in it.

    ``places`` is one object for all nodes with the same keys.
    """

    __slots__ = ("places", "row")

    def __init__(self, places: Mapping[str, int], row: tuple[str, ...]) -> None:
        self.places = places
        self.row = row

    def __getitem__(self, key: str) -> str:
        return self.row[self.places[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Labels):
            same = self.places is other.places or self.places == other.places
            return same and self.row == other.row
        return dict(self) == other if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.row)

    def __repr__(self) -> str:
        return f"Labels({dict(self)!r})"


@dataclass(frozen=True, slots=True)
class Node:
    """One node: ``names`` are those of its ``status.images``, ``listed`` how many it lists.

    ``cut`` are the repositories of images that it may have more names of than it lists;
    ``has_hidden_repositories``: also of other repositories. ``ephemeral_storage`` is what
    pods may take of its disk, in bytes; None where it does not say.
    """

    name: str
    labels: Labels
    profile: Profile
    ephemeral_storage: int | None
    names: tuple[str, ...]
    listed: int
    cut: tuple[str, ...] = ()
    has_hidden_repositories: bool = False

    @property
    def known_by(self) -> tuple[str, ...]:
        """Return what to find it by: names, and repositories of which it may hold more."""
        return tuple(dict.fromkeys(self.names + self.cut)) if self.cut else self.names

    @property
    def images(self) -> frozenset[str]:
        """Return the names of the images that it lists (``name:tag`` and ``name@digest``)."""
        return frozenset(self.names)

    @property
    def list_is_full(self) -> bool:
        """Tell whether it may hold more images than it lists."""
        return self.listed >= IMAGE_LIST_CAP or self.has_hidden_repositories

    def schedules_as(self, other: "Node") -> bool:
        """Tell whether only the images differ."""
        return (
            self.profile == other.profile
            and self.ephemeral_storage == other.ephemeral_storage
            and self.labels == other.labels
            and self.name == other.name
        )


class Pool:
    """Equal values, kept once: thousands of nodes repeat the same few thousand texts.

    Holds what it was ever given: :meth:`renew` lets go of what no node has any more.
    """

    def __init__(self) -> None:
        self._shared: dict[Hashable, Any] = {}
        self._places: dict[tuple[str, ...], Mapping[str, int]] = {}
        self._after_renewal = 0

    def share(self, value: Shared) -> Shared:
        """Return the one value that equals ``value``."""
        return self._shared.setdefault(value, value)  # type: ignore[no-any-return] # of its own type

    def labels(self, labels: Mapping[str, str]) -> Labels:
        keys = tuple(sorted(labels))
        places = self._places.get(keys)
        if places is None:
            keys = tuple(map(self.share, keys))
            places = self._places[keys] = {key: place for place, key in enumerate(keys)}
        return Labels(places, tuple(self.share(labels[key]) for key in keys))

    @property
    def is_crowded(self) -> bool:
        """Tell whether it has grown to twice what was in use, so that renewing it pays."""
        return len(self._shared) > 2 * self._after_renewal + 4096

    def renew(self, nodes: Iterable[Node]) -> None:
        """Keep only what ``nodes`` use."""
        self._shared, self._places = {}, {}
        for node in nodes:
            self._places[tuple(node.labels.places)] = node.labels.places
            for value in (node.name, *node.known_by, *node.labels.row):
                self.share(value)
            self.share(node.profile)
            self.share(node.ephemeral_storage)
        self._after_renewal = len(self._shared)


def node_of(manifest: Mapping[str, Any], pool: Pool | None = None) -> Node:
    """Read a Node object; whatever is not of the API's shape is left out."""
    pool = pool or Pool()
    metadata, spec = _mapping(manifest.get("metadata")), _mapping(manifest.get("spec"))
    status = _mapping(manifest.get("status"))
    labels = {
        key: value
        for key, value in _mapping(metadata.get("labels")).items()
        if isinstance(key, str) and isinstance(value, str)
    }
    images = _items(status.get("images"))
    names = dict.fromkeys(name for image in images for name in _names(image))
    crowded = [told for image in images if len(told := _names(image)) >= NAME_LIST_CAP]
    cut = dict.fromkeys(_repository(name) for told in crowded for name in told)
    taints = tuple(_taints(spec.get("taints")))
    info = _mapping(status.get("nodeInfo"))
    profile = Profile(
        taints=taints,
        unschedulable=spec.get("unschedulable") is True,
        platform=_platform(info, labels),
        runtime=_runtime(info),
        virtual=_is_virtual(labels, taints),
        keeps_records=_keeps_records(info),
    )
    return Node(
        name=pool.share(_text(metadata.get("name"))),
        labels=pool.labels(labels),
        profile=pool.share(profile),
        ephemeral_storage=pool.share(bytes_of(_mapping(status.get("allocatable")).get(STORAGE))),
        names=tuple(map(pool.share, names)),
        listed=len(images),
        cut=tuple(map(pool.share, cut)),
        has_hidden_repositories=any(all("@" in name for name in told) for told in crowded),
    )


def _names(image: Mapping[str, Any]) -> Sequence[str]:
    return list(_strings(image.get("names")))


def _repository(name: str) -> str:
    """Return what stands before the digest or tag of a name that a node lists."""
    bare = name.partition("@")[0]
    path, colon, tag = bare.rpartition(":")
    return path if colon and "/" not in tag else bare


def bytes_of(quantity: Any) -> int | None:
    """Read a ``resource.Quantity`` as whole bytes, rounded up (``Value()``); None for another."""
    if isinstance(quantity, int) and not isinstance(quantity, bool):
        return max(-_MAX_QUANTITY, min(quantity, _MAX_QUANTITY))
    found = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    if found is None or len(found[1]) > len(str(_MAX_QUANTITY)) + 2:
        return None
    number = Fraction(found[1].rstrip(".") or "0")
    number *= Fraction(10) ** int(found[2]) if found[2] else _SUFFIXES.get(found[3], Fraction(1))
    whole = -(-number.numerator // number.denominator)
    return max(-_MAX_QUANTITY, min(whole, _MAX_QUANTITY))


def _platform(info: Mapping[str, Any], labels: Mapping[str, str]) -> Platform | None:
    """Return the platform of a node's containerd.

    The scheduler goes by the labels ``kubernetes.io/os`` and ``kubernetes.io/arch``,
    which anybody may have written; containerd by the machine, which the kubelet tells in
    ``status.nodeInfo`` (its own GOOS and GOARCH). So ``nodeInfo`` wins, and the labels
    serve where a manifest describes a node without a status. No variant is told:
    :func:`webhook.cluster.scheduling.machines` says what that leaves open.
    """
    os = _text(info.get("operatingSystem")) or labels.get(OS_LABEL, "")
    architecture = _text(info.get("architecture")) or labels.get(ARCH_LABEL, "")
    if not os or not architecture:
        return None
    version = ""
    if os == "windows":
        told = (_text(info.get("kernelVersion")), labels.get(WINDOWS_BUILD_LABEL, ""))
        found = [match for text in told if (match := _WINDOWS_VERSION.fullmatch(text))]
        version = found[0][1] if found else ""
    return Platform(os, architecture, os_version=version)


def _runtime(info: Mapping[str, Any]) -> Runtime:
    name, separator, version = _text(info.get("containerRuntimeVersion")).partition("://")
    return Runtime(name, version) if separator else Runtime()


def _keeps_records(info: Mapping[str, Any]) -> bool:
    """Tell whether ``KubeletEnsureSecretPulledImages`` is on by default; also where untold."""
    found = _KUBELET.match(_text(info.get("kubeletVersion")))
    return found is None or (int(found[1]), int(found[2])) >= FIRST_WITH_RECORDS


def _is_virtual(labels: Mapping[str, str], taints: Iterable[Taint]) -> bool:
    by_label = any(labels.get(key) == value for key, value in _VIRTUAL_LABELS)
    return by_label or any(taint.key in _VIRTUAL_TAINTS for taint in taints)


def _taints(value: Any) -> Iterator[Taint]:
    for item in _items(value):
        taint = Taint(*(_text(item.get(key)) for key in ("key", "value", "effect")))
        if taint.effect in {NO_SCHEDULE, NO_EXECUTE} and taint.key not in TRANSIENT_TAINTS:
            yield taint


def _items(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _strings(value: Any) -> Iterable[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
