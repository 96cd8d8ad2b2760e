"""All nodes of a cluster: immutable snapshots, and the fleet that they are taken of."""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from webhook.cluster.node import (
    ARCH_LABEL,
    IMAGE_LIST_CAP,
    NAME_LIST_CAP,
    OS_LABEL,
    Node,
    Pool,
    node_of,
)
from webhook.cluster.selection import SchedulingIndex, mask_of

__all__ = ["IMAGE_LIST_CAP", "Fleet", "Node", "Nodes", "node_of"]

_SHOWN = 3
_COMMON_LABELS = (
    OS_LABEL,
    ARCH_LABEL,
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
)
Holders = Mapping[str, "array[int]"]


class Nodes:
    """All nodes of a cluster at one moment; empty where none is known.

    Indexed by image and for the scheduler (:mod:`webhook.cluster.scheduling`). Safe in
    any thread.
    """

    __slots__ = ("_full", "_holders", "_scheduling", "_slots")

    def __init__(
        self,
        nodes: Iterable[Node | None] = (),
        *,
        holders: Holders | None = None,
        scheduling: SchedulingIndex | None = None,
    ) -> None:
        self._slots = tuple(nodes)
        self._holders = _holders(self._slots) if holders is None else holders
        self._scheduling = scheduling or SchedulingIndex(self._slots)
        full = (slot for slot, node in enumerate(self._slots) if node and node.list_is_full)
        self._full = mask_of(full, len(self._slots))

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node for node in self._slots if node is not None)

    @property
    def scheduling(self) -> SchedulingIndex:
        return self._scheduling

    @property
    def full_mask(self) -> int:
        """Return the set of the nodes that may hold images that they do not list."""
        return self._full

    @property
    def full_lists(self) -> int:
        """Return how many nodes may hold images that they do not list."""
        return self._full.bit_count()

    def holders(self, name: str) -> Collection[int]:
        """Return the slots of the nodes whose list names an image.

        For a repository: of those that may hold more of it than they list.
        """
        return self._holders.get(name, ())

    def holding(self, name: str) -> tuple[str, ...]:
        """Return the nodes whose list names an image (``name:tag`` or ``name@digest``)."""
        return self.names_of(self.holders(name))

    def names_of(self, slots: Iterable[int]) -> tuple[str, ...]:
        found = (self._slots[slot] for slot in sorted(slots))
        return tuple(node.name for node in found if node is not None)

    def oddities(self) -> Mapping[str, str]:
        """Return what of the nodes leaves something open, one line for each kind of it."""
        found = {}
        if self._full:
            found["full"] = (
                f"the lists of {self.full_lists} of {len(self)} nodes are as long as they can be "
                f"({IMAGE_LIST_CAP} images, {NAME_LIST_CAP} names of each): "
                "what a full list does not name is judged absent, and that is said"
            )
        nameless = [
            node.name
            for node in self.nodes
            if node.profile.platform is None and not node.profile.virtual
        ]
        if nameless:
            some = ", ".join(nameless[:_SHOWN]) + (", ..." if len(nameless) > _SHOWN else "")
            found["platform"] = (
                f"{len(nameless)} of {len(self)} nodes tell no platform, neither by "
                f"status.nodeInfo nor by labels, and leave it undecided: {some}"
            )
        return found

    def __len__(self) -> int:
        return self._scheduling.all.bit_count()

    def __eq__(self, other: object) -> bool:
        return self.nodes == other.nodes if isinstance(other, Nodes) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nodes)

    def __repr__(self) -> str:
        return f"Nodes({len(self)} nodes, {len(self._holders)} names of images)"


class Fleet:
    """The nodes as they come and go, of which :meth:`snapshot` makes :class:`Nodes`.

    A node that changes costs what changed of it: images are shared with the snapshots
    before and copied where they differ; the scheduler's index stays while only images
    change. What no node has any more is let go. For one thread at a time.
    """

    def __init__(self) -> None:
        self._pool = Pool()
        self._slots: list[Node | None] = []
        self._where: dict[str, int] = {}
        self._free: list[int] = []
        self._holders: dict[str, array[int]] = {}
        self._own: set[str] = set()
        """Names whose holders no snapshot shares."""
        self._scheduling = SchedulingIndex()
        self._moved = False
        self._last: Nodes | None = None

    def __len__(self) -> int:
        return len(self._where)

    @property
    def changed(self) -> bool:
        """Tell whether the next snapshot will differ from the last one."""
        return self._last is None

    def put(self, manifest: Mapping[str, Any]) -> str:
        """Take a Node object as it is now, and return its name."""
        node = node_of(manifest, self._pool)
        slot = self._where.get(node.name)
        if slot is None:
            slot = self._where[node.name] = self._place()
            self._slots[slot] = node
            self._moved = True
            self._shift(slot, (), node.known_by)
        else:
            before = self._slots[slot]
            if before is None or before == node:
                return node.name
            self._slots[slot] = node
            self._moved = self._moved or not before.schedules_as(node)
            self._shift(slot, before.known_by, node.known_by)
        self._last = None
        if self._pool.is_crowded:
            self._pool.renew(node for node in self._slots if node is not None)
        return node.name

    def drop(self, name: str) -> None:
        """Let go of a node that is no more."""
        slot = self._where.pop(name, None)
        node = self._slots[slot] if slot is not None else None
        if slot is None or node is None:
            return
        self._shift(slot, node.known_by, ())
        self._last = None
        self._slots[slot] = None
        heappush(self._free, slot)
        self._moved = True

    def keep(self, names: Collection[str]) -> None:
        """Let go of every node that is not named."""
        for name in [name for name in self._where if name not in names]:
            self.drop(name)

    def snapshot(self) -> Nodes:
        if self._last is None:
            slots = tuple(self._slots)
            if self._moved:
                warm = (*_COMMON_LABELS, *self._scheduling.indexed)
                self._scheduling = SchedulingIndex(slots, warm)
            holders = dict(self._holders)
            self._last = Nodes(slots, holders=holders, scheduling=self._scheduling)
            self._own.clear()
            self._moved = False
        return self._last

    def _place(self) -> int:
        if self._free:
            return heappop(self._free)
        self._slots.append(None)
        return len(self._slots) - 1

    def _shift(self, slot: int, before: Sequence[str], after: Sequence[str]) -> None:
        had, has = set(before), set(after)
        for name in had - has:
            slots = self._owned(name)
            slots.remove(slot)
            if not slots:
                del self._holders[name]
                self._own.discard(name)
        for name in after:
            if name not in had:
                self._owned(name).append(slot)

    def _owned(self, name: str) -> "array[int]":
        slots = self._holders.get(name)
        if slots is None:
            slots = array("I")
        elif name in self._own:
            return slots
        else:
            slots = slots[:]
        self._own.add(name)
        self._holders[name] = slots
        return slots


def _holders(slots: Sequence[Node | None]) -> Holders:
    found: dict[str, array[int]] = {}
    for slot, node in enumerate(slots):
        for name in node.known_by if node is not None else ():
            found.setdefault(name, array("I")).append(slot)
    return found
