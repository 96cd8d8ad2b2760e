"""What containerd's own code makes of platforms and of an image's documents.

The answers come from `tests/parts/containerd/imagesoracle`, a Go program that pulls
from memory with containerd's transfer service and client, and is asked over its
standard input.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.oracle import Program
from webhook.images.platform import Platform
from webhook.registry.ocispec import Descriptor


@dataclass(frozen=True)
class Matched:
    """For each platform that is offered: chosen, fetched; and their places, best first."""

    chosen: list[bool]
    fetched: list[bool]
    order: list[int]


@dataclass(frozen=True)
class Pulled:
    """Where a pull failed (`pull`, `config`, `record`) and what was asked of the registry."""

    stage: str
    error: str
    fetched: frozenset[str]


class ImagesOracle(Program):
    """containerd's platforms, image handlers, transfer service and client."""

    part = "imagesoracle"

    def parsed(self, text: str) -> Platform | None:
        got = self.ask({"op": "parse", "text": text})
        return None if "error" in got else _platform(got["platform"])

    def matched(self, node: Platform, offered: Sequence[Platform]) -> Matched:
        got = self.ask(
            {"op": "match", "node": declared(node), "offered": [declared(one) for one in offered]}
        )
        return Matched(got["chosen"] or [], got["fetched"] or [], got["order"] or [])

    def decoded(self, document: bytes, into: str) -> Any:
        """Return the document as it is encoded anew; None where it is refused."""
        got = self.ask({"op": "decode", "struct": into, "document": _sent(document)})
        return None if "error" in got else got["decoded"]

    def pulled(
        self, root: Descriptor, blobs: Mapping[str, bytes], node: Platform, *, local: bool = False
    ) -> Pulled:
        got = self.ask(
            {
                "op": "pull",
                "root": {"mediaType": root.media_type, "digest": root.digest, "size": root.size},
                "node": declared(node),
                "blobs": {digest: _sent(body) for digest, body in blobs.items()},
                "local": local,
            }
        )
        return Pulled(got["stage"], got.get("error", ""), frozenset(got["fetched"]))


def declared(platform: Platform) -> dict[str, Any]:
    """Write a platform as an index declares it."""
    written: dict[str, Any] = {"os": platform.os, "architecture": platform.architecture}
    if platform.variant:
        written["variant"] = platform.variant
    if platform.os_version:
        written["os.version"] = platform.os_version
    if platform.os_features:
        written["os.features"] = list(platform.os_features)
    return written


def _platform(read: Mapping[str, Any]) -> Platform:
    return Platform(
        read["os"],
        read["architecture"],
        read.get("variant", ""),
        read.get("os.version", ""),
        tuple(read.get("os.features", ())),
    )


def _sent(body: bytes) -> str:
    return base64.b64encode(body).decode()
