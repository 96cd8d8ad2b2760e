"""Docker configs as the kubelet decodes them: hosts with their user and password.

Reproduces ``pkg/credentialprovider/config.go`` and ``secrets/secrets.go`` of
Kubernetes 1.37: which Secrets count, which fields are read, and which single
fault makes the whole pod's keyring fail.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from webhook.credentials.gojson import JsonError, JsonObject, kind_of, parse, text_value
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)

_ALPHABET = {
    ord(c): n
    for n, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of ``auths``: its key as written, and the credential in it."""

    location: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An entry that Go's decoder refuses: every pull of the pod fails with ``reason``."""

    reason: str
    location: str = ""


def entries_of(secret: Secret) -> tuple[Entry, ...] | Undecodable | None:
    """Decode a pull secret; None for one that the kubelet passes over without a word."""
    for type_, key, of_document in (
        (DOCKER_CONFIG_JSON_TYPE, DOCKER_CONFIG_JSON_KEY, docker_config_json),
        (DOCKERCFG_TYPE, DOCKERCFG_KEY, dockercfg),
    ):
        raw = secret.data.get(key, b"")
        if secret.type == type_ and raw:
            return of_document(raw)
    return None


def docker_config_json(raw: bytes) -> tuple[Entry, ...] | Undecodable:
    """Decode ``.dockerconfigjson``: ``{"auths": {…}}``; other members are ignored."""
    try:
        document = parse(raw)
        if document is None:
            return ()
        if not isinstance(document, JsonObject):
            return Undecodable(f"json: cannot unmarshal {kind_of(document)} into a docker config")
        _check_http_headers(document)
    except JsonError as error:
        return Undecodable(f"json: {error}")
    entries: dict[str, Entry] = {}
    for auths in document.field("auths"):
        if auths is None:
            # null empties the map; a repeated key otherwise adds to the one that is there.
            entries.clear()
            continue
        if not isinstance(auths, JsonObject):
            return Undecodable(f"json: cannot unmarshal {kind_of(auths)} into auths")
        refused = _add_entries(entries, auths)
        if refused is not None:
            return refused
    return tuple(entries.values())


def dockercfg(raw: bytes) -> tuple[Entry, ...] | Undecodable:
    """Decode the legacy ``.dockercfg``: the flat map of hosts itself."""
    try:
        document = parse(raw)
    except JsonError as error:
        return Undecodable(f"json: {error}")
    if document is None:
        return ()
    if not isinstance(document, JsonObject):
        return Undecodable(f"json: cannot unmarshal {kind_of(document)} into a docker config")
    entries: dict[str, Entry] = {}
    return _add_entries(entries, document) or tuple(entries.values())


def _check_http_headers(document: JsonObject) -> None:
    for headers in document.field("HttpHeaders"):
        if headers is None:
            continue
        if not isinstance(headers, JsonObject):
            raise JsonError(f"cannot unmarshal {kind_of(headers)} into HttpHeaders")
        for _, value in headers.members:
            text_value([value], "HttpHeaders")


def _add_entries(entries: dict[str, Entry], members: JsonObject) -> Undecodable | None:
    """Decode each member, an overwritten one too: its fault counts all the same."""
    for location, value in members.members:
        entry = _entry(location, value)
        if isinstance(entry, Undecodable):
            return entry
        entries[location] = entry
    return None


def _entry(location: str, value: Any) -> Entry | Undecodable:
    if value is None:
        return Entry(location, "", "")
    if not isinstance(value, JsonObject):
        return Undecodable(f"json: cannot unmarshal {kind_of(value)} into an entry", location)
    try:
        username = text_value(value.field("username"), "username")
        password = text_value(value.field("password"), "password")
        text_value(value.field("email"), "email")
        auth = text_value(value.field("auth"), "auth")
    except JsonError as error:
        return Undecodable(f"json: {error}", location)
    if not auth:
        return Entry(location, username, password)
    decoded = decode_base64(auth)
    if isinstance(decoded, int):
        return Undecodable(f"illegal base64 data at input byte {decoded}", location)
    user, colon, secret = decoded.partition(b":")
    if not colon:
        reason = "unable to parse auth field, must be formatted as base64(username:password)"
        return Undecodable(reason, location)
    return Entry(
        location,
        user.decode("utf-8", "surrogateescape"),
        secret.decode("utf-8", "surrogateescape"),
    )


_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(c) for c in range(0x2000, 0x200B)
)


def decode_base64(text: str) -> bytes | int:
    r"""Decode as ``decodeDockerConfigFieldAuth``; an int is the byte at which Go gives up.

    Padded where the text, trimmed of white space, ends in ``=``, else unpadded;
    ``\r`` and ``\n`` are skipped anywhere, spare bits at the end are not looked at.
    """
    padded = text.strip(_GO_SPACE).endswith("=")
    raw = text.encode("utf-8", "surrogatepass")
    out = bytearray()
    digits: list[int] = []
    at = 0
    while at < len(raw):
        byte = raw[at]
        if byte in b"\r\n":
            at += 1
            continue
        if padded and byte == ord("="):
            return _after_padding(raw, at, digits, out)
        if byte not in _ALPHABET:
            return at
        digits.append(_ALPHABET[byte])
        at += 1
        if len(digits) == _GROUP:
            out += _bytes_of(digits)
            digits.clear()
    if digits and (padded or len(digits) == 1):
        return at - len(digits)
    out += _bytes_of(digits)
    return bytes(out)


def _after_padding(raw: bytes, at: int, digits: list[int], out: bytearray) -> bytes | int:
    rest = re.sub(rb"[\r\n]", b"", raw[at:])
    wanted = _GROUP - len(digits)
    if wanted > 2 or rest != b"=" * wanted:  # noqa: PLR2004  # two digits make a byte
        return at
    out += _bytes_of(digits)
    return bytes(out)


def _bytes_of(digits: list[int]) -> bytes:
    bits = 0
    for digit in digits:
        bits = bits << 6 | digit
    whole = len(digits) * 6 // 8
    return (bits >> (len(digits) * 6 - whole * 8)).to_bytes(whole, "big") if whole else b""
