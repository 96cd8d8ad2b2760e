"""Our answers and the oracle's, each brought to a form in which they must be equal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from tests.oracle import DOCKERCFG, Oracle, PullSecret
from webhook.credentials.dockerconfig import Undecodable, docker_config_json, dockercfg
from webhook.credentials.keyring import Broken, keyring_of, normalised_key
from webhook.credentials.secret import Secret
from webhook.images.reference import Fault, InvalidReference, Reference, address_fault, parse

_FAULTS = {
    "must be lowercase": Fault.UPPERCASE,
    "invalid checksum digest": Fault.DIGEST_MALFORMED,
    "unsupported digest algorithm": Fault.DIGEST_UNSUPPORTED,
}

Refused = tuple[Fault, str]
Read = tuple[str, str, str | None, str | None, str, bool]


def our_reference(image: str) -> Refused | Read:
    """Return fault and reason, or domain, path, tag, digest, what is pulled, and diallable."""
    got = parse(image)
    if isinstance(got, InvalidReference):
        return got.fault, got.reason
    diallable = address_fault(Reference(got.domain, got.path, got.tag, got.digest)) is None
    return got.domain, got.path, got.tag, got.digest, str(got), diallable


def their_reference(node: Oracle, image: str) -> Refused | Read:
    got = node.reference(image)
    if got.error is None:
        # containerd's own parser leaves the range of the port to the dialler.
        port = re.search(r":([0-9]+)$", got.domain)
        diallable = got.address_error is None and not (port and int(port[1]) > 65535)
        tag, digest = got.tag or None, got.digest or None
        return got.domain, got.path, tag, digest, got.pulled, diallable
    # The reason follows the image, which is quoted and may hold anything; the name in it varies.
    reason = got.error.rpartition('": ')[2]
    reason = re.sub(r"repository name \(.*\)", "repository name", reason, flags=re.DOTALL)
    reason = re.sub(r"^invalid repository name, ", "", reason)
    fault = next((f for words, f in _FAULTS.items() if words in reason), Fault.MALFORMED)
    return fault, reason


Groups = list[tuple[str, list[tuple[str, str]]]]


def our_keyring(secrets: Sequence[PullSecret], repository: str) -> str | Groups:
    """Return why no pull goes through, or what is tried in order, by secret and key."""
    ring = keyring_of((s.name, Secret("", s.name, s.type, s.data)) for s in secrets)
    if isinstance(ring, Broken):
        return _kind(ring.reason)
    found = groupby(ring.lookup(repository), key=lambda c: (c.source, c.key))
    return [
        (source, sorted((_shown(c.username), _shown(c.password)) for c in group))
        for (source, _), group in found
    ]


def their_keyring(
    node: Oracle, secrets: Sequence[PullSecret], repository: str, ours: str | Groups
) -> str | Groups:
    """Return the oracle's answer, cut into groups as long as ours.

    Go walks a map: two spellings of one key inside one secret come in any order.
    """
    got = node.lookup(secrets, repository)
    if got.error is not None:
        return _kind(got.error)
    rest = list(got.credentials)
    groups: Groups = []
    for length in (
        [*(len(pairs) for _, pairs in ours), len(rest)] if isinstance(ours, list) else [len(rest)]
    ):
        taken, rest = rest[:length], rest[length:]
        for source, of_source in groupby(taken, key=lambda c: c.secret or ""):
            groups.append((source, sorted((c.username, c.password) for c in of_source)))
    return groups


def _kind(reason: str) -> str:
    """Return Go's words; those of its JSON decoder name Go's own types and are left out."""
    return reason if reason.startswith(("illegal base64", "unable to parse auth")) else "json"


def our_keys(config: bytes, type_: str) -> str | list[str]:
    entries = (dockercfg if type_ == DOCKERCFG else docker_config_json)(config)
    if isinstance(entries, Undecodable):
        return _kind(entries.reason)
    keys = {key for e in entries if (key := normalised_key(e.location)) is not None}
    raw = sorted((key.encode("utf-8", "surrogateescape") for key in keys), reverse=True)
    return [_shown(key.decode("utf-8", "surrogateescape")) for key in raw]


def their_keys(node: Oracle, config: bytes, type_: str) -> str | list[str]:
    got = node.auths(config, type_=type_)
    return _kind(got.error) if got.error is not None else list(got.keys)


def _shown(text: str) -> str:
    """Return text as Go's encoder writes it: each byte that is no UTF-8 as one mark."""
    return re.sub("[\udc80-\udcff]", "\ufffd", text)
