"""Makes the bytes of images: small, whole, and different for every case."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tests.differential.model import Content
from tests.differential.sleeper import SLEEPER

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class Blob(NamedTuple):
    body: bytes
    media_type: str


@dataclass
class Made:
    """One content as made: its root, and the digests of its parts for placeholders."""

    root: str
    parts: dict[str, str]


@dataclass
class Shelf:
    """What a server holds: manifests and blobs by digest, roots by repository and tag."""

    manifests: dict[str, Blob] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    roots: list[tuple[Content, str]] = field(default_factory=list)
    placeholders: dict[str, str] = field(default_factory=dict)

    def tagged(self, repository: str, tag: str) -> str | None:
        for content, digest in self.roots:
            if fnmatchcase(repository, content.repository) and any(
                fnmatchcase(tag, glob) for glob in content.tags
            ):
                return digest
        return None

    def has_repository(self, repository: str) -> bool:
        return any(fnmatchcase(repository, content.repository) for content, _ in self.roots)


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def stock(contents: list[Content], seed: str) -> Shelf:
    shelf = Shelf()
    for number, content in enumerate(contents):
        made = _make(content, f"{seed} {number}", shelf)
        shelf.roots.append((content, made.root))
        suffix = "" if number == 0 else str(number)
        shelf.placeholders[f"digest{suffix}"] = made.root
        blob = shelf.manifests[made.root]
        for algorithm in ("sha384", "sha512"):
            longer = f"{algorithm}:{hashlib.new(algorithm, blob.body).hexdigest()}"
            shelf.manifests[longer] = blob
            shelf.placeholders[f"{algorithm}{suffix}"] = longer
        shelf.placeholders[f"size{suffix}"] = str(len(shelf.manifests[made.root].body))
        for part, digest in made.parts.items():
            shelf.placeholders.setdefault(f"{part}{suffix}", digest)
    return shelf


def _make(content: Content, seed: str, shelf: Shelf) -> Made:
    if content.kind == "index":
        return _index(content, seed, shelf)
    return _image(content, seed, shelf)


def _image(content: Content, seed: str, shelf: Shelf) -> Made:
    docker = content.docker
    layers = [
        _layer(content, f"{seed} {0 if content.same_layers else n}") for n in range(content.layers)
    ]
    config = _config(content, seed, [diff for _, diff in layers])
    docker_layer = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    layer_type = content.layer_type or (
        docker_layer if docker else "application/vnd.oci.image.layer.v1.tar+gzip"
    )
    config_type = content.config_type or (
        "application/vnd.docker.container.image.v1+json"
        if docker
        else "application/vnd.oci.image.config.v1+json"
    )
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": content.media_type or (DOCKER_IMAGE if docker else OCI_IMAGE),
        "config": _laid_over(_descriptor(config_type, config), content.config_descriptor),
        "layers": [
            _laid_over(_descriptor(layer_type, body), content.layer_descriptor)
            for body, _ in layers
        ],
    }
    if "config" not in content.absent:
        shelf.blobs[digest_of(config)] = Blob(config, config_type)
    if "layer" not in content.absent:
        for body, _ in layers:
            shelf.blobs[digest_of(body)] = Blob(body, layer_type)
    parts = {"config": digest_of(config)}
    for number, (body, _) in enumerate(layers):
        parts[f"layer{number}"] = digest_of(body)
        parts.setdefault("layer", digest_of(body))
    return Made(_shelve(content, document, seed, shelf), parts)


def _index(content: Content, seed: str, shelf: Shelf) -> Made:
    entries: list[dict[str, Any]] = []
    parts: dict[str, str] = {}
    for number, child in enumerate(content.manifests):
        made = _make(child, f"{seed} {number}", shelf)
        blob = shelf.manifests[made.root]
        entry: dict[str, Any] = {
            "mediaType": blob.media_type,
            "digest": made.root,
            "size": len(blob.body),
        }
        if child.described is not None:
            as_is = child.described == {"as": "is"}
            if as_is and child.kind == "image":
                entry["platform"] = _platform(child.platform)
            elif not as_is:
                entry["platform"] = child.described
        if child.annotations:
            entry["annotations"] = child.annotations
        entries.append(_laid_over(entry, child.descriptor))
        if "manifest" in child.absent or "child" in content.absent:
            del shelf.manifests[made.root]
        parts[f"child{number}"] = made.root
        for name, digest in made.parts.items():
            parts.setdefault(name, digest)
    document = {
        "schemaVersion": 2,
        "mediaType": content.media_type or (DOCKER_LIST if content.docker else OCI_INDEX),
        "manifests": entries,
    }
    return Made(_shelve(content, document, seed, shelf), parts)


def _shelve(content: Content, document: dict[str, Any], seed: str, shelf: Shelf) -> str:
    if content.artifact_type is not None:
        document["artifactType"] = content.artifact_type
    if content.annotations or content.pad or not document.get("layers"):
        # Two cases must never share a manifest: containerd keeps what it has seen.
        document["annotations"] = {**content.annotations, "lab.seed": seed}
        if content.pad:
            document["annotations"]["lab.pad"] = "x" * content.pad
    media_type = document["mediaType"]
    body = json.dumps(_laid_over(document, content.fields)).encode()
    if content.body is not None:
        body = content.body.encode()
    root = digest_of(body)
    shelf.manifests[root] = Blob(body, content.content_type or media_type)
    return root


def _laid_over(document: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    merged = {**document, **fields}
    return {key: value for key, value in merged.items() if value is not None or key not in fields}


def _descriptor(media_type: str, body: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(body), "size": len(body)}


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _config(content: Content, seed: str, diffs: list[str]) -> bytes:
    if content.config_body is not None:
        return content.config_body.encode()
    if content.layer == "empty-json":
        return json.dumps({"lab": seed}).encode()
    document: dict[str, Any] = {
        **_platform(content.platform),
        "author": seed,
        "config": {"Cmd": ["/hello"]},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    }
    return json.dumps(_laid_over(document, content.config_fields)).encode()


def _layer(content: Content, seed: str) -> tuple[bytes, str]:
    text = f"{seed}\n".encode()
    if content.layer == "runs":
        # What stands behind a program's end is nothing to the kernel.
        text = SLEEPER + text
    if content.layer == "empty-json":
        return json.dumps({"layer": seed}).encode(), digest_of(text)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = len(text)
        entry.mode = 0o755
        archive.addfile(entry, io.BytesIO(text))
        if content.layer_bytes:
            noise = random.Random(seed).randbytes(content.layer_bytes)
            entry = tarfile.TarInfo("noise")
            entry.size = len(noise)
            archive.addfile(entry, io.BytesIO(noise))
    tar = packed.getvalue()
    if content.layer == "not-gzip":
        return text * 20, digest_of(tar)
    diff = digest_of(text if content.layer == "wrong-diff-id" else tar)
    return gzip.compress(tar, mtime=0), diff
