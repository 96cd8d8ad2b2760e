"""Which nodes the scheduler leaves to a pod, over thousands of nodes in microseconds.

Reproduces the filters NodeAffinity, TaintToleration, NodeUnschedulable and NodeName of
kube-scheduler (k8s.io/component-helpers/scheduling/corev1 and .../nodeaffinity), and what
the kubelet itself checks of a pod that names its node (``AdmissionCheck`` and
``generalFilter``). Sets of nodes are integers, a bit for each node's slot; a label's
values are indexed when a pod first asks for that label, and what a pod's placement
comes to is remembered for as long as no node changes in that.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress

from webhook.cluster.node import Labels, Node, Profile, Runtime, Taint
from webhook.images.placement import (
    NO_EXECUTE,
    NO_SCHEDULE,
    UNSCHEDULABLE,
    Placement,
    Requirement,
    Term,
    Toleration,
)
from webhook.images.platform import Platform

MAX_REMEMBERED = 1024
"""Placements whose nodes are remembered."""
MAX_KEYS = 64
"""Labels whose values are indexed."""
NAME_FIELD = "metadata.name"

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_LEAST, _MOST = -(2**63), 2**63 - 1
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL}(\.{_DNS_LABEL})*", re.ASCII)
_MAX_NAME, _MAX_PREFIX = 63, 253
_AS_FLAGS = bytes.maketrans(b"01", b"\0\1")


@dataclass(frozen=True, slots=True)
class Smallest:
    """A node that has the least: how many bytes of its disk pods may take, and its slot."""

    storage: int
    slot: int


@dataclass(frozen=True)
class Selection:
    """Some nodes, as a set of slots, and what they are; virtual nodes are counted apart."""

    mask: int
    size: int
    """Slots that there are, free ones included."""
    count: int
    virtual: int
    platforms: Mapping[Platform, int]
    unknown_platforms: int
    runtimes: Mapping[Runtime, int]
    keeping_records: int
    """Nodes whose kubelet may ask who pulled an image before a pod may use it."""
    smallest: Mapping[Platform | None, Smallest]
    """Of the real nodes of each platform; None: of those that tell no platform."""

    @cached_property
    def flags(self) -> bytes:
        """Return one byte for each slot: 1 where it is one of them."""
        # Base 2 is written in linear time, and C does all of it.
        return f"{self.mask:0{self.size}b}"[::-1].encode().translate(_AS_FLAGS)

    def of(self, slots: Iterable[int]) -> Iterator[int]:
        """Yield those of ``slots`` that are among these nodes."""
        slots = list(slots)
        return compress(slots, map(self.flags.__getitem__, slots))


class _Values:
    """The nodes by one label: the slot of a value's only node, or the set of its nodes."""

    def __init__(self, size: int, labels: Iterable[tuple[int, Labels]], key: str) -> None:
        self._slots: dict[str, int] = {}
        several: dict[str, list[int]] = {}
        slots: list[int] = []
        for slot, these in labels:
            place = these.places.get(key)
            if place is None:
                continue
            slots.append(slot)
            value = these.row[place]
            first = self._slots.setdefault(value, slot)
            if first != slot:
                several.setdefault(value, [first]).append(slot)
        self._masks = {value: mask_of(nodes, size) for value, nodes in several.items()}
        self.all = mask_of(slots, size)

    def among(self, values: Iterable[str]) -> int:
        """Return the nodes whose label has one of ``values``."""
        mask = 0
        for value in values:
            if value in self._masks:
                mask |= self._masks[value]
            elif value in self._slots:
                mask |= 1 << self._slots[value]
        return mask

    def beyond(self, bound: int, *, greater: bool) -> int:
        """Return the nodes whose label is an integer past ``bound``."""
        numbers = ((value, _integer(value)) for value in self._slots)
        return self.among(
            value
            for value, number in numbers
            if number is not None and (number > bound if greater else number < bound)
        )


class SchedulingIndex:
    """All nodes as the scheduler sees them; immutable but for what it remembers.

    ``nodes`` stand in their slots, None in one that is free. ``warm``: the labels that
    are indexed at once, before a pod asks for them. Safe in any thread.
    """

    def __init__(self, nodes: Sequence[Node | None] = (), warm: Iterable[str] = ()) -> None:
        self.size = len(nodes)
        self._labels: list[tuple[int, Labels]] = []
        self._slots: dict[str, int] = {}
        storage: defaultdict[Platform | None, list[tuple[int, int]]] = defaultdict(list)
        by_profile: defaultdict[Profile, list[int]] = defaultdict(list)
        for slot, node in enumerate(nodes):
            if node is not None:
                self._labels.append((slot, node.labels))
                self._slots[node.name] = slot
                by_profile[node.profile].append(slot)
                # 0 is said where as much is reserved as could be measured: it tells nothing.
                left = node.ephemeral_storage or 0
                if left > 0 and not node.profile.virtual:
                    storage[node.profile.platform].append((left, slot))
        self.all = mask_of((slot for slot, _ in self._labels), self.size)
        self._profiles = [(p, mask_of(slots, self.size)) for p, slots in by_profile.items()]
        self._storage = [(platform, *_columns(found)) for platform, found in storage.items()]
        self._keys: dict[str, _Values] = {}
        self._remembered: dict[Placement, Selection] = {}
        for key in warm:
            self._values(key)

    @property
    def indexed(self) -> tuple[str, ...]:
        """Return the labels that pods have asked for."""
        return tuple(self._keys)

    @property
    def profiles(self) -> Sequence[tuple[Profile, int]]:
        """Return each profile with the set of its nodes."""
        return self._profiles

    def select(self, placement: Placement) -> Selection:
        """Return the nodes that ``placement`` leaves."""
        found = self._remembered.get(placement)
        if found is None:
            found = self._selection(self._mask(placement))
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {}
            self._remembered[placement] = found
        return found

    def _selection(self, mask: int) -> Selection:
        platforms: defaultdict[Platform, int] = defaultdict(int)
        runtimes: defaultdict[Runtime, int] = defaultdict(int)
        unknown = virtual = recording = 0
        for profile, nodes in self._profiles:
            count = (nodes & mask).bit_count()
            if not count:
                continue
            if profile.virtual:
                virtual += count
                continue
            runtimes[profile.runtime] += count
            recording += count * profile.keeps_records
            if profile.platform is None:
                unknown += count
            else:
                platforms[profile.platform] += count
        return Selection(
            mask=mask,
            size=self.size,
            count=mask.bit_count(),
            virtual=virtual,
            platforms=dict(platforms),
            unknown_platforms=unknown,
            runtimes=dict(runtimes),
            keeping_records=recording,
            smallest=self._smallest(mask),
        )

    def _smallest(self, mask: int) -> Mapping[Platform | None, Smallest]:
        flags = f"{mask:0{self.size}b}"[::-1].encode().translate(_AS_FLAGS)
        found = {}
        for platform, storage, slots in self._storage:
            fitting = compress(zip(storage, slots, strict=True), map(flags.__getitem__, slots))
            first = next(fitting, None)
            if first is not None:
                found[platform] = Smallest(*first)
        return found

    # -- the scheduler's filters -----------------------------------------------------------

    def _mask(self, placement: Placement) -> int:
        mask = self.all
        for key, value in placement.node_selector:
            mask &= self._values(key).among((value,))
        if placement.terms is not None:
            fitting = 0
            for term in placement.terms:
                fitting |= self._of_term(term)
            mask &= fitting
        if placement.node_name:
            mask &= self._named(placement.node_name)
        # Who names a node passes the scheduler by: its kubelet minds NoExecute alone. A
        # DaemonSet's controller minds both, and leaves the placing to the scheduler.
        by_scheduler = placement.daemon or not placement.node_name
        return mask & self._tolerated(placement.tolerations, by_scheduler=by_scheduler)

    def _tolerated(self, tolerations: Sequence[Toleration], *, by_scheduler: bool) -> int:
        mask = 0
        for profile, nodes in self._profiles:
            taints = [t for t in profile.taints if by_scheduler or t.effect == NO_EXECUTE]
            if by_scheduler and profile.unschedulable:
                taints.append(Taint(UNSCHEDULABLE, "", NO_SCHEDULE))
            if all(any(tolerates(one, taint) for one in tolerations) for taint in taints):
                mask |= nodes
        return mask

    def _of_term(self, term: Term) -> int:
        """Return the nodes of one term; an empty one, and one with a fault, matches none."""
        if not term.expressions and not term.fields:
            return 0
        if not all(map(_is_valid, term.expressions)) or not all(map(_is_field, term.fields)):
            return 0
        mask = self.all
        for requirement in term.expressions:
            mask &= self._of_expression(requirement)
        for requirement in term.fields:
            [value] = requirement.values
            if requirement.key == NAME_FIELD:
                named = self._named(value)
            else:
                # A field that a node does not have is empty.
                named = 0 if value else self.all
            mask &= named if requirement.operator == "In" else self.all & ~named
        return mask

    def _of_expression(self, requirement: Requirement) -> int:
        values = self._values(requirement.key)
        match requirement.operator:
            case "In":
                return values.among(set(requirement.values))
            case "NotIn":
                return self.all & ~values.among(set(requirement.values))
            case "Exists":
                return values.all
            case "DoesNotExist":
                return self.all & ~values.all
            case operator:
                bound = _integer(requirement.values[0])
                greater = operator == "Gt"
                return 0 if bound is None else values.beyond(bound, greater=greater)

    def _named(self, name: str) -> int:
        slot = self._slots.get(name)
        return 0 if slot is None else 1 << slot

    def _values(self, key: str) -> _Values:
        found = self._keys.get(key)
        if found is None:
            found = _Values(self.size, self._labels, key)
            if not found.all:
                # Pods may ask for any label; only those that nodes have are kept.
                return found
            if len(self._keys) >= MAX_KEYS:
                self._keys = {}
            self._keys[key] = found
        return found


def _columns(storage: list[tuple[int, int]]) -> tuple["array[int]", "array[int]"]:
    """Return the storage of some nodes from the least up, and beside it their slots."""
    storage.sort()
    return array("q", (found for found, _ in storage)), array("I", (slot for _, slot in storage))


def mask_of(slots: Iterable[int], size: int) -> int:
    """Return a set of slots, each less than ``size``."""
    bits = bytearray((size + 7) // 8)
    for slot in slots:
        bits[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(bits, "little")


def is_label(key: str, value: str) -> bool:
    """Tell whether an API server takes a label of a node, or a pair of a ``nodeSelector``."""
    return _is_label_key(key) and _is_label_value(value)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Tell whether a toleration bears a taint (``Toleration.ToleratesTaint``).

    An API server takes the operators ``Lt`` and ``Gt`` only where its scheduler
    compares (the gate TaintTolerationComparisonOperators).
    """
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Lt" | "Gt":
            borne, there = _decimal(toleration.value), _decimal(taint.value)
            if borne is None or there is None:
                return False
            return there < borne if toleration.operator == "Lt" else there > borne
        case _:
            return False


def _is_valid(requirement: Requirement) -> bool:
    """Tell whether ``labels.NewRequirement`` takes a requirement."""
    count = len(requirement.values)
    match requirement.operator:
        case "In" | "NotIn":
            fits = count > 0
        case "Exists" | "DoesNotExist":
            fits = count == 0
        case "Gt" | "Lt":
            fits = count == 1 and _integer(requirement.values[0]) is not None
        case _:
            fits = False
    return fits and _is_label_key(requirement.key) and all(map(_is_label_value, requirement.values))


def _is_field(requirement: Requirement) -> bool:
    return requirement.operator in {"In", "NotIn"} and len(requirement.values) == 1


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > _MAX_PREFIX or not _SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= _MAX_NAME and _LABEL_NAME.fullmatch(name) is not None


def _is_label_value(value: str) -> bool:
    return not value or (len(value) <= _MAX_NAME and _LABEL_NAME.fullmatch(value) is not None)


def _integer(text: str) -> int | None:
    """Read as ``strconv.ParseInt(text, 10, 64)`` does."""
    return _bounded(text) if _INTEGER.fullmatch(text) else None


def _decimal(text: str) -> int | None:
    """Read as ``content.IsDecimalInteger`` and ``strconv.ParseInt`` together do."""
    return _bounded(text) if _DECIMAL.fullmatch(text) else None


def _bounded(text: str) -> int | None:
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > len(str(_MOST)):
        return None
    number = int(text)
    return number if _LEAST <= number <= _MOST else None
