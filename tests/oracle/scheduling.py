"""Where kube-scheduler, the DaemonSet controller and the kubelet let a pod run.

The answers come from `tests/parts/kubernetes/scheduling`, a Go program that imports
their own packages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.oracle import Program


class Scheduling(Program):
    """A running oracle; to be used from one thread at a time."""

    part = "scheduling"

    def eligible(
        self, spec: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], *, daemon: bool = False
    ) -> set[str]:
        """Tell which of ``nodes`` a pod of this spec may run on."""
        return set(self.ask({"spec": spec, "nodes": nodes, "daemon": daemon})["eligible"])
