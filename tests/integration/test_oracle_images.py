"""Our walk over an image is containerd's, over platforms and documents near the edges."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from tests.oracle.documents import (
    IMAGE_TEXTS,
    INDEX_TEXTS,
    JSON_TEXTS,
    MANIFEST_TEXTS,
    NODES,
    OFFERED,
    PLATFORM_TEXTS,
    SPECIFIERS,
    WINDOWS_NODES,
    repositories,
)
from tests.oracle.images_oracle import ImagesOracle
from tests.oracle.walked import AMD64, Document, Driven, Shelf, drive
from tests.parts.sight import locate_in_sight
from webhook.credentials.gojson import JsonError
from webhook.images.platform import (
    InvalidPlatform,
    Platform,
    chooser,
    fetched,
    matches,
    parse,
)
from webhook.registry import gojson, ocispec
from webhook.registry.ocispec import Descriptor
from webhook.registry.walk import Puller


@pytest.fixture(scope="module")
def containerd(pytestconfig: pytest.Config) -> Iterator[ImagesOracle]:
    locate_in_sight(pytestconfig, ["imagesoracle"])
    with ImagesOracle() as running:
        yield running


# -- platforms -------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(SPECIFIERS)
def test_a_specifier_is_read_as_containerd_reads_it(containerd: ImagesOracle, text: str) -> None:
    """`<os>[(<os options>)]/<arch>[/<variant>]`."""
    ours = parse(text)
    theirs = containerd.parsed(text)
    assert theirs == (None if isinstance(ours, InvalidPlatform) else ours)


@settings(max_examples=300, deadline=None)
@given(NODES, st.lists(OFFERED, min_size=1, max_size=12))
def test_what_a_node_chooses_fetches_and_prefers_is_what_containerd_does(
    containerd: ImagesOracle, node: Platform, offered: list[Platform]
) -> None:
    """`platforms.Only`, `platforms.Ordered`, and `sort.SliceStable` by `Less`.

    An empty OS is the host's own, which here is the oracle's.
    """
    offered = [one for one in offered if one.os or node.os == "linux"]
    theirs = containerd.matched(node, offered)
    assert [matches(node, one) for one in offered] == theirs.chosen
    assert [fetched(node, one) for one in offered] == theirs.fetched
    order = chooser(node).sorted(list(range(len(offered))), lambda at: offered[at])
    assert order == theirs.order


@settings(max_examples=200, deadline=None)
@given(WINDOWS_NODES, st.lists(OFFERED, min_size=1, max_size=12))
def test_a_windows_node_goes_by_the_build_number(
    containerd: ImagesOracle, node: Platform, offered: list[Platform]
) -> None:
    """`NewMatcher` of a Windows platform, which there is all that decides."""
    offered = [one for one in offered if one.os]
    theirs = containerd.matched(node, offered)
    assert [fetched(node, one) for one in offered] == theirs.fetched
    assert [matches(node, one) for one in offered] == theirs.fetched


# -- documents -------------------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(JSON_TEXTS)
@example('{"a": 1} x')
@example("\ufeff{}")
@example('"\\ud83d\\ude00\\ud83d"')
def test_json_is_json_where_go_says_so(containerd: ImagesOracle, text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    try:
        gojson.parse(raw)
    except JsonError:
        assert not _accepted(containerd, raw)
    else:
        assert _accepted(containerd, raw)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [900, 5000, 10_000, 10_001])
def test_depth_is_bounded_where_go_bounds_it(
    containerd: ImagesOracle, opening: str, depth: int
) -> None:
    """`maxNestingDepth` is 10,000."""
    raw = (opening * depth + "1" + ("]" if opening == "[" else "}") * depth).encode()
    try:
        gojson.parse(raw)
    except JsonError:
        assert not _accepted(containerd, raw)
    else:
        assert _accepted(containerd, raw)


@settings(max_examples=600, deadline=None)
@given(MANIFEST_TEXTS)
@example('{"layers": [{"size": 1}, {"size": 2}], "layers": [{}], "LAYERS": [{}, {}]}')
def test_a_manifest_is_decoded_as_go_decodes_it(containerd: ImagesOracle, text: str) -> None:
    """A repeated name is decoded into what the first left; a wrong type refuses the whole."""
    theirs = containerd.decoded(text.encode(), "manifest")
    ours = _ours(text, ocispec.image_manifest)
    if theirs is None or ours is None:
        assert theirs is ours
    else:
        assert ours.config == _descriptor(theirs["config"])
        assert list(ours.layers or ()) == [_descriptor(one) for one in theirs["layers"] or ()]


@settings(max_examples=400, deadline=None)
@given(INDEX_TEXTS)
def test_an_index_is_decoded_as_go_decodes_it(containerd: ImagesOracle, text: str) -> None:
    theirs = containerd.decoded(text.encode(), "index")
    ours = _ours(text, ocispec.image_index)
    if theirs is None or ours is None:
        assert theirs is ours
    else:
        assert list(ours.manifests) == [_descriptor(one) for one in theirs["manifests"] or ()]


@settings(max_examples=600, deadline=None)
@given(IMAGE_TEXTS)
def test_a_config_is_decoded_as_go_decodes_it(containerd: ImagesOracle, text: str) -> None:
    theirs = containerd.decoded(text.encode(), "image")
    ours = _ours(text, ocispec.image)
    if theirs is None or ours is None:
        assert theirs is ours
    else:
        assert ours.platform == _platform(theirs)
        assert ours.rootfs_type == theirs["rootfs"]["type"]
        assert list(ours.diff_ids) == (theirs["rootfs"]["diff_ids"] or [])


@settings(max_examples=200, deadline=None)
@given(PLATFORM_TEXTS)
def test_a_platform_is_decoded_as_go_decodes_it(containerd: ImagesOracle, text: str) -> None:
    theirs = containerd.decoded(text.encode(), "platform")
    ours = _ours(text, ocispec.platform)
    assert ours == (None if theirs is None else _platform(theirs))


# -- pulls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("puller", list(Puller))
@settings(max_examples=400, deadline=None)
@given(repositories())
def test_a_pull_goes_through_where_containerd_pulls(
    containerd: ImagesOracle, puller: Puller, repository: tuple[Shelf, Document]
) -> None:
    """The transfer service and the client's own pull, then what the CRI does with the image.

    Where it goes through, we asked for exactly what containerd fetched.
    """
    shelf, root = repository
    # Siblings race: which of two sizes for one digest counts is decided anew each time.
    assume(not shelf.ambiguous())
    ours = drive(root, shelf.blobs, puller=puller)
    start = Descriptor(root["mediaType"], root["digest"], root["size"])
    theirs = containerd.pulled(start, shelf.blobs, AMD64, local=puller is Puller.LOCAL)
    event(f"{theirs.stage or 'through'}: {_cause(ours)}")
    assert (ours.goes_through, theirs.error) == (not theirs.stage, theirs.error)
    if ours.goes_through:
        assert ours.asked | {root["digest"]} == theirs.fetched
    chosen = drive(root, shelf.blobs, puller=puller, whole=False)
    assert chosen.goes_through or not ours.goes_through


def _cause(driven: Driven) -> str:
    if driven.walked is None:
        return "gone"
    return driven.walked.unusable.cause if driven.walked.unusable else "ok"


def _accepted(containerd: ImagesOracle, raw: bytes) -> bool:
    return (
        containerd.ask({"op": "decode", "struct": "", "document": _sent(raw)}).get("error") is None
    )


def _sent(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _ours(text: str, decode: Any) -> Any:
    try:
        return decode(gojson.parse(text.encode()))
    except JsonError:
        return None


def _descriptor(read: Document) -> Descriptor:
    return Descriptor(
        read["mediaType"],
        read["digest"],
        read["size"],
        _platform(read["platform"]) if "platform" in read else None,
        tuple(read.get("urls", ())),
        base64.b64decode(read.get("data", "")),
    )


def _platform(read: Document) -> Platform:
    return Platform(
        read["os"],
        read["architecture"],
        read.get("variant", ""),
        read.get("os.version", ""),
        tuple(read.get("os.features", ())),
    )
