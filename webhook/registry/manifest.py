"""Manifests and indexes, as far as a pull depends on them."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from webhook.registry.outcome import Cause

MANIFEST_LIMIT = 4 * 1048 * 1048
"""Bytes past which containerd refuses a manifest (``MaxManifestSize``)."""

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPES = frozenset({DOCKER_INDEX, OCI_INDEX})
MANIFEST_TYPES = frozenset({DOCKER_MANIFEST, OCI_MANIFEST}) | INDEX_TYPES
UNKNOWN_PLATFORM = "unknown/unknown"
_PLATFORM = re.compile(r"[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,2}")
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


def read_manifest(body: bytes, type_: str, digest: str) -> tuple[str, ...] | Unusable | None:
    """Check a manifest that was fetched by ``digest``.

    Returns the platforms of an index (``os/arch[/variant]``), None for a single
    manifest, or why it cannot be used.
    """
    if len(body) > MANIFEST_LIMIT:
        return Unusable(Cause.MANIFEST_TOO_LARGE, f"more than {MANIFEST_LIMIT} bytes")
    algorithm, _, expected = digest.partition(":")
    if hashlib.new(algorithm, body).hexdigest() != expected:
        return Unusable(Cause.DIGEST_MISMATCH, f"its bytes are not those of {digest}")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Unusable(Cause.MANIFEST_MALFORMED, "it is no JSON")
    if not isinstance(document, dict):
        return Unusable(Cause.MANIFEST_MALFORMED, "it is no JSON object")
    if type_ not in INDEX_TYPES:
        return None
    entries = document.get("manifests")
    if entries is not None and not isinstance(entries, list):
        return Unusable(Cause.MANIFEST_MALFORMED, "its list of manifests is none")
    return tuple(dict.fromkeys(_platform(entry) for entry in entries or ()))


def _platform(entry: Any) -> str:
    """Name the platform of an index's entry; empty where it declares none.

    What no platform is called is ``unknown/unknown``: the text would end in a message.
    """
    platform = entry.get("platform") if isinstance(entry, dict) else None
    if not isinstance(platform, dict):
        return ""
    parts = [platform.get(key) for key in ("os", "architecture", "variant")]
    named = "/".join(part for part in parts if isinstance(part, str) and part)
    return named if not named or _PLATFORM.fullmatch(named) else UNKNOWN_PLATFORM
