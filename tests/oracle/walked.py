"""Images to pull, in memory, and our own walk over them with all that it asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from webhook.images.platform import Platform
from webhook.registry.contents import Content, Kind
from webhook.registry.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from webhook.registry.ocispec import Descriptor
from webhook.registry.walk import Puller, Walked, choose, pull

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
AMD64 = Platform("linux", "amd64")

Document = dict[str, Any]


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@dataclass
class Shelf:
    """A repository: its blobs and manifests by digest."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, content: object, media_type: str, **more: object) -> Document:
        """Store bytes, or a document, and return a descriptor of it."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.blobs[digest_of(body)] = body
        return {"mediaType": media_type, "digest": digest_of(body), "size": len(body)} | more

    def image(self, *layers: bytes, built_for: Platform | None = AMD64, **more: object) -> Document:
        """Store an image of these layers and return its manifest's descriptor."""
        config = self.put(config_of(*layers, platform=built_for), OCI_CONFIG)
        return self.put(
            {
                "schemaVersion": 2,
                "config": config,
                "layers": [self.put(layer, OCI_LAYER) for layer in layers],
            },
            OCI_MANIFEST,
            **more,
        )

    def ambiguous(self) -> bool:
        """Tell whether some digest is declared with different sizes or contents."""
        declared: dict[str, set[tuple[int, str]]] = {}
        for body in self.blobs.values():
            with suppress(ValueError, TypeError, AttributeError):
                document = json.loads(body)
                held = [document.get("config"), *(document.get("layers") or ())]
                for one in (*held, *(document.get("manifests") or ())):
                    if isinstance(one, dict) and "digest" in one:
                        content = one["size"], one.get("data", "")
                        declared.setdefault(one["digest"], set()).add(content)
        return any(len(contents) > 1 for contents in declared.values())

    def index(self, *entries: Document, **more: object) -> Document:
        return self.put({"schemaVersion": 2, "manifests": list(entries)}, OCI_INDEX, **more)


def config_of(*layers: bytes, platform: Platform | None = AMD64) -> Document:
    words = {"os": platform.os, "architecture": platform.architecture} if platform else {}
    return words | {"rootfs": {"type": "layers", "diff_ids": [digest_of(one) for one in layers]}}


@dataclass(frozen=True)
class Driven:
    """What a walk came to, and the digests that it asked for."""

    walked: Walked | None
    asked: frozenset[str]

    @property
    def goes_through(self) -> bool:
        """Whether the pull would; a walk that met a gap has no conclusion of its own."""
        return self.walked is not None and self.walked.unusable is None


def drive(
    root: Document,
    blobs: Mapping[str, bytes],
    node: Platform = AMD64,
    puller: Puller = Puller.TRANSFER,
    *,
    whole: bool = True,
    content: Content | None = None,
) -> Driven:
    """Walk as the exchange does, over what is in memory."""
    start = Descriptor(root["mediaType"], root["digest"], root["size"])
    asked: set[str] = set()
    body = blobs[start.digest]
    walk = (pull if whole else choose)(start, body, node, content, puller)
    try:
        wanted = next(walk)
        while True:
            digest = wanted.descriptor.digest
            asked.add(digest)
            if digest not in blobs:
                walk.close()
                return Driven(None, frozenset(asked))
            found = blobs[digest]
            wanted = walk.send(len(found) if wanted.kind is Kind.BLOB else found)
    except StopIteration as end:
        return Driven(end.value, frozenset(asked))
