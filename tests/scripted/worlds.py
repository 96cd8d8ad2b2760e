"""Whole images as values, and how a good registry serves them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hypothesis import strategies as st

from tests.scripted.values import Answer, reply
from webhook.registry.manifest import OCI_INDEX, OCI_MANIFEST
from webhook.registry.wire import Ask

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass
class World:
    """Contents by digest, with their types; ``root`` is what the tag stands for."""

    contents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    root: str = ""

    def add(self, type_: str, body: bytes) -> dict[str, Any]:
        """Take in one content and return its descriptor."""
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        self.contents[digest] = type_, body
        self.root = digest
        return {"mediaType": type_, "digest": digest, "size": len(body)}

    def serve(self, ask: Ask) -> Answer:
        """Answer as a good registry that asks nobody who he is."""
        what = urlsplit(ask.url).path.rpartition("/")[2]
        digest = what if what.startswith("sha256:") else self.root
        if digest not in self.contents or what == "list":
            return reply(404)
        type_, body = self.contents[digest]
        return reply(
            200,
            b"" if ask.method == "HEAD" else body,
            content_type=type_,
            content_length=str(len(body)),
            docker_content_digest=digest,
        )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw an image: one manifest, or an index of some, with layers and other platforms."""
    world = World()
    entries = []
    for number in range(draw(st.integers(1, 3))):
        os_, arch = draw(
            st.sampled_from([("linux", "amd64"), ("linux", "arm64"), ("windows", "amd64")])
        )
        layers = [
            world.add(OCI_LAYER, f"layer {number} {one}".encode())
            for one in range(draw(st.integers(0, 2)))
        ]
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        config = world.add(
            OCI_CONFIG, json.dumps({"os": os_, "architecture": arch, "rootfs": rootfs}).encode()
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config,
            "layers": layers,
        }
        entry = world.add(OCI_MANIFEST, json.dumps(manifest).encode())
        if draw(st.booleans()):
            entry["platform"] = {"os": os_, "architecture": arch}
        entries.append(entry)
    if draw(st.booleans()):
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        world.add(OCI_INDEX, json.dumps(index).encode())
    return world
