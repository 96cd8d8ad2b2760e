"""Which nodes a pod may run on, and what they are: platforms, runtimes, disks, images.

The filters are kube-scheduler's own (:mod:`webhook.cluster.selection`). Taints that the
cluster sets and lifts by itself exclude nobody: a pod waits until they are gone
(:data:`webhook.cluster.node.TRANSIENT_TAINTS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from webhook.cluster.node import Runtime
from webhook.cluster.nodes import Nodes
from webhook.cluster.selection import Selection, Smallest
from webhook.images.placement import ANYWHERE, Placement, placement_of
from webhook.images.platform import Platform

__all__ = ["ANYWHERE", "Eligible", "Placement", "Smallest", "eligible", "machines", "placement_of"]


@dataclass(frozen=True, slots=True)
class Eligible:
    """The nodes that a pod may run on. Virtual ones count in ``count`` and ``virtual`` alone.

    What is asked of an image is remembered: a pod may have one in thousands of containers.
    """

    nodes: Nodes
    selection: Selection
    _counts: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    _holders: dict[str, tuple[str, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def count(self) -> int:
        return self.selection.count

    @property
    def virtual(self) -> int:
        """Return how many are no machines: nothing is known of their platform and images."""
        return self.selection.virtual

    @property
    def platforms(self) -> Mapping[Platform, int]:
        """Return the platforms of the real nodes, and how many have each."""
        return self.selection.platforms

    @property
    def unknown_platforms(self) -> int:
        """Return how many real nodes do not tell their platform."""
        return self.selection.unknown_platforms

    @property
    def runtimes(self) -> Mapping[Runtime, int]:
        """Return the runtimes of the real nodes; an untold one is ``Runtime("", "")``."""
        return self.selection.runtimes

    @property
    def smallest(self) -> Mapping[Platform | None, Smallest]:
        """Return the node with the least of it for each platform; None: of those untold."""
        return self.selection.smallest

    def name_of(self, slot: int) -> str:
        """Return the name of the node in a slot, empty where it is free."""
        return next(iter(self.nodes.names_of((slot,))), "")

    @property
    def full_lists(self) -> int:
        """Return how many may hold images that they do not list."""
        return (self.nodes.full_mask & self.selection.mask).bit_count()

    def silent_lists(self, name: str) -> int:
        """Return how many may hold an image that they do not list: their lists are full."""
        full = self.nodes.full_mask & self.selection.mask
        return full.bit_count() - sum(full >> slot & 1 for slot in self.nodes.holders(name))

    def names(self, limit: int) -> tuple[str, ...]:
        """Return the names of some of them."""
        slots: list[int] = []
        mask = self.selection.mask
        while mask and len(slots) < limit:
            slots.append((mask & -mask).bit_length() - 1)
            mask &= mask - 1
        return self.nodes.names_of(slots)

    def count_holding(self, name: str) -> int:
        """Return how many list an image."""
        if name not in self._counts:
            flags = self.selection.flags
            self._counts[name] = sum(map(flags.__getitem__, self.nodes.holders(name)))
        return self._counts[name]

    @property
    def keep_records(self) -> bool:
        """Tell whether a kubelet of theirs may ask who pulled an image before a pod may use it."""
        return self.selection.keeping_records > 0

    def all_hold(self, name: str) -> bool:
        """Tell whether each of them lists an image; a virtual one tells nobody what it holds."""
        if not self.count or self.virtual or len(self.nodes.holders(name)) < self.count:
            return False
        return self.count_holding(name) == self.count

    def holding(self, name: str) -> tuple[str, ...]:
        """Return the names of those that list an image."""
        if name not in self._holders:
            slots = self.selection.of(self.nodes.holders(name))
            self._holders[name] = self.nodes.names_of(slots)
        return self._holders[name]


def eligible(nodes: Nodes, placement: Placement) -> Eligible:
    """Return the nodes that the scheduler leaves to a pod."""
    return Eligible(nodes, nodes.scheduling.select(placement))


def machines(platform: Platform) -> tuple[Platform, ...]:
    """Return the platforms that a node of ``platform`` may be, its variant not being told.

    containerd reads the variant of an ARM processor from the machine. 64-bit ones are all
    ``v8``, which is what no variant means; a 32-bit node runs a kubelet that is built for
    ``v7``, on a processor of ``v7`` or ``v8``. Other architectures have none.
    """
    if platform.architecture == "arm" and not platform.variant:
        return replace(platform, variant="v7"), replace(platform, variant="v8")
    return (platform,)
