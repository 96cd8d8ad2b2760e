"""Manifests, indexes and configs, as containerd decodes them.

The structs are those of github.com/opencontainers/image-spec v1.1.1, read by Go's
``encoding/json``; what is asked of a document before that is ``validateMediaType`` of
``core/images``. Nothing here is said in a registry's own words: details go into messages.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from webhook.credentials.gojson import JsonError
from webhook.images.platform import Platform
from webhook.registry.gojson import Value, member_names, parse
from webhook.registry.ocispec import (
    ImageConfig,
    ImageIndex,
    ImageManifest,
    image,
    image_index,
    image_manifest,
    own_media_type,
    platform,
    unpack_config,
)
from webhook.registry.outcome import Cause

MANIFEST_LIMIT = 4 * 1048 * 1048
"""Bytes past which containerd refuses to resolve a manifest (``MaxManifestSize``)."""

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX_TYPES = frozenset({DOCKER_INDEX, OCI_INDEX})
IMAGE_TYPES = frozenset({DOCKER_MANIFEST, OCI_MANIFEST})
MANIFEST_TYPES = IMAGE_TYPES | INDEX_TYPES
CONFIG_TYPES = frozenset({DOCKER_CONFIG, OCI_CONFIG})
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
ACCEPT = ", ".join((DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX, "*/*"))


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why containerd cannot unpack what it got."""

    cause: Cause
    detail: str


def media_type(content_type: str) -> str:
    """Return the media type of a ``Content-Type`` without its parameters.

    As containerd cuts it: a blank before the ``;`` stays, and is then no known type.
    """
    return content_type.partition(";")[0]


def valid_digest(digest: str) -> bool:
    """Tell whether a digest is well-formed and of an algorithm that containerd has."""
    return _DIGEST.fullmatch(digest) is not None


def holds(digest: str, body: bytes) -> bool:
    """Tell whether ``body`` is what a valid ``digest`` stands for."""
    algorithm, _, expected = digest.partition(":")
    return hashlib.new(algorithm, body).hexdigest() == expected


def read_document(body: bytes, type_: str) -> ImageManifest | ImageIndex | Unusable:
    """Decode a manifest or index of media type ``type_`` (one of ``MANIFEST_TYPES``).

    As ``images.Children``: the text is JSON; it must not be schema 1, nor look like the
    other of the two; then each field must have the type that Go expects.
    """
    try:
        value = parse(body)
        other = _looks_like(member_names(value), own_media_type(value), type_)
        if other is not None:
            return other
        return image_index(value) if type_ in INDEX_TYPES else image_manifest(value)
    except JsonError as error:
        return Unusable(Cause.MANIFEST_MALFORMED, f"it cannot be decoded: {error}")


def _looks_like(names: set[str], own_type: str, type_: str) -> Unusable | None:
    """Refuse what is of another kind (``validateMediaType``): a name is enough, null or not."""
    if "fslayers" in names:
        return Unusable(Cause.MEDIA_TYPE_UNSUPPORTED, "it is a schema 1 manifest")
    if type_ in IMAGE_TYPES and ("manifests" in names or own_type in INDEX_TYPES):
        return Unusable(Cause.MANIFEST_MALFORMED, "its media type says manifest, it is an index")
    if type_ in INDEX_TYPES and (names & {"config", "layers"} or own_type in IMAGE_TYPES):
        return Unusable(Cause.MANIFEST_MALFORMED, "its media type says index, it is a manifest")
    return None


def read_platform(body: bytes) -> Platform | Unusable:
    """Read what platform a config declares (``images.ConfigPlatform``, not normalised)."""
    return _read_config(body, platform)


def read_rootfs(body: bytes) -> ImageConfig | Unusable:
    """Decode a config as far as unpacking does (``unpackConfig`` of ``core/unpack``)."""
    return _read_config(body, unpack_config)


def read_config(body: bytes) -> ImageConfig | Unusable:
    """Decode a config in full (``ocispec.Image``), as the CRI's image store does at the end."""
    return _read_config(body, image)


_Read = TypeVar("_Read")


def _read_config(body: bytes, read: Callable[[Value], _Read]) -> _Read | Unusable:
    try:
        return read(parse(body))
    except JsonError as error:
        return Unusable(Cause.MANIFEST_MALFORMED, f"its config cannot be decoded: {error}")
