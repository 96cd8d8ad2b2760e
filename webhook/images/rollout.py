"""How many pods an object starts, and so how many nodes may pull for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PERCENT = re.compile(r"([0-9]{1,9})%", re.ASCII)
_DEFAULT_SURGE = "25%"
_MOST = 2**31 - 1
"""The API's counts are int32: past that a file is nonsense, whatever its number of digits."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """The pods that one rollout starts: ``pods``, or with ``per_node`` so many on each node.

    A node pulls an image once for all its pods, so that the pulls are never more than
    the nodes.
    """

    pods: int = 1
    per_node: bool = False

    def pulls(self, nodes: int) -> int:
        """Return how often the rollout may pull one image where ``nodes`` nodes are eligible."""
        if self.per_node:
            return nodes if self.pods else 0
        return min(self.pods, nodes)


def rollout_of(manifest: Mapping[str, Any]) -> Rollout:
    """Read an object that makes pods, by its ``kind``; what is left out is the API's default.

    A Deployment starts its replicas and, unless it is recreated, its surge (rounded up,
    25% by default) beside them; a Job its parallelism, bounded by its completions; a
    DaemonSet one pod a node. Of a kind that is not the API's own the field
    ``spec.replicas`` counts.
    """
    kind = manifest.get("kind")
    spec = _mapping(manifest.get("spec"))
    if kind == "Pod":
        return Rollout(1)
    if kind == "DaemonSet":
        return Rollout(1, per_node=True)
    if kind == "PodTemplate":
        return Rollout(0)
    if kind == "CronJob":
        return Rollout(_of_job(_mapping(_mapping(spec.get("jobTemplate")).get("spec"))))
    if kind == "Job":
        return Rollout(_of_job(spec))
    replicas = _count(spec.get("replicas"), 1)
    if kind == "Deployment":
        return Rollout(replicas + _surge(_mapping(spec.get("strategy")), replicas))
    return Rollout(replicas)


def _of_job(spec: Mapping[str, Any]) -> int:
    parallelism = _count(spec.get("parallelism"), 1)
    return min(parallelism, _count(spec.get("completions"), parallelism))


def _surge(strategy: Mapping[str, Any], replicas: int) -> int:
    if strategy.get("type") == "Recreate":
        return 0
    written = _mapping(strategy.get("rollingUpdate")).get("maxSurge", _DEFAULT_SURGE)
    if isinstance(written, str) and (percent := _PERCENT.fullmatch(written)):
        return -(-replicas * int(percent[1]) // 100)
    return _count(written, 0)


def _count(value: Any, default: int) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return min(max(0, value), _MOST) if is_number else default


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
