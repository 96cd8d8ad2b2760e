"""What the demo's registry holds: a handful of small images, byte for byte the same each time."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class Access(Enum):
    """What a repository asks of those who pull.

    OPEN asks nothing; ANONYMOUS wants a token that anybody gets (as Docker Hub);
    PRIVATE wants a token that the realm gives to readers only (as GHCR); HIDDEN
    gives everybody a token, which is good for nothing unless they are readers
    (as Docker Hub does for private repositories); BASIC wants a password.
    """

    OPEN = "open"
    ANONYMOUS = "anonymous"
    PRIVATE = "private"
    HIDDEN = "hidden"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes with their media type and the digest that names them."""

    media_type: str
    data: bytes
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", "sha256:" + hashlib.sha256(self.data).hexdigest())

    def descriptor(self, **more: object) -> dict[str, object]:
        """Return the OCI descriptor of these bytes, with ``more`` fields."""
        return {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": len(self.data),
            **more,
        }


@dataclass(slots=True)
class Repository:
    """One repository: what is tagged, and what can be had by digest."""

    access: Access = Access.OPEN
    readers: frozenset[str] = frozenset()
    tags: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, Content] = field(default_factory=dict)
    blobs: dict[str, Content] = field(default_factory=dict)

    def push_image(self, text: str, arch: str, *, docker: bool = False) -> Content:
        """Add an image for linux on ``arch`` whose layer holds ``text``; return its manifest."""
        layer = Content(DOCKER_LAYER if docker else OCI_LAYER, _layer(text))
        config = Content(DOCKER_CONFIG if docker else OCI_CONFIG, _config(arch, layer))
        manifest = _manifest(config, [layer], docker=docker)
        self.blobs |= {config.digest: config, layer.digest: layer}
        self.manifests[manifest.digest] = manifest
        return manifest

    def push_index(self, text: str, arches: Sequence[str]) -> Content:
        """Add an index with an image for linux on each of ``arches``; return it."""
        entries = [
            self.push_image(f"{text} {arch}", arch).descriptor(
                platform={"architecture": arch, "os": "linux"}
            )
            for arch in arches
        ]
        index = Content(
            OCI_INDEX,
            _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}),
        )
        self.manifests[index.digest] = index
        return index

    def tag(self, name: str, manifest: Content) -> None:
        """Let ``name`` stand for ``manifest``."""
        self.tags[name] = manifest.digest

    def untag(self, name: str) -> None:
        """Take a tag away, as retention rules do: the manifest can still be had by digest."""
        del self.tags[name]


@dataclass(frozen=True, slots=True)
class Store:
    """Repositories by name, and passwords by user."""

    repositories: Mapping[str, Repository]
    users: Mapping[str, str] = field(default_factory=dict, repr=False)


def demo_store() -> Store:
    """Return the images and users that the sample manifests speak of."""
    return Store(
        repositories={
            "shop/web": _web(),
            "shop/api": _api(),
            "shop/migrate": _single("migrate", "2.1"),
            "hub/redis": _redis(),
            "team/worker": _worker(),
            "team/vault": _vault(),
        },
        users={"shop": "open-sesame", "worker": "heave-ho"},
    )


def _web() -> Repository:
    repository = Repository()
    for version in ("1.26", "1.27", "1.28"):
        repository.tag(version, repository.push_index(f"web {version}", ("amd64", "arm64")))
    repository.tags["latest"] = repository.tags["1.28"]
    repository.untag("1.26")
    return repository


def _api() -> Repository:
    repository = Repository(Access.PRIVATE, frozenset({"shop"}))
    for version in ("2.0", "2.1"):
        repository.tag(version, repository.push_index(f"api {version}", ("amd64", "arm64")))
    return repository


def _single(text: str, version: str) -> Repository:
    repository = Repository()
    repository.tag(version, repository.push_image(f"{text} {version}", "amd64"))
    return repository


def _redis() -> Repository:
    repository = Repository(Access.ANONYMOUS)
    repository.tag("7.4", repository.push_index("redis 7.4", ("amd64", "arm64")))
    return repository


def _worker() -> Repository:
    repository = Repository(Access.BASIC, frozenset({"worker"}))
    repository.tag("1.4", repository.push_image("worker 1.4", "amd64", docker=True))
    return repository


def _vault() -> Repository:
    repository = Repository(Access.HIDDEN, frozenset({"worker"}))
    repository.tag("3.0", repository.push_image("vault 3.0", "amd64"))
    return repository


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _layer(text: str) -> bytes:
    # Not compressed: what zlib makes of the same bytes differs between its versions,
    # and with it every digest.
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("motd")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _config(arch: str, layer: Content) -> bytes:
    return _json(
        {
            "architecture": arch,
            "os": "linux",
            "config": {"Cmd": ["/motd"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        }
    )


def _manifest(config: Content, layers: Sequence[Content], *, docker: bool) -> Content:
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    return Content(media_type, _json(body))
