"""What the kubelet's own code takes for the credentials of its node.

The answers come from `tests/parts/kubernetes/providersoracle`, a Go program that reads the
node's files and runs the exec plugins with `pkg/credentialprovider` and its `plugin`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.oracle import Program


@dataclass(frozen=True)
class NodeAnswer:
    """User and password of what is tried for each image; `error`: the kubelet does not start."""

    error: str | None
    images: tuple[tuple[tuple[str, str], ...], ...]


class ProvidersOracle(Program):
    """The node's keyring, made anew for each question; its plugins keep answers within one."""

    part = "providersoracle"

    def node(
        self,
        images: Sequence[str],
        *,
        folder: Path | None = None,
        config: Path | None = None,
        bin_dir: Path | None = None,
    ) -> NodeAnswer:
        """Tell what the node adds for each image (fully qualified, no tag), one by one."""
        got = self.ask(
            {
                "folder": str(folder or ""),
                "config": str(config or ""),
                "bin_dir": str(bin_dir or ""),
                "images": list(images),
            }
        )
        return NodeAnswer(
            error=got.get("error"),
            images=tuple(
                tuple((one["username"], one["password"]) for one in tried)
                for tried in got["images"]
            ),
        )
