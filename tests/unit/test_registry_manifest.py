"""Manifests, indexes and configs: what Go's decoder and containerd's checks make of them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.oracle.walked import Document
from webhook.images.platform import Platform
from webhook.registry.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT,
    OCI_INDEX,
    OCI_MANIFEST,
    Unusable,
    media_type,
    read_config,
    read_document,
    read_platform,
    read_rootfs,
)
from webhook.registry.ocispec import Descriptor, ImageConfig, ImageIndex, ImageManifest
from webhook.registry.outcome import Cause

DIGEST = "sha256:" + "0" * 64


def _read(document: object, type_: str = OCI_MANIFEST) -> ImageManifest | ImageIndex | Unusable:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_document(body, type_)


def _cause(document: object, type_: str = OCI_MANIFEST) -> Cause | None:
    read = _read(document, type_)
    return read.cause if isinstance(read, Unusable) else None


def test_a_manifest_has_its_config_and_its_layers_in_order() -> None:
    layers = [{"mediaType": "a", "digest": DIGEST, "size": size} for size in (3, 1, 2)]
    read = _read({"config": {"mediaType": "c", "digest": DIGEST, "size": 7}, "layers": layers})
    assert read == ImageManifest(
        Descriptor("c", DIGEST, 7), tuple(Descriptor("a", DIGEST, size) for size in (3, 1, 2))
    )


def test_what_is_left_out_is_empty_and_null_is_a_document() -> None:
    assert _read({}) == _read(None) == ImageManifest(Descriptor(), ())
    assert _read({}, OCI_INDEX) == _read({"manifests": None}, OCI_INDEX) == ImageIndex(())


def test_an_index_tells_what_it_offers_each_once() -> None:
    amd64 = {"platform": {"os": "linux", "architecture": "amd64"}}
    arm = {"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}
    index = _read({"manifests": [amd64, arm, amd64, {}, {"platform": {"os": "\n"}}]}, OCI_INDEX)
    assert isinstance(index, ImageIndex)
    assert index.platforms == ("linux/amd64", "linux/arm/v7", "", "unknown/unknown")


@pytest.mark.parametrize(
    ("document", "type_", "cause"),
    [
        ({"fsLayers": []}, OCI_MANIFEST, Cause.MEDIA_TYPE_UNSUPPORTED),
        ({"FSLAYERS": None}, OCI_INDEX, Cause.MEDIA_TYPE_UNSUPPORTED),
        ({"manifests": None}, DOCKER_MANIFEST, Cause.MANIFEST_MALFORMED),
        ({"mediaType": DOCKER_INDEX}, OCI_MANIFEST, Cause.MANIFEST_MALFORMED),
        ({"config": None}, OCI_INDEX, Cause.MANIFEST_MALFORMED),
        ({"Layers": []}, DOCKER_INDEX, Cause.MANIFEST_MALFORMED),
        ({"mediaType": OCI_MANIFEST}, DOCKER_INDEX, Cause.MANIFEST_MALFORMED),
        ({"mediaType": DOCKER_MANIFEST}, OCI_MANIFEST, None),
        ({"mediaType": "text/plain"}, OCI_MANIFEST, None),
    ],
)
def test_a_document_must_not_be_of_another_kind(
    document: Document, type_: str, cause: Cause | None
) -> None:
    """`validateMediaType`: a field's name is enough, in any case and with null for its value."""
    assert _cause(document, type_) is cause


@pytest.mark.parametrize(
    "document",
    [
        *(b"", b"{", b"{}x", b"\xef\xbb\xbf{}", b'{"a": NaN}', b"{'a': 1}", b"[]", b'"a"', b"1"),
        *(b'{"layers": {}}', b'{"schemaVersion": "2"}', b'{"schemaVersion": 2.0}'),
        *(b'{"config": []}', b'{"config": {"size": "1"}}', b'{"config": {"size": 1e3}}'),
        b'{"config": {"size": 9223372036854775808}}',
        *(b'{"layers": [{"data": "A"}]}', b'{"layers": [{"urls": "a"}]}', b'{"layers": [1]}'),
        *(b'{"annotations": {"a": 1}}', b'{"subject": []}', b'{"config": {"platform": "linux"}}'),
    ],
)
def test_one_wrong_type_anywhere_refuses_the_whole(document: bytes) -> None:
    assert _cause(document) is Cause.MANIFEST_MALFORMED


def test_a_repeated_name_is_decoded_into_what_the_first_one_left() -> None:
    text = b'{"config": {"mediaType": "a", "size": 1}, "CONFIG": {"size": 2}, "config": null}'
    assert _read(text) == ImageManifest(Descriptor("a", "", 2), ())


def test_a_slice_that_grows_again_shows_what_it_held() -> None:
    """`encoding/json` sets the length of a slice and decodes into the elements behind it."""
    text = b'{"layers": [{"size": 1}, {"size": 2}], "layers": [{}], "layers": [{}, {}]}'
    assert _read(text) == ImageManifest(
        Descriptor(), (Descriptor("", "", 1), Descriptor("", "", 2))
    )


def test_names_fold_as_in_go_and_a_lone_surrogate_is_replaced() -> None:
    text = '{"layer\u017f": [{"mediaType": "\\ud800"}]}'.encode()
    assert _read(text) == ImageManifest(Descriptor(), (Descriptor("\ufffd"),))


def test_content_may_come_inline() -> None:
    read = _read({"config": {"data": "QU\nJD"}, "layers": [{"data": [65, 66]}]})
    assert isinstance(read, ImageManifest)
    assert (read.config.data, read.layers[0].data) == (b"ABC", b"AB")
    assert "ABC" not in repr(read)


@pytest.mark.parametrize(
    "config",
    [
        *({"created": "yesterday"}, {"created": 1}, {"author": 1}, {"config": {"Env": "a"}}),
        *({"config": {"Labels": {"a": 1}}}, {"history": {}}, {"history": [{"empty_layer": 1}]}),
        {"config": {"ExposedPorts": {"80/tcp": 1}}},
    ],
)
def test_a_config_is_read_in_full_only_at_the_end(config: Document) -> None:
    """Unpacking reads platform and rootfs, the image store the whole `ocispec.Image`."""
    body = json.dumps(config).encode()
    assert isinstance(read_rootfs(body), ImageConfig)
    assert isinstance(read_config(body), Unusable)


def test_a_config_tells_platform_and_diff_ids() -> None:
    body = json.dumps(
        {"os": "linux", "architecture": "arm", "rootfs": {"type": "layers", "diff_ids": ["a"]}}
    ).encode()
    assert read_config(body) == ImageConfig(Platform("linux", "arm"), "layers", ("a",))
    assert read_platform(body) == Platform("linux", "arm")
    assert isinstance(read_platform(b'{"os": 1}'), Unusable)


@pytest.mark.parametrize(
    ("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"]
)
def test_a_document_may_nest_ten_thousand_deep_and_no_deeper(opening: str, closing: str) -> None:
    deepest, deeper = (
        f'{{"x": {opening * depth}1{closing * depth}}}'.encode() for depth in (9_999, 10_000)
    )
    assert _cause(deepest) is None
    assert _cause(deeper) is Cause.MANIFEST_MALFORMED


@pytest.mark.parametrize("filler", [b"[],", b"{},", b"0,", b'"",', b'{"size":1},', b"[[]],"])
def test_the_largest_document_is_read_in_seconds(filler: bytes) -> None:
    body = b'{"x": [' + filler * (MANIFEST_LIMIT // len(filler) - 10) + b"0]}"
    began = time.process_time()
    assert isinstance(_read(body), ImageManifest)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("header", "type_"),
    [("a/b", "a/b"), ("a/b; charset=utf-8", "a/b"), ("a/b ;c", "a/b "), ("", "")],
)
def test_a_media_type_ends_at_its_parameters(header: str, type_: str) -> None:
    assert media_type(header) == type_


def test_details_hold_nothing_of_the_document() -> None:
    secret: Any = {"config": {"size": "hunter2"}}
    read = _read(secret)
    assert isinstance(read, Unusable)
    assert "hunter2" not in read.detail
