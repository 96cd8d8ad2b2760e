"""Looks at the pods of a cluster, once for everybody who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.harness import Cluster
from tests.node.objects import MADE_BY


@dataclass(frozen=True)
class Pod:
    """A pod as the API server has it; `made_by` is the object that it is of."""

    name: str
    made_by: str
    status: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    spec: Mapping[str, Any]


class Watch:
    """Looks at all pods again and again, once for everybody who waits."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._seen: dict[str, list[Pod]] = {}
        self._when = 0.0

    def seen(self) -> Mapping[str, list[Pod]]:
        """Return all pods by their namespace, as of half a second ago at most."""
        with self._lock:
            if time.monotonic() - self._when > 0.5:
                self._seen = self._look("/api/v1/pods", {})
                self._when = time.monotonic()
            return self._seen

    def of_namespace(self, namespace: str) -> Mapping[str, list[Pod]]:
        """Look at one namespace, at the events about its pods too."""
        folder = f"/api/v1/namespaces/{namespace}"
        events: dict[str, list[Mapping[str, Any]]] = {}
        for event in self._cluster.get(f"{folder}/events").get("items", []):
            events.setdefault(event["involvedObject"]["name"], []).append(event)
        return self._look(f"{folder}/pods", events)

    def _look(
        self, path: str, events: Mapping[str, list[Mapping[str, Any]]]
    ) -> dict[str, list[Pod]]:
        found: dict[str, list[Pod]] = {}
        for pod in self._cluster.get(f"{path}?resourceVersion=0").get("items", []):
            metadata = pod["metadata"]
            found.setdefault(metadata["namespace"], []).append(
                Pod(
                    metadata["name"],
                    metadata.get("labels", {}).get(MADE_BY, ""),
                    pod.get("status", {}),
                    events.get(metadata["name"], []),
                    pod["spec"],
                )
            )
        return found
