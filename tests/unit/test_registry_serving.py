"""Which of the nodes' platforms an image serves: the exchange over images in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from tests.oracle.walked import Document, Shelf
from tests.scripted.values import Answer, found, play, reply, target
from webhook.images.platform import Platform
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import Depth
from webhook.registry.wire import Ask

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
S390X = Platform("linux", "s390x")
OLD_WINDOWS = Platform("windows", "amd64", os_version="10.0.17763")
NEW_WINDOWS = Platform("windows", "amd64", os_version="10.0.20348")

Make = Callable[[Shelf], Document]


@dataclass
class Judged:
    outcome: Outcome
    asked: list[str]


def judged(
    make: Make, *platforms: Platform, depth: Depth = Depth.PLATFORM, sizes: bool = False
) -> Judged:
    """Put an image into a registry and judge it for the platforms of nodes."""
    shelf = Shelf()
    root = make(shelf)

    def script(ask: Ask) -> Answer:
        name = urlsplit(ask.url).path.rpartition("/")[2]
        if name == "1":
            return found(shelf.blobs[root["digest"]], root["mediaType"])
        body = shelf.blobs.get(name)
        return reply(404) if body is None else found(body, "application/octet-stream")

    played = play(script, replace(target(depth=depth), platforms=platforms, sizes=sizes))
    return Judged(played.outcome, [line.rpartition("/")[2] for line in played.lines])


def entry(platform: Platform) -> Document:
    words = {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant}
    return {"platform": words | {"os.version": platform.os_version}}


def index_for(*platforms: Platform) -> Make:
    return lambda shelf: shelf.index(
        *(shelf.image(str(n).encode(), built_for=p, **entry(p)) for n, p in enumerate(platforms))
    )


def unserved(make: Make, *nodes: Platform) -> tuple[Cause | None, tuple[str, ...]]:
    outcome = judged(make, *nodes).outcome
    assert outcome.judged_for == tuple(node.named for node in nodes)
    return outcome.cause, outcome.unserved


def test_none_served_fails_and_some_served_is_unknown() -> None:
    make = index_for(AMD64, S390X)
    assert unserved(make, AMD64) == (None, ())
    assert unserved(make, AMD64, S390X) == (None, ())
    assert unserved(make, AMD64, ARM64) == (Cause.PLATFORM_SOME, ("linux/arm64",))
    assert unserved(make, ARM64) == (Cause.PLATFORM_NONE, ("linux/arm64",))
    assert judged(make, AMD64, ARM64).outcome.pull is Pull.UNKNOWN
    assert judged(make, ARM64).outcome.pull is Pull.FAILS
    assert judged(make, ARM64).outcome.platforms == ("linux/amd64", "linux/s390x")


def test_without_a_platform_that_is_known_it_is_judged_for_linux_amd64() -> None:
    outcome = judged(index_for(ARM64)).outcome
    assert (outcome.cause, outcome.judged_for) == (Cause.PLATFORM_NONE, ("linux/amd64",))


def test_a_variant_decides_as_the_node_fetches() -> None:
    v3, v8 = Platform("linux", "amd64", "v3"), Platform("linux", "arm64", "v8")
    assert unserved(index_for(v3), AMD64) == (Cause.PLATFORM_NONE, ("linux/amd64",))
    assert unserved(index_for(v8), ARM64) == (None, ())
    v7 = Platform("linux", "arm", "v7")
    both = v7, Platform("linux", "arm", "v8")
    assert unserved(index_for(v7), *both) == (Cause.PLATFORM_SOME, ("linux/arm/v8",))


def test_the_version_of_windows_decides() -> None:
    make = index_for(NEW_WINDOWS)
    assert unserved(make, NEW_WINDOWS) == (None, ())
    assert unserved(make, OLD_WINDOWS) == (Cause.PLATFORM_NONE, (OLD_WINDOWS.named,))
    assert unserved(make, OLD_WINDOWS, NEW_WINDOWS) == (Cause.PLATFORM_SOME, (OLD_WINDOWS.named,))


def test_an_attestation_serves_nobody() -> None:
    unknown = Platform("unknown", "unknown")
    assert unserved(index_for(AMD64, unknown), AMD64) == (None, ())
    assert unserved(index_for(unknown), AMD64) == (Cause.PLATFORM_NONE, ("linux/amd64",))


def test_a_nested_index_serves_what_its_own_entries_serve() -> None:
    def nested(shelf: Shelf) -> Document:
        return shelf.index(index_for(AMD64, ARM64)(shelf))

    assert unserved(nested, AMD64, ARM64) == (None, ())
    assert unserved(nested, AMD64, S390X) == (Cause.PLATFORM_SOME, ("linux/s390x",))


def test_an_entry_without_a_platform_serves_what_its_config_is_built_for() -> None:
    def undeclared(shelf: Shelf) -> Document:
        return shelf.index(shelf.image(b"a", built_for=ARM64))

    assert unserved(undeclared, ARM64) == (None, ())
    assert unserved(undeclared, AMD64) == (Cause.PLATFORM_NONE, ("linux/amd64",))


def test_a_single_manifest_pulls_and_its_config_tells_whom_it_serves() -> None:
    def single(shelf: Shelf) -> Document:
        return shelf.image(b"a", built_for=ARM64)

    some = judged(single, AMD64, ARM64).outcome
    assert (some.pull, some.cause, some.unserved) == (Pull.OK, None, ("linux/amd64",))
    none = judged(single, AMD64).outcome
    assert (none.pull, none.cause, none.unserved) == (Pull.OK, None, ("linux/amd64",))
    assert none.platforms == ("linux/arm64",)


def test_the_config_of_a_single_manifest_is_asked_for_only_where_platforms_are_known() -> None:
    def single(shelf: Shelf) -> Document:
        return shelf.image(b"a")

    assert len(judged(single).asked) + 1 == len(judged(single, AMD64).asked)


def test_what_several_platforms_share_is_asked_for_once() -> None:
    asked = judged(index_for(AMD64, ARM64), AMD64, ARM64, depth=Depth.WHOLE).asked
    blobs = [name for name in asked if name.startswith("sha256:")]
    assert len(blobs) == len(set(blobs))


@pytest.mark.parametrize(
    ("offered", "node", "taken"),
    [
        (Platform("linux", "386"), AMD64, True),
        (Platform("linux", "arm", "v7"), ARM64, True),
        (Platform("linux", "amd64", "v2"), AMD64, False),
        (S390X, AMD64, False),
    ],
)
def test_what_an_older_containerd_would_take_of_an_index_is_told(
    offered: Platform, node: Platform, taken: bool
) -> None:
    """2.1 and later fetch what is of the node's own platform, the older what it can run."""
    outcome = judged(index_for(offered), node).outcome
    assert outcome.cause is Cause.PLATFORM_NONE
    assert outcome.older_take is taken


X86 = Platform("linux", "386")


@pytest.mark.parametrize(
    ("make", "taken"),
    [
        (lambda shelf: shelf.index(shelf.index(shelf.image(b"a", **entry(X86)))), True),
        (lambda shelf: shelf.index(shelf.image(b"a", built_for=S390X)), True),
        (
            lambda shelf: shelf.index(shelf.index(shelf.image(b"a", **entry(S390X)), **entry(X86))),
            True,
        ),
        (
            lambda shelf: shelf.index(
                shelf.index(shelf.image(b"a", **entry(S390X)), **entry(ARM64))
            ),
            False,
        ),
    ],
)
def test_what_an_older_containerd_may_take_of_an_index_within_is_told(
    make: Make, *, taken: bool
) -> None:
    outcome = judged(make, AMD64).outcome
    assert (outcome.cause, outcome.older_take) == (Cause.PLATFORM_NONE, taken)


def test_what_is_wrong_beside_the_entry_that_an_older_containerd_takes_is_told() -> None:
    schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

    def make(shelf: Shelf) -> Document:
        beside = {**shelf.image(b"b", built_for=AMD64, **entry(AMD64)), "mediaType": schema_1}
        return shelf.index(shelf.image(b"a", built_for=AMD64, **entry(AMD64)), beside)

    outcome = judged(make, AMD64, depth=Depth.WHOLE).outcome
    assert (outcome.cause, outcome.older_take) == (Cause.MEDIA_TYPE_UNSUPPORTED, True)


def test_schema_1_is_converted_by_an_older_containerd_alone() -> None:
    """``WithSchema1Conversion`` of the CRI plugin of containerd 1."""
    schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    for type_, taken in ((schema_1, True), ("text/html", False)):
        answer = found(b"{}", type_)

        def script(_: Ask, answer: Answer = answer) -> Answer:
            return answer

        played = play(script, target())
        assert played.outcome.cause is Cause.MEDIA_TYPE_UNSUPPORTED
        assert played.outcome.older_take is taken


def test_windows_is_told_with_its_build() -> None:
    outcome = judged(index_for(OLD_WINDOWS), NEW_WINDOWS).outcome
    assert outcome.platforms == ("windows(10.0.17763)/amd64",)
    assert outcome.unserved == ("windows(10.0.20348)/amd64",)


@pytest.mark.parametrize("depth", [Depth.PLATFORM, Depth.WHOLE])
def test_what_is_broken_for_one_platform_is_proven_for_no_other(depth: Depth) -> None:
    def make(shelf: Shelf) -> Document:
        broken = shelf.image(b"b", built_for=ARM64, **entry(ARM64))
        shelf.blobs[broken["digest"]] = b"other bytes of the same index"
        return shelf.index(shelf.image(b"a", built_for=AMD64, **entry(AMD64)), broken)

    def at(*platforms: Platform) -> Outcome:
        return judged(make, *platforms, depth=depth, sizes=True).outcome

    assert at(AMD64).pull is Pull.OK
    assert (at(ARM64).pull, at(ARM64).cause) == (Pull.FAILS, Cause.DIGEST_MISMATCH)
    for both in (at(AMD64, ARM64), at(ARM64, AMD64)):
        assert (both.pull, both.cause) == (Pull.UNKNOWN, Cause.DIGEST_MISMATCH)
        assert both.detail.startswith("for linux/arm64 alone: ")
        assert both.sizes == ()
