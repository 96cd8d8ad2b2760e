"""The walk over an image: what it asks for, in which order, and what it concludes."""

from __future__ import annotations

import json

import pytest

from tests.oracle.walked import AMD64, OCI_LAYER, Document, Shelf, config_of, drive
from webhook.images.platform import Platform
from webhook.registry.contents import Content, Kind, Want
from webhook.registry.manifest import (
    DOCKER_SCHEMA_1,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Unusable,
)
from webhook.registry.ocispec import Descriptor
from webhook.registry.outcome import Cause
from webhook.registry.walk import REFERENCES_LIMIT, Puller, choose, pull

ARM64 = Platform("linux", "arm64", "v8")


def _for(architecture: str, variant: str = "", os: str = "linux") -> Document:
    return {"platform": {"os": os, "architecture": architecture, "variant": variant}}


def _cause(
    root: Document, shelf: Shelf, puller: Puller = Puller.TRANSFER, node: Platform = AMD64
) -> Cause | None:
    """Conclude by both walks: they must agree on what the index alone decides."""
    whole = drive(root, shelf.blobs, node, puller).walked
    chosen = drive(root, shelf.blobs, node, puller, whole=False).walked
    assert whole is not None
    assert chosen is not None
    cause = whole.unusable.cause if whole.unusable else None
    if cause in (None, Cause.PLATFORM_NONE):
        assert chosen.unusable == whole.unusable
    return cause


@pytest.mark.parametrize(
    ("entries", "transfer", "local"),
    [
        ([("arm64", "", "linux")], Cause.PLATFORM_NONE, Cause.PLATFORM_NONE),
        ([], Cause.PLATFORM_NONE, Cause.PLATFORM_NONE),
        ([("unknown", "", "unknown")], Cause.PLATFORM_NONE, Cause.PLATFORM_NONE),
        ([("amd64", "", "windows")], Cause.PLATFORM_NONE, Cause.PLATFORM_NONE),
        ([("386", "", "linux")], Cause.PLATFORM_NONE, None),
        ([("386", "", "linux"), ("arm", "v7", "linux")], Cause.PLATFORM_NONE, None),
        ([("amd64", "v2", "linux")], Cause.PLATFORM_NONE, Cause.PLATFORM_NONE),
        ([("amd64", "v1", "linux")], None, None),
        ([("amd64", "v3", "linux"), ("amd64", "", "linux")], None, None),
        ([("386", "", "linux"), ("amd64", "", "linux")], None, None),
        ([("amd64", "", "linux"), ("unknown", "", "unknown")], None, None),
    ],
)
def test_every_line_of_the_measured_table_holds(
    entries: list[tuple[str, str, str]], transfer: Cause | None, local: Cause | None
) -> None:
    """On an amd64 node; the transfer service of 2.4.2 beside 1.7's and the local mode's pull."""
    shelf = Shelf()
    root = shelf.index(
        *(shelf.image(name.encode(), **_for(name, variant, os)) for name, variant, os in entries)
    )
    assert _cause(root, shelf) is transfer
    assert _cause(root, shelf, Puller.LOCAL) is local


def test_a_nested_index_and_an_entry_without_a_platform_pull() -> None:
    shelf = Shelf()
    image = shelf.image(b"a")
    assert _cause(shelf.index(shelf.index(image | _for("amd64"))), shelf) is None
    assert _cause(shelf.index(image), shelf) is None
    assert _cause(shelf.index(image), shelf, node=ARM64) is Cause.PLATFORM_NONE


def test_an_entry_without_a_platform_beside_others_is_chosen_but_cannot_be_sized() -> None:
    """`CalculateImageUsage` sorts an index that nothing filtered: what declares comes first."""
    shelf = Shelf()
    root = shelf.index(shelf.image(b"a"), shelf.image(b"b", built_for=ARM64, **_for("arm64")))
    assert _cause(root, shelf) is Cause.PLATFORM_NONE


def test_a_single_manifest_of_another_architecture_pulls_and_tells_it() -> None:
    shelf = Shelf()
    root = shelf.image(b"a", built_for=ARM64)
    for whole in (True, False):
        walked = drive(root, shelf.blobs, whole=whole).walked
        assert walked is not None
        assert walked.unusable is None
        assert walked.offered is None
        assert walked.platform == Platform("linux", "arm64")


def test_a_chart_pulls_though_its_config_is_no_image() -> None:
    shelf = Shelf()
    chart = shelf.put(
        {
            "config": shelf.put({"name": "c"}, "application/vnd.cncf.helm.config.v1+json"),
            "layers": [shelf.put(b"tar", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
        },
        OCI_MANIFEST,
    )
    assert _cause(chart, shelf) is None
    assert _cause(chart, shelf, Puller.LOCAL) is None


def test_layers_of_an_artifact_are_never_fetched_by_the_transfer_service() -> None:
    """The unpacker takes layers out of the walk and waits for a config that is an image's."""
    shelf = Shelf()
    layer = shelf.put(b"tar", OCI_LAYER)
    empty = shelf.put({}, "application/vnd.oci.empty.v1+json")
    root = shelf.put({"config": empty, "layers": [layer]}, OCI_MANIFEST)
    driven = drive(root, shelf.blobs)
    assert driven.goes_through
    assert driven.asked == {empty["digest"]}
    assert not drive(root, shelf.blobs, puller=Puller.LOCAL).goes_through


def test_the_walk_asks_for_manifests_then_configs_then_layers() -> None:
    shelf = Shelf()
    root = shelf.index(
        shelf.image(b"a", b"b", **_for("amd64")),
        shelf.image(b"c", built_for=ARM64, **_for("arm64")),
    )
    start = Descriptor(root["mediaType"], root["digest"], root["size"])
    walk = pull(start, shelf.blobs[start.digest], AMD64)
    kinds = []
    wanted: Want | None = next(walk)
    while wanted is not None:
        kinds.append(wanted.kind)
        body = shelf.blobs[wanted.descriptor.digest]
        try:
            wanted = walk.send(None if wanted.kind is Kind.BLOB else body)
        except StopIteration as end:
            assert end.value.unusable is None
            assert end.value.size == 2
            assert end.value.offered == ("linux/amd64", "linux/arm64")
            wanted = None
    assert kinds == [Kind.MANIFEST, Kind.CONFIG, Kind.BLOB, Kind.BLOB]


def test_choosing_fetches_the_chosen_manifest_alone() -> None:
    shelf = Shelf()
    amd64 = shelf.image(b"a", **_for("amd64"))
    root = shelf.index(amd64, shelf.image(b"b", built_for=ARM64, **_for("arm64")))
    driven = drive(root, shelf.blobs, whole=False)
    assert driven.asked == {amd64["digest"]}
    assert driven.walked is not None
    assert driven.walked.size == 1


def test_choosing_asks_the_config_where_an_entry_declares_nothing() -> None:
    shelf = Shelf()
    root = shelf.index(shelf.image(b"a"))
    driven = drive(root, shelf.blobs, whole=False)
    assert len(driven.asked) == 2
    assert driven.walked is not None
    assert driven.walked.platform == AMD64


def test_walks_for_several_nodes_ask_once_for_what_they_share() -> None:
    shelf = Shelf()
    root = shelf.index(
        shelf.image(b"a", b"s", **_for("amd64")),
        shelf.image(b"b", b"s", built_for=ARM64, **_for("arm64")),
    )
    content = Content()
    first = drive(root, shelf.blobs, AMD64, content=content)
    second = drive(root, shelf.blobs, ARM64, content=content)
    assert first.goes_through
    assert second.goes_through
    assert not first.asked & second.asked
    assert drive(root, shelf.blobs, AMD64, content=content).asked == set()


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"size": 0}, Cause.MANIFEST_MALFORMED),
        ({"size": -1}, Cause.MANIFEST_MALFORMED),
        ({"size": 2}, Cause.DIGEST_MISMATCH),
        ({"digest": ""}, Cause.MANIFEST_MALFORMED),
        ({"digest": "sha256:00"}, Cause.MANIFEST_MALFORMED),
        ({"data": "Yg=="}, Cause.DIGEST_MISMATCH),
        ({"data": "YQ=="}, None),
        ({"mediaType": "application/vnd.oci.image.layer.v2.tar"}, Cause.MEDIA_TYPE_UNSUPPORTED),
        ({"mediaType": OCI_LAYER + "+encrypted"}, None),
        ({"mediaType": DOCKER_SCHEMA_1}, Cause.MEDIA_TYPE_UNSUPPORTED),
        ({"mediaType": "text/plain"}, Cause.MANIFEST_MALFORMED),
        (_for("arm64"), Cause.MANIFEST_MALFORMED),
        ({"urls": ["https://elsewhere.example.com/a"]}, None),
    ],
)
def test_a_layer_must_be_what_containerd_can_fetch_and_unpack(
    change: Document, cause: Cause | None
) -> None:
    """A layer for another platform is left out, and then the diff IDs are too many."""
    shelf = Shelf()
    config = shelf.put(config_of(b"a", b"b"), OCI_CONFIG)
    layers = [shelf.put(b"b", OCI_LAYER), shelf.put(b"a", OCI_LAYER) | change]
    assert _cause(shelf.put({"config": config, "layers": layers}, OCI_MANIFEST), shelf) is cause


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {"rootfs": {"diff_ids": []}},
        {"rootfs": {"diff_ids": ["a"]}, "os": "linux", "architecture": "amd64"},
        {"rootfs": {"diff_ids": "a"}},
        config_of(b"a", b"b"),
        config_of(b"a") | {"history": 1},
    ],
)
def test_a_config_must_fit_the_layers(config: object) -> None:
    shelf = Shelf()
    held = shelf.put(config, OCI_CONFIG)
    root = shelf.put({"config": held, "layers": [shelf.put(b"a", OCI_LAYER)]}, OCI_MANIFEST)
    assert _cause(root, shelf) is Cause.MANIFEST_MALFORMED


def test_a_manifest_without_config_fails_as_one_of_size_zero() -> None:
    shelf = Shelf()
    assert _cause(shelf.put({"layers": []}, OCI_MANIFEST), shelf) is Cause.MANIFEST_MALFORMED


def test_references_are_bounded_mentions_counted() -> None:
    """`maxReferences`: 10,000 in one Dispatch, duplicates included."""
    shelf = Shelf()
    image = shelf.image(b"a", **_for("amd64"))
    assert _cause(shelf.index(*[image] * ((REFERENCES_LIMIT - 1) // 2)), shelf) is None
    over = shelf.index(*[image] * (REFERENCES_LIMIT // 2))
    assert _cause(over, shelf) is Cause.MANIFEST_MALFORMED


def test_a_deep_chain_of_indexes_ends() -> None:
    shelf = Shelf()
    root = shelf.image(b"a")
    for _ in range(1500):
        root = shelf.index(root)
    assert _cause(root, shelf) is None


@pytest.mark.parametrize("type_", ["", "text/plain", DOCKER_SCHEMA_1, OCI_CONFIG])
def test_a_root_that_is_no_manifest_fails(type_: str) -> None:
    shelf = Shelf()
    assert _cause(shelf.put({}, type_), shelf) is Cause.MEDIA_TYPE_UNSUPPORTED


def test_an_entry_that_is_no_manifest_is_fetched_and_then_of_no_use() -> None:
    shelf = Shelf()
    root = shelf.index(shelf.put(b"a", "text/plain", **_for("amd64")))
    assert _cause(root, shelf) is Cause.MEDIA_TYPE_UNSUPPORTED


@pytest.mark.parametrize("sent", [b"other", b"", None, 7])
def test_bytes_that_are_not_those_of_the_digest_end_the_walk(sent: bytes | int | None) -> None:
    shelf = Shelf()
    root = shelf.index(shelf.image(b"a", **_for("amd64")))
    start = Descriptor(OCI_INDEX, root["digest"], root["size"])
    for walker in (pull, choose):
        walk = walker(start, shelf.blobs[start.digest], AMD64)
        next(walk)
        with pytest.raises(StopIteration) as end:
            walk.send(sent)
        assert isinstance(end.value.value.unusable, Unusable)
        assert end.value.value.unusable.cause is Cause.DIGEST_MISMATCH


def test_a_root_of_other_bytes_is_refused() -> None:
    body = json.dumps({"manifests": []}).encode()
    start = Descriptor(OCI_INDEX, "sha256:" + "0" * 64, len(body))
    with pytest.raises(StopIteration) as end:
        next(pull(start, body, AMD64))
    assert end.value.value.unusable.cause is Cause.DIGEST_MISMATCH
