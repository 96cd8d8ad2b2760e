"""What is watched of a cluster: its nodes, and the labels of its namespaces."""

import logging
import threading
from collections.abc import Collection, Mapping
from typing import Any

from webhook.cluster.informer import Call, Informer, Manifest, name_of
from webhook.cluster.nodes import Fleet, Nodes
from webhook.cluster.view import Unreadable
from webhook.deadline import Deadline

SNAPSHOT_SECONDS = 1.0
"""The least time between two snapshots of the nodes."""

logger = logging.getLogger(__name__)


class WatchedNodes:
    """The nodes of a cluster; ``call`` lists them. Starts with the first read, or before.

    Changes show within :data:`SNAPSHOT_SECONDS`; what changes nothing that matters (a
    kubelet's heartbeat) makes no snapshot.
    """

    def __init__(self, call: Call) -> None:
        self._informer = Informer("nodes", call, self)
        self._lock = threading.Lock()
        self._fleet = Fleet()
        self._nodes = Nodes()
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._told: frozenset[str] = frozenset()

    def start(self) -> None:
        self._informer.start()

    def read(self, deadline: Deadline) -> Nodes | Unreadable:
        """Return the nodes as they were a moment ago, or why they are not known."""
        return self._informer.unreadable(deadline) or self._nodes

    @property
    def informer(self) -> Informer:
        return self._informer

    def close(self) -> None:
        self._closing.set()
        self._dirty.set()
        self._informer.close()
        if self._thread is not None:
            self._thread.join(1.0)

    # -- the informer's sink -----------------------------------------------------------------

    def put(self, manifest: Manifest) -> str:
        with self._lock:
            return self._fleet.put(manifest)

    def drop(self, name: str) -> None:
        with self._lock:
            self._fleet.drop(name)

    def keep(self, names: Collection[str]) -> None:
        with self._lock:
            self._fleet.keep(names)

    def moved(self, *, synced: bool) -> None:
        if synced:
            self._publish()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)
                self._thread.start()
        elif self._fleet.changed:
            self._dirty.set()

    # -- the thread that makes snapshots -----------------------------------------------------

    def _run(self) -> None:
        while True:
            self._dirty.wait()
            if self._closing.is_set():
                return
            self._dirty.clear()
            try:
                self._publish()
            except Exception:
                # Whatever it is, the next change has to be seen all the same.
                logger.exception("no snapshot of the nodes could be made")
            self._closing.wait(SNAPSHOT_SECONDS)

    def _publish(self) -> None:
        with self._lock:
            nodes = self._fleet.snapshot()
        self._nodes = nodes
        oddities = nodes.oddities()
        for kind in oddities.keys() - self._told:
            logger.warning("%s", oddities[kind])
        self._told = frozenset(oddities)


class WatchedNamespaces:
    """The labels of every namespace; ``call`` lists them. Starts when told to."""

    def __init__(self, call: Call) -> None:
        self._informer = Informer("namespaces", call, self)
        self._labels: dict[str, Mapping[str, str]] = {}

    def start(self) -> None:
        self._informer.start()

    def labels(self, name: str) -> Mapping[str, str] | None:
        """Return a namespace's labels; None where it is not known, or not yet."""
        return self._labels.get(name) if self._informer.synced else None

    @property
    def informer(self) -> Informer:
        return self._informer

    def close(self) -> None:
        self._informer.close()

    def put(self, manifest: Manifest) -> str:
        name = name_of(manifest)
        self._labels[name] = labels_of(manifest)
        return name

    def drop(self, name: str) -> None:
        self._labels.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        for name in [name for name in self._labels if name not in names]:
            self.drop(name)

    def moved(self, *, synced: bool) -> None:
        """Nothing is to be done: labels are looked up where they are put."""


def labels_of(manifest: Manifest) -> dict[str, str]:
    """Return an object's labels."""
    metadata = manifest.get("metadata")
    labels: Any = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return {str(k): str(v) for k, v in labels.items()} if isinstance(labels, Mapping) else {}
