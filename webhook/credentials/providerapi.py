"""What goes to an exec plugin and what comes back: ``credentialprovider.kubelet.k8s.io``.

The three versions of the protocol (v1, v1beta1, v1alpha1) differ in their names alone
as long as no service account token is asked for. Reproduces ``encodeRequest`` and
``decodeResponse`` of the kubelet 1.37: an answer is one JSON object, decoded strictly.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from webhook.credentials.dockerconfig import Entry
from webhook.credentials.goduration import parse_duration
from webhook.credentials.gojson import Json, JsonError, JsonObject, parse


class CacheKeyType(StrEnum):
    """For which images an answer may be used again."""

    IMAGE = "Image"
    REGISTRY = "Registry"
    GLOBAL = "Global"


class ResponseFault(ValueError):  # noqa: N818 - told to people in these words
    """Why an answer is none; holds nothing of it, since that may be a password."""


@dataclass(frozen=True, slots=True)
class Response:
    """A plugin's answer. ``cache_seconds`` None: as configured; 0: not kept."""

    cache_key_type: CacheKeyType
    cache_seconds: float | None
    entries: tuple[Entry, ...]


def encode_request(api_version: str, image: str) -> bytes:
    """Return what the plugin reads from its standard input."""
    request = {"kind": "CredentialProviderRequest", "apiVersion": api_version, "image": image}
    return json.dumps(request, separators=(",", ":")).encode() + b"\n"


def decode_response(api_version: str, raw: bytes) -> Response:
    """Decode what the plugin wrote to its standard output. Raises ResponseFault."""
    try:
        document = parse(raw)
    except JsonError:
        raise ResponseFault("did not answer with one JSON object") from None
    if not isinstance(document, JsonObject):
        raise ResponseFault("did not answer with one JSON object")
    names = ("kind", "apiVersion", "cacheKeyType", "cacheDuration", "auth")
    members = _members(document, names)
    if members.get("apiVersion") != api_version:
        raise ResponseFault(f"did not answer with apiVersion {api_version}")
    if members.get("kind") != "CredentialProviderResponse":
        raise ResponseFault("did not answer with kind CredentialProviderResponse")
    duration = members.get("cacheDuration")
    nanoseconds = None if duration is None else parse_duration(_text(duration, "cacheDuration"))
    if duration is not None and nanoseconds is None:
        raise ResponseFault("answered with a cacheDuration that is no duration")
    entries = tuple(_entry(key, value) for key, value in _auth(members.get("auth")))
    try:
        key_type = CacheKeyType(_text(members.get("cacheKeyType"), "cacheKeyType"))
    except ValueError:
        raise ResponseFault("did not answer with a cacheKeyType that exists") from None
    return Response(key_type, None if nanoseconds is None else nanoseconds / 1e9, entries)


def _auth(value: Json) -> list[tuple[str, Json]]:
    if value is None:
        return []
    if not isinstance(value, JsonObject):
        raise ResponseFault("answered with an auth that is no object")
    return list(_members(value, None).items())


def _entry(key: str, value: Json) -> Entry:
    if value is None:
        return Entry(key, "", "")
    if not isinstance(value, JsonObject):
        raise ResponseFault("answered with an auth whose entry is no object")
    members = _members(value, ("username", "password"))
    username, password = (_text(members.get(name), name) for name in ("username", "password"))
    return Entry(key, username, password)


def _text(value: Json, name: str) -> str:
    """Return a text; null leaves it empty, as Go does."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ResponseFault(f"answered with a {name} that is no text")
    return value


def _members(value: JsonObject, known: tuple[str, ...] | None) -> dict[str, Json]:
    """Return the members of an object, each once and, where told, each known."""
    members = dict(value.members)
    if len(members) != len(value.members):
        raise ResponseFault("answered with a key that stands twice")
    if known is not None and not members.keys() <= set(known):
        # Not told which: what stands where a key should be may be a password.
        raise ResponseFault("answered with a field that does not exist")
    return members
