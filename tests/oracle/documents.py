"""Platforms, JSON documents and repositories that stand near the edges of containerd's rules."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.oracle.images_oracle import declared
from tests.oracle.walked import AMD64, OCI_LAYER, Document, Shelf, config_of, digest_of
from webhook.images.platform import Platform
from webhook.registry.manifest import (
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA_1,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)

# -- platforms -------------------------------------------------------------------------------

_VARIANTS = st.sampled_from(
    [
        *(
            "",
            "v1",
            "v2",
            "v3",
            "v4",
            "v5",
            "v6",
            "v7",
            "v8",
            "v9",
            "v10",
            "5",
            "7",
            "8",
            "9",
            "V7",
        ),
        *("v8.0", "v8.1", "v8.5", "v8.6", "v8.9", "v8.10", "v9.0", "v9.2", "v9.7", "9.0", "v9.8"),
        *("v-1", "+7", "x", "v"),
    ]
)
_ARCHITECTURES = st.sampled_from(
    [
        *("amd64", "x86_64", "x86-64", "386", "i386", "arm", "arm64", "aarch64", "armhf", "armel"),
        *("AMD64", "ARM64", "ppc64le", "s390x", "unknown", "", "wasm", "\u0130386"),
    ]
)
_SYSTEMS = st.sampled_from(
    ["linux", "windows", "darwin", "macos", "Linux", "unknown", "l\u0130nux"]
)
_VERSIONS = st.sampled_from(
    [
        *(
            "",
            "10.0.17763",
            "10.0.17763.1",
            "10.0.20348",
            "10.0.20348.1",
            "10.0.25398",
            "10.0.26100",
        ),
        *(
            "10.0.26200",
            "11.0.20348",
            "10.0",
            "10.0.x",
            "10.0.65536",
            "300.0.1",
            "10.0.020348",
            "0.0.0",
        ),
    ]
)
_FEATURES = st.lists(st.sampled_from(["win32k", "a", "b", "B", ""]), max_size=3).map(tuple)

OFFERED = st.builds(
    Platform,
    _SYSTEMS | st.just(""),
    _ARCHITECTURES,
    _VARIANTS,
    st.just("") | _VERSIONS,
    st.just(()) | _FEATURES,
)
NODES = st.builds(
    Platform, st.sampled_from(["linux", "darwin"]), _ARCHITECTURES, _VARIANTS, st.just("")
)
WINDOWS_NODES = st.builds(
    Platform, st.just("windows"), st.just("amd64"), st.just(""), _VERSIONS, _FEATURES
)
SPECIFIERS = st.lists(
    _SYSTEMS
    | _ARCHITECTURES
    | _VARIANTS
    | st.sampled_from(
        [
            *(
                "windows(10.0.17763)",
                "windows(10.0.17763+win32k)",
                "linux(+a+b)",
                "linux(+)",
                "linux()",
            ),
            *(
                "linux(++a)",
                "linux(1%2B2)",
                "linux(%zz)",
                "linux(%41+%42)",
                "linux(1",
                "*",
                "a b",
                "a\n",
            ),
        ]
    ),
    min_size=2,
    max_size=4,
).map("/".join)

# -- documents, as text: repeated and oddly written names, wrong types ------------------------


def _spelled(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from(
        [name] * 6 + [name.upper(), name.swapcase(), name.replace("s", "\u017f"), name + "x"]
    )


_SCALARS = st.sampled_from(
    [
        *("null", "true", "0", "1", "-1", "2", "1.0", "1e2", "-0", "9223372036854775807"),
        *(
            "9223372036854775808",
            '""',
            '"a"',
            '"\\ud800"',
            '"\\u0000"',
            '"AAA="',
            '"AA\\n=="',
            '"A"',
        ),
        *(
            "[]",
            "{}",
            "[null]",
            '["a"]',
            "[1,2]",
            "[256]",
            '{"a":1}',
            '{"a":"b"}',
            '{"a":null}',
            "NaN",
        ),
    ]
)


def _object(fields: dict[str, st.SearchStrategy[str]]) -> st.SearchStrategy[str]:
    one = st.sampled_from(list(fields)).flatmap(
        lambda name: st.tuples(_spelled(name), fields[name] | fields[name] | _SCALARS)
    )
    return st.lists(one, max_size=6).map(
        lambda members: "{" + ",".join(f"{json.dumps(k)}: {v}" for k, v in members) + "}"
    )


def _array(element: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(element, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")


_TEXT = st.sampled_from(['"a"', '"b"', '""', '"\u00e9"', "null"])
_TEXTS = _array(_TEXT)
_MAP = st.sampled_from(["{}", '{"a": "b"}', '{"a": null}', "null", '{"a": "b", "a": "c"}'])
_PLATFORM_FIELDS = {
    "architecture": _TEXT,
    "os": _TEXT,
    "os.version": _TEXT,
    "os.features": _TEXTS,
    "variant": _TEXT,
}
PLATFORM_TEXTS = _object(_PLATFORM_FIELDS)
_DESCRIPTOR = _object(
    {
        "mediaType": _TEXT,
        "digest": _TEXT,
        "size": st.sampled_from(["1", "2", "-3", "null"]),
        "urls": _TEXTS,
        "annotations": _MAP,
        "data": st.sampled_from(['"QUJD"', '"QQ=="', '""', "null", "[1, 2, 3]", '"Q\\r\\nQ=="']),
        "platform": PLATFORM_TEXTS,
        "artifactType": _TEXT,
    }
)
_COMMON = {
    "schemaVersion": st.sampled_from(["2", "1"]),
    "mediaType": _TEXT,
    "artifactType": _TEXT,
    "subject": _DESCRIPTOR,
    "annotations": _MAP,
}
MANIFEST_TEXTS = _object(_COMMON | {"config": _DESCRIPTOR, "layers": _array(_DESCRIPTOR)})
INDEX_TEXTS = _object(_COMMON | {"manifests": _array(_DESCRIPTOR)})
_TIMES = st.sampled_from(
    [
        *(
            "2024-02-29T23:59:59Z",
            "2023-02-29T00:00:00Z",
            "0000-02-29T00:00:00.1Z",
            "2024-1-01T00:00:00Z",
        ),
        *("2024-01-01T24:00:00Z", "2024-01-01T00:00:60Z", "2024-01-01T00:00:00+24:00"),
        *(
            "2024-01-01T00:00:00-23:59",
            "2024-01-01T00:00:00,5Z",
            "2024-01-01T00:00:00.Z",
            "",
            "now",
        ),
        *("2024-01-01t00:00:00Z", "2024-01-01T0:00:00Z", "2024-01-01T00:00:00.123456789012Z"),
        *(
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00z",
            "2024-13-01T00:00:00Z",
            "2024-04-31T00:00:00Z",
        ),
    ]
).map(json.dumps)
_BOOLEAN = st.sampled_from(["true", "false", "null"])
_CONTAINER = _object(
    {
        "User": _TEXT,
        "ExposedPorts": st.sampled_from(['{"80/tcp": {}}', '{"80/tcp": null}', '{"80/tcp": 1}']),
        "Env": _TEXTS,
        "Entrypoint": _TEXTS,
        "Cmd": _TEXTS,
        "Volumes": st.sampled_from(["{}", '{"/a": {"b": 1}}', '{"/a": []}']),
        "WorkingDir": _TEXT,
        "Labels": _MAP,
        "StopSignal": _TEXT,
        "ArgsEscaped": _BOOLEAN,
    }
)
_HISTORY = _object({"created": _TIMES, "created_by": _TEXT, "empty_layer": _BOOLEAN})
IMAGE_TEXTS = _object(
    _PLATFORM_FIELDS
    | {
        "created": _TIMES,
        "author": _TEXT,
        "config": _CONTAINER,
        "rootfs": _object({"type": _TEXT, "diff_ids": _TEXTS}),
        "history": _array(_HISTORY),
    }
)
JSON_TEXTS = st.recursive(
    _SCALARS,
    lambda inner: (
        _array(inner)
        | st.lists(st.tuples(_TEXT, inner), max_size=3).map(
            lambda members: "{" + ",".join(f"{k}:{v}" for k, v in members) + "}"
        )
    ),
    max_leaves=8,
) | st.text('[]{}",:0123456789eE+-. \t\n\\untrfalse\x00\x7f\ufeff', max_size=12)

# -- repositories ----------------------------------------------------------------------------

_DECLARED = (
    st.none()
    | st.just(AMD64)
    | OFFERED
    | st.sampled_from(
        [
            Platform("linux", "386"),
            Platform("linux", "arm64"),
            Platform("linux", "arm", "v7"),
            Platform("linux", "amd64", "v1"),
            Platform("linux", "amd64", "v2"),
            Platform("unknown", "unknown"),
        ]
    )
)
_LAYER_TYPES = st.sampled_from(
    [
        *(OCI_LAYER, OCI_LAYER, OCI_LAYER, OCI_LAYER + "+gzip", OCI_LAYER + "+zstd"),
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.v2.tar",
        OCI_LAYER + "+other",
        *("application/vnd.cncf.helm.chart.content.v1.tar+gzip", "text/plain", "", DOCKER_SCHEMA_1),
        OCI_CONFIG,
    ]
)
_CONFIG_TYPES = st.sampled_from(
    [
        *(OCI_CONFIG, OCI_CONFIG, OCI_CONFIG, DOCKER_CONFIG, "application/vnd.oci.empty.v1+json"),
        *("application/vnd.cncf.helm.config.v1+json", "application/octet-stream", ""),
    ]
)


@st.composite
def _mangled(draw: st.DrawFn, descriptor: Document) -> Document:
    """Leave a descriptor as it is, mostly."""
    what = draw(st.sampled_from(["nothing"] * 24 + ["size", "zero", "digest", "data", "platform"]))
    if what == "size":
        return descriptor | {"size": draw(st.sampled_from([descriptor["size"] + 1, 1, -1]))}
    if what == "zero":
        return descriptor | {"size": 0}
    if what == "digest":
        bad = ["", "sha256:", "sha256:00", "md5:" + "0" * 32, digest_of(b"nothing is there")]
        return descriptor | {"digest": draw(st.sampled_from(bad))}
    if what == "data":
        return descriptor | {"data": draw(st.sampled_from(["", "QUJD", "bGF5ZXIgMQ=="]))}
    if what == "platform":
        platform = draw(_DECLARED)
        return descriptor | ({"platform": declared(platform)} if platform else {})
    return descriptor


@st.composite
def _images(draw: st.DrawFn, shelf: Shelf) -> Document:
    layers = draw(st.lists(st.sampled_from([b"layer 1", b"layer 2", b"layer 3"]), max_size=3))
    platform = draw(st.just(AMD64) | _DECLARED)
    config: Any = config_of(*layers, platform=platform)
    twist = draw(st.sampled_from(["nothing"] * 12 + ["fewer", "type", "id", "null", "{}", "bad"]))
    if twist == "fewer":
        config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][1:]
    elif twist == "type":
        config["rootfs"]["type"] = draw(st.sampled_from(["", "other"]))
    elif twist == "id" and layers:
        config["rootfs"]["diff_ids"][0] = draw(st.sampled_from(["", "a", "sha256:" + "0" * 63]))
    elif twist == "null":
        config = None
    elif twist == "{}":
        config = {}
    elif twist == "bad":
        config = draw(st.sampled_from([b"no JSON", {"config": {"Env": "a"}}, {"os": 1}, []]))
    held = [draw(_mangled(shelf.put(layer, draw(_LAYER_TYPES)))) for layer in layers]
    document = {
        "schemaVersion": 2,
        "config": draw(_mangled(shelf.put(config, draw(_CONFIG_TYPES)))),
        "layers": held,
    }
    return shelf.put(
        _twisted(draw, document), draw(st.sampled_from([OCI_MANIFEST, DOCKER_MANIFEST]))
    )


def _twisted(draw: st.DrawFn, document: Document) -> Document:
    """Add, seldom, what containerd does not want in a document of this kind."""
    extra: Document = draw(
        st.sampled_from(
            [{}] * 16
            + [
                {"fsLayers": None},
                {"manifests": None},
                {"CONFIG": None},
                {"layers": 1},
                {"schemaVersion": "2"},
                {"mediaType": OCI_INDEX},
                {"mediaType": OCI_MANIFEST},
                {"annotations": {"a": 1}},
            ]
        )
    )
    return document | extra


@st.composite
def _entries(draw: st.DrawFn, shelf: Shelf, depth: int) -> Document:
    kind = draw(st.sampled_from(["image"] * 6 + ["index", "blob"] if depth else ["image"]))
    if kind == "index":
        entry = draw(_indexes(shelf, depth - 1))
    elif kind == "blob":
        entry = shelf.put(b"a blob", draw(_LAYER_TYPES))
    else:
        entry = draw(_images(shelf))
    platform = draw(_DECLARED)
    entry = entry | ({"platform": declared(platform)} if platform else {})
    return draw(_mangled(entry))


@st.composite
def _indexes(draw: st.DrawFn, shelf: Shelf, depth: int = 2) -> Document:
    entries = [draw(_entries(shelf, depth)) for _ in range(draw(st.integers(0, 3)))]
    document = _twisted(draw, {"schemaVersion": 2, "manifests": entries})
    return shelf.put(document, draw(st.sampled_from([OCI_INDEX, DOCKER_INDEX])))


@st.composite
def repositories(draw: st.DrawFn) -> tuple[Shelf, Document]:
    """A repository and the descriptor of its root; now and then something is gone."""
    shelf = Shelf()
    root = draw(_indexes(shelf) if draw(st.integers(0, 3)) else _images(shelf))
    if draw(st.integers(0, 9)) == 0:
        gone = draw(st.sampled_from(sorted(shelf.blobs)))
        if gone != root["digest"]:
            del shelf.blobs[gone]
    return shelf, root
