"""How replicas come to one identity: the API server lets one write win, all others read it."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any

from certs.authority import Pair
from certs.bundle import with_authority
from certs.cluster import Cluster, ClusterError, Object
from certs.identity import Identity, fault_of, new_identity

RENEWED_AHEAD = timedelta(days=30)
"""Asked for only when a replica starts: one that ends sooner may not see another start."""

ATTEMPTS = 10
"""A write that was lost is followed by a read; each further loss needs another writer."""

CA, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"
TLS_TYPE = "kubernetes.io/tls"
_OURS = (TLS_TYPE, "Opaque")


class Done(StrEnum):
    """What became of the Secret."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Agreed:
    """The identity that all replicas use, and what this one did for it."""

    identity: Identity
    done: Done
    why: str = ""


def agree(
    cluster: Cluster,
    namespace: str,
    name: str,
    names: Sequence[str],
    *,
    now: datetime | None = None,
) -> Agreed:
    """Return the identity for ``names`` in a Secret: the one that is there, or a new one.

    What is there and cannot be used (expired or about to, other names, damaged) is
    replaced, but only as the very version that was read; whoever loses a race reads
    the winner's. Raises ClusterError, and ValueError for a bad name.
    """
    for _ in range(ATTEMPTS):
        found = _find(cluster, namespace, name)
        if found is None:
            identity = new_identity(names, now=now)
            body = _new_secret(namespace, name, identity)
            if _won(partial(cluster.create_secret, namespace, name, body)):
                return Agreed(identity, Done.CREATED)
            continue
        identity = identity_in(found)
        fault = fault_of(identity, names, now=now, ahead=RENEWED_AHEAD)
        if fault is None:
            return Agreed(identity, Done.UNCHANGED)
        if (kind := found.get("type")) not in _OURS:
            raise ClusterError(f"Secret {namespace}/{name} is of type {kind}: not one of ours")
        identity = new_identity(names, now=now)
        body = _with_identity(found, identity)
        if _won(partial(cluster.replace_secret, namespace, name, body), gone=True):
            return Agreed(identity, Done.REPLACED, fault)
    raise ClusterError(f"Secret {namespace}/{name} changes faster than it can be read")


def publish(cluster: Cluster, name: str, ca: bytes, *, now: datetime | None = None) -> int:
    """Put ``ca`` into the caBundle of every webhook of a configuration; return how many changed.

    Authorities that are there stay beside it, see ``with_authority``. Nothing is
    written when nothing differs. Raises ClusterError, and ValueError for a bad ``ca``.
    """
    for _ in range(ATTEMPTS):
        configuration = cluster.configuration(name)
        changes = []
        for index, webhook in enumerate(configuration.get("webhooks") or ()):
            bundle = with_authority(bundle_of(webhook), ca, now=now)
            if bundle is not None:
                path = f"/webhooks/{index}/clientConfig/caBundle"
                changes.append({"op": "add", "path": path, "value": _encoded(bundle)})
        if not changes:
            return 0
        version = configuration["metadata"]["resourceVersion"]
        # The index of a webhook holds for the version that was read, and for no other.
        same = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        if _won(partial(cluster.patch_configuration, name, (same, *changes))):
            return len(changes)
    raise ClusterError(f"ValidatingWebhookConfiguration {name} changes faster than it can be read")


def identity_in(secret: Object) -> Identity:
    """Return what a Secret holds; what is missing or no base64 is empty, and so unusable."""
    data = secret.get("data") or {}
    return Identity(_decoded(data, CA), Pair(_decoded(data, CERTIFICATE), _decoded(data, KEY)))


def bundle_of(webhook: Object) -> bytes:
    """Return the caBundle of one webhook of a configuration, empty where there is none."""
    return _decoded(webhook.get("clientConfig") or {}, "caBundle")


def _find(cluster: Cluster, namespace: str, name: str) -> Object | None:
    try:
        return cluster.secret(namespace, name)
    except ClusterError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return None


def _won(write: Callable[[], object], *, gone: bool = False) -> bool:
    """Tell whether a write went through; False when another was first.

    With ``gone``, also when what was to be replaced is no longer there.
    """
    try:
        write()
    except ClusterError as error:
        if error.status == HTTPStatus.CONFLICT or (gone and error.status == HTTPStatus.NOT_FOUND):
            return False
        raise
    return True


def _new_secret(namespace: str, name: str, identity: Identity) -> Object:
    labels = {"app.kubernetes.io/name": "pullproof", "app.kubernetes.io/managed-by": "pullproof"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "type": TLS_TYPE,
        "data": _data(identity),
    }


def _with_identity(secret: Object, identity: Identity) -> Object:
    """Return the Secret as it was read, its resourceVersion too, with another identity in it."""
    return {**secret, "data": {**(secret.get("data") or {}), **_data(identity)}}


def _data(identity: Identity) -> Mapping[str, str]:
    values = {CA: identity.ca, CERTIFICATE: identity.pair.certificate, KEY: identity.pair.key}
    return {key: _encoded(value) for key, value in values.items()}


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _decoded(data: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(data.get(key) or "", validate=True)
    except (TypeError, ValueError):
        return b""
