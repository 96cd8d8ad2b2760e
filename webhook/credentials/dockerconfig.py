"""Docker configs as the kubelet decodes them: hosts with their user and password.

Reproduces ``pkg/credentialprovider/config.go`` and ``secrets/secrets.go`` of
Kubernetes 1.37: which Secrets count, which fields are read, and which single
fault makes the whole pod's keyring fail.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from webhook.credentials.gojson import Json, JsonError, JsonObject, kind_of, parse, text_value
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)

_GROUP = 4
_DIGITS = re.compile(rb"[A-Za-z0-9+/\r\n]*+")
_NEWLINES = b"\r\n"
_GO_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of ``auths``: its key as written, and the credential in it.

    What people write as a key may hold a password too (``https://bot:password@r.io``).
    """

    location: str = field(repr=False)
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An entry that Go's decoder refuses: every pull of the pod fails with ``reason``.

    ``location`` is its key, for people to find it by: without user info and query.
    """

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
            raise JsonError(f"cannot unmarshal {kind_of(document)} into a docker config")
        entries = _entries(document.field("auths"))
        if not isinstance(entries, Undecodable):
            _check_http_headers(document.field("HttpHeaders"))
    except JsonError as error:
        return Undecodable(f"json: {error}")
    return entries


def dockercfg(raw: bytes) -> tuple[Entry, ...] | Undecodable:
    """Decode the legacy ``.dockercfg``: the flat map of hosts itself."""
    try:
        return _entries([parse(raw)])
    except JsonError as error:
        return Undecodable(f"json: {error}")


def _entries(maps: Sequence[Json]) -> tuple[Entry, ...] | Undecodable:
    """Decode a map of entries, given once for each time that it is written.

    A repeated map adds to the one that is there, and null empties it. A fault in an
    entry ends everything at once, also where the entry is overwritten later; a map of
    the wrong type (JsonError) is told only after all else has been read.
    """
    entries: dict[str, Entry] = {}
    for auths in maps:
        if auths is None:
            entries.clear()
        for location, value in auths.members if isinstance(auths, JsonObject) else ():
            entry = _entry(location, value)
            if isinstance(entry, Undecodable):
                return entry
            entries[location] = entry
    for auths in maps:
        if auths is not None and not isinstance(auths, JsonObject):
            raise JsonError(f"cannot unmarshal {kind_of(auths)} into auths")
    return tuple(entries.values())


def _check_http_headers(maps: Iterable[Json]) -> None:
    """Raise JsonError unless they are maps of strings: they are not used, but decoded."""
    for headers in maps:
        if isinstance(headers, JsonObject):
            text_value((value for _, value in headers.members), "HttpHeaders")
        elif headers is not None:
            raise JsonError(f"cannot unmarshal {kind_of(headers)} into HttpHeaders")


def _entry(location: str, value: Json) -> Entry | Undecodable:
    if value is None:
        return Entry(location, "", "")
    try:
        if not isinstance(value, JsonObject):
            raise JsonError(f"cannot unmarshal {kind_of(value)} into an entry")
        username, password, auth, _ = (
            text_value(value.field(name), name)
            for name in ("username", "password", "auth", "email")
        )
    except JsonError as error:
        return Undecodable(f"json: {error}", _findable(location))
    if not auth:
        return Entry(location, username, password)
    decoded = decode_base64(auth)
    if isinstance(decoded, int):
        return Undecodable(f"illegal base64 data at input byte {decoded}", _findable(location))
    user, colon, secret = decoded.decode("utf-8", "surrogateescape").partition(":")
    if not colon:
        reason = "unable to parse auth field, must be formatted as base64(username:password)"
        return Undecodable(reason, _findable(location))
    return Entry(location, user, secret)


def _findable(location: str) -> str:
    """Return what of a key can be told to people: neither user info nor a query's token."""
    return re.split("[?#]", location.rpartition("@")[2])[0]


def decode_base64(text: str) -> bytes | int:
    r"""Decode as ``decodeDockerConfigFieldAuth``; an int is the byte at which Go gives up.

    Padded where the text, trimmed of white space, ends in ``=``, else unpadded;
    ``\r`` and ``\n`` are skipped anywhere, spare bits at the end are not looked at.
    """
    padded = text.strip(_GO_SPACE).endswith("=")
    raw = text.encode("utf-8", "surrogatepass")
    end = _end_of_digits(raw)
    digits = raw[:end].translate(None, _NEWLINES)
    spare = len(digits) % _GROUP
    if end == len(raw):
        if spare == 1 or (padded and spare):
            return end - spare
    elif not padded or raw[end] != ord("="):
        return end
    elif (fault := _padding_fault(raw, end, spare)) is not None:
        return fault
    return base64.b64decode(digits + b"=" * (-spare % _GROUP))


def _end_of_digits(raw: bytes) -> int:
    found = _DIGITS.match(raw)
    return found.end() if found is not None else 0


def _padding_fault(raw: bytes, at: int, spare: int) -> int | None:
    """Return where Go stumbles over the ``=`` at ``at`` and what follows, or None."""
    if spare < 2:  # noqa: PLR2004  # two digits make a byte
        return at
    after = _past_newlines(raw, at + 1)
    if spare == 2:  # noqa: PLR2004
        if after == len(raw):
            return after
        if raw[after] != ord("="):
            return after - 1
        after = _past_newlines(raw, after + 1)
    return None if after == len(raw) else after


def _past_newlines(raw: bytes, at: int) -> int:
    while at < len(raw) and raw[at] in _NEWLINES:
        at += 1
    return at
