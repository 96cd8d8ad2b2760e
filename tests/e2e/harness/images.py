"""Minimal real images, pushed through a registry's HTTP API."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Sequence
from typing import Any

import httpx

from tests.e2e.harness.registry import Credentials, Registry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def push_image(
    registry: Registry,
    repository: str,
    tag: str,
    platforms: Sequence[str] = ("linux/amd64",),
    credentials: Credentials | None = None,
    *,
    content: str = "",
) -> str:
    """Push an image and return its digest: a manifest, or an index of several platforms.

    Another `content` under the same tag moves the tag. Without credentials the
    registry's own pusher pushes.
    """
    with registry.client() as client:
        _log_in(client, registry, repository, credentials or registry.pusher)
        manifests = [
            _push_manifest(client, repository, platform, f"{repository}:{tag} {content}")
            for platform in platforms
        ]
        if len(manifests) == 1:
            body, media_type = manifests[0][0], MANIFEST
        else:
            index = {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [descriptor for _, descriptor in manifests],
            }
            body, media_type = json.dumps(index).encode(), INDEX
        return put_manifest(client, repository, tag, body, media_type)


def put_manifest(
    client: httpx.Client, repository: str, reference: str, body: bytes, media_type: str
) -> str:
    client.put(
        f"/v2/{repository}/manifests/{reference}",
        content=body,
        headers={"Content-Type": media_type},
    ).raise_for_status()
    return _digest(body)


def put_blob(client: httpx.Client, repository: str, content: bytes) -> str:
    digest = _digest(content)
    upload = client.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
    target = httpx.URL(upload.headers["Location"]).copy_add_param("digest", digest)
    client.put(target, content=content).raise_for_status()
    return digest


def _push_manifest(
    client: httpx.Client, repository: str, platform: str, about: str
) -> tuple[bytes, dict[str, Any]]:
    system, architecture, *variant = platform.split("/")
    where = {"os": system, "architecture": architecture}
    if variant:
        where["variant"] = variant[0]
    layer = _layer(f"{about} {platform}\n".encode())
    config = json.dumps(
        {
            **where,
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer))]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": _CONFIG,
                "digest": put_blob(client, repository, config),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": _LAYER,
                    "digest": put_blob(client, repository, layer),
                    "size": len(layer),
                }
            ],
        }
    ).encode()
    digest = put_manifest(client, repository, _digest(manifest), manifest, MANIFEST)
    descriptor = {
        "mediaType": MANIFEST,
        "digest": digest,
        "size": len(manifest),
        "platform": where,
    }
    return manifest, descriptor


def _layer(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = len(content)
        entry.mode = 0o755
        archive.addfile(entry, io.BytesIO(content))
    # A fixed time keeps the digest the same from one push to the next.
    return gzip.compress(packed.getvalue(), mtime=0)


def _log_in(
    client: httpx.Client, registry: Registry, repository: str, credentials: Credentials | None
) -> None:
    challenge = client.get("/v2/").headers.get("WWW-Authenticate", "")
    if credentials is None or not challenge:
        return
    if challenge.lower().startswith("basic"):
        client.auth = httpx.BasicAuth(*credentials)
        return
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    with httpx.Client(verify=registry.ssl_context(), trust_env=False) as other:
        answer = other.get(
            fields["realm"],
            params={"service": fields["service"], "scope": f"repository:{repository}:pull,push"},
            auth=httpx.BasicAuth(*credentials),
        )
    client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
