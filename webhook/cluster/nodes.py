"""Which nodes there are, and which images they say that they hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IMAGE_LIST_CAP = 50
"""Images that a kubelet lists at most by default; a full list proves no absence."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: ``images`` are the names of its ``status.images``, ``listed`` how many it lists."""

    name: str
    images: frozenset[str]
    listed: int

    @property
    def list_is_full(self) -> bool:
        """Tell whether it may hold more images than it lists."""
        return self.listed >= IMAGE_LIST_CAP


@dataclass(frozen=True, slots=True)
class Nodes:
    """All nodes of a cluster; empty where none is known."""

    nodes: tuple[Node, ...] = ()

    def holding(self, name: str) -> tuple[str, ...]:
        """Return the nodes whose list names an image (``name:tag`` or ``name@digest``)."""
        return tuple(node.name for node in self.nodes if name in node.images)

    @property
    def full_lists(self) -> int:
        """Return how many nodes may hold images that they do not list."""
        return sum(node.list_is_full for node in self.nodes)


def node_of(manifest: Mapping[str, Any]) -> Node:
    """Read a Node object; whatever is not of the API's shape is left out."""
    images = _items(_mapping(manifest.get("status")).get("images"))
    names = (name for image in images for name in _strings(image.get("names")))
    name = _mapping(manifest.get("metadata")).get("name")
    return Node(name if isinstance(name, str) else "", frozenset(names), len(images))


def _items(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _strings(value: Any) -> Iterable[str]:
    return (item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
