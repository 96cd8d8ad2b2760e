"""The structs of github.com/opencontainers/image-spec v1.1.1, decoded as containerd does.

Each decoder takes a parsed document and raises JsonError where Go's ``json.Unmarshal``
into that struct returns an error.
"""

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.credentials.gojson import JsonError
from webhook.images.platform import Platform, shown
from webhook.registry.gojson import (
    NO_SLICE,
    Decode,
    MapOf,
    SliceOf,
    Struct,
    Value,
    boolean,
    byte_text,
    integer,
    nothing,
    text,
)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What points at a document: media type, digest and size in bytes, as it is written.

    Nothing of it was validated; what was left out is empty or 0, as in Go. ``data`` is
    the content itself, where the descriptor carries it.
    """

    media_type: str = ""
    digest: str = ""
    size: int = 0
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """The manifest of one image; a config that was left out is an empty descriptor."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """A list of manifests, docker's or OCI's."""

    manifests: tuple[Descriptor, ...]

    @property
    def platforms(self) -> tuple[str, ...]:
        """What it offers, for people, each once; empty for an entry that declares none."""
        return tuple(dict.fromkeys(shown(entry.platform) for entry in self.manifests))


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What a pull reads of an image's config."""

    platform: Platform
    rootfs_type: str
    diff_ids: tuple[str, ...]


def own_media_type(value: Value) -> str:
    """Return the media type that a document itself names; empty for none."""
    return _text(_UNKNOWN_DOCUMENT.read(value), "mediatype")


def image_manifest(value: Value) -> ImageManifest:
    """Decode an ``ocispec.Manifest``."""
    read = _MANIFEST.read(value)
    layers = tuple(map(_descriptor, read.get("layers", NO_SLICE).items))
    return ImageManifest(_descriptor(read.get("config", {})), layers)


def image_index(value: Value) -> ImageIndex:
    """Decode an ``ocispec.Index``."""
    entries = _INDEX.read(value).get("manifests", NO_SLICE)
    return ImageIndex(tuple(map(_descriptor, entries.items)))


def platform(value: Value) -> Platform:
    """Decode an ``ocispec.Platform``; what was left out is empty."""
    return _platform(_PLATFORM.read(value))


def unpack_config(value: Value) -> ImageConfig:
    """Decode the part of an ``ocispec.Image`` that unpacking reads (``core/unpack``)."""
    return _config(_UNPACK_CONFIG.read(value))


def image(value: Value) -> ImageConfig:
    """Decode an ``ocispec.Image``, of which all fields must have their types."""
    return _config(_IMAGE.read(value))


_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?"
    r"(?:Z|[+-]([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_LEAP_YEAR = 2000
"""Stands for the year 0, which Go has and Python has not."""


def moment(_: None, value: Value) -> None:
    """Decode into a ``time.Time``: RFC 3339 as ``time.Parse`` takes it; no leap second."""
    if value is None:
        return
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        raise JsonError("a time that is none")
    year, month, day, hour, minute, second, off_hour, off_minute = (
        int(n or 0) for n in found.groups()
    )
    if (
        not 1 <= month <= 12  # noqa: PLR2004  # the calendar
        or not 1 <= day <= monthrange(year or _LEAP_YEAR, month)[1]
        or hour > 23  # noqa: PLR2004  # the clock
        or max(minute, second) > 59  # noqa: PLR2004  # the clock
        or off_hour > 24  # noqa: PLR2004  # Go lets an offset have one more, on purpose
        or off_minute > 60  # noqa: PLR2004  # as above
    ):
        raise JsonError("a time that is none")


_Field = tuple[Decode, Any]
_STRING: _Field = (text, "")
_STRINGS: _Field = (SliceOf(text, ""), NO_SLICE)
_TEXT_BY_NAME: _Field = (MapOf(text, ""), None)
_SET: _Field = (MapOf(nothing, None), None)

_PLATFORM_FIELDS: Mapping[str, _Field] = {
    "architecture": _STRING,
    "os": _STRING,
    "os.version": _STRING,
    "os.features": _STRINGS,
    "variant": _STRING,
}
_PLATFORM = Struct(_PLATFORM_FIELDS)
_DESCRIPTOR_FIELDS: Mapping[str, _Field] = {
    "mediatype": _STRING,
    "digest": _STRING,
    "size": (integer, 0),
    "urls": _STRINGS,
    "annotations": _TEXT_BY_NAME,
    "data": (byte_text, b""),
    "platform": (Struct(_PLATFORM_FIELDS, pointer=True), None),
    "artifacttype": _STRING,
}
_DESCRIPTOR = Struct(_DESCRIPTOR_FIELDS)
_DESCRIPTORS: _Field = (SliceOf(_DESCRIPTOR, {}), NO_SLICE)
_COMMON: Mapping[str, _Field] = {
    "schemaversion": (integer, 0),
    "mediatype": _STRING,
    "artifacttype": _STRING,
    "subject": (Struct(_DESCRIPTOR_FIELDS, pointer=True), None),
    "annotations": _TEXT_BY_NAME,
}
_MANIFEST = Struct({**_COMMON, "config": (_DESCRIPTOR, {}), "layers": _DESCRIPTORS})
_INDEX = Struct({**_COMMON, "manifests": _DESCRIPTORS})
_UNKNOWN_DOCUMENT = Struct({"mediatype": _STRING})

_UNPACK_FIELDS: Mapping[str, _Field] = {
    **_PLATFORM_FIELDS,
    "rootfs": (Struct({"type": _STRING, "diff_ids": _STRINGS}), {}),
}
_UNPACK_CONFIG = Struct(_UNPACK_FIELDS)
_CONTAINER = Struct(
    {
        "user": _STRING,
        "exposedports": _SET,
        "env": _STRINGS,
        "entrypoint": _STRINGS,
        "cmd": _STRINGS,
        "volumes": _SET,
        "workingdir": _STRING,
        "labels": _TEXT_BY_NAME,
        "stopsignal": _STRING,
        "argsescaped": (boolean, False),
    }
)
_HISTORY = Struct(
    {
        "created": (moment, None),
        "created_by": _STRING,
        "author": _STRING,
        "comment": _STRING,
        "empty_layer": (boolean, False),
    }
)
_IMAGE = Struct(
    {
        **_UNPACK_FIELDS,
        "created": (moment, None),
        "author": _STRING,
        "config": (_CONTAINER, {}),
        "history": (SliceOf(_HISTORY, {}), NO_SLICE),
    }
)


def _descriptor(read: Mapping[str, Any]) -> Descriptor:
    declared = read.get("platform")
    return Descriptor(
        media_type=_text(read, "mediatype"),
        digest=_text(read, "digest"),
        size=read.get("size", 0),
        platform=None if declared is None else _platform(declared),
        urls=read.get("urls", NO_SLICE).items,
        data=read.get("data", b""),
    )


def _platform(read: Mapping[str, Any]) -> Platform:
    return Platform(
        os=_text(read, "os"),
        architecture=_text(read, "architecture"),
        variant=_text(read, "variant"),
        os_version=_text(read, "os.version"),
        os_features=read.get("os.features", NO_SLICE).items,
    )


def _config(read: Mapping[str, Any]) -> ImageConfig:
    rootfs = read.get("rootfs", {})
    return ImageConfig(
        _platform(read), _text(rootfs, "type"), rootfs.get("diff_ids", NO_SLICE).items
    )


def _text(read: Mapping[str, Any], name: str) -> str:
    found: str = read.get(name, "")
    return found
