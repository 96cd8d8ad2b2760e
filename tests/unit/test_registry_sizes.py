"""How large the layers are: learnt where it is asked, with no request more where it is not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted.values import Answer, Played, image, play, reply, target
from tests.scripted.worlds import OCI_CONFIG, OCI_LAYER, World, worlds
from webhook.deadline import Deadline
from webhook.images.platform import Platform
from webhook.registry.bounds import most_requests
from webhook.registry.contents import transferred
from webhook.registry.manifest import OCI_INDEX, OCI_MANIFEST
from webhook.registry.ocispec import Descriptor
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.recall import Recall
from webhook.registry.resolver import Question, Resolver
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.walk import Walked
from webhook.registry.wire import Ask

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
BOTH = AMD64, ARM64
ROOT = "/v2/acme/app/manifests/1"
GIB = 2**30

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def layer(size: int, of: str = "a") -> dict[str, Any]:
    return {"mediaType": OCI_LAYER, "digest": f"sha256:{of * 64}"[:71], "size": size}


def manifest(world: World, *layers: dict[str, Any], arch: str = "amd64") -> dict[str, Any]:
    """Add an image's config and manifest, and return the manifest's descriptor."""
    config = world.add(OCI_CONFIG, json.dumps({"os": "linux", "architecture": arch}).encode())
    document = {"schemaVersion": 2, "config": config, "layers": layers}
    return world.add(OCI_MANIFEST, json.dumps(document).encode())


def index(world: World, *entries: dict[str, Any]) -> dict[str, Any]:
    return world.add(OCI_INDEX, json.dumps({"schemaVersion": 2, "manifests": entries}).encode())


def on(arch: str, entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"platform": {"os": "linux", "architecture": arch}}


def two_platforms() -> World:
    world = World()
    small, large = manifest(world, layer(5)), manifest(world, layer(7), layer(3, "b"), arch="arm64")
    index(world, on("amd64", small), on("arm64", large))
    return world


def pulled(
    world: World,
    *platforms: Platform,
    sizes: bool = True,
    depth: Depth = Depth.PLATFORM,
    recall: Recall | None = None,
) -> Played:
    where = replace(target(depth=depth), platforms=platforms, sizes=sizes)
    return play(world.serve, where, (), recall)


def told(outcome: Outcome) -> dict[str, int]:
    return {str(platform): size for platform, size in outcome.sizes}


# -- what is asked ---------------------------------------------------------------------------


def test_where_nobody_asks_not_one_request_more_is_sent() -> None:
    plain = pulled(two_platforms(), *BOTH, sizes=False)
    assert [ask.method for ask in plain.asks] == ["HEAD", "GET"]
    assert plain.outcome.sizes == ()


def test_one_manifest_more_is_read_for_each_platform_and_neither_config_nor_layer() -> None:
    played = pulled(two_platforms(), *BOTH)
    assert [line.partition("/manifests/")[0] for line in played.lines] == [
        "HEAD /v2/acme/app",
        "GET /v2/acme/app",
        "GET /v2/acme/app",
        "GET /v2/acme/app",
    ]
    assert told(played.outcome) == {"linux/amd64": 5, "linux/arm64": 10}
    assert played.outcome.pull is Pull.OK
    assert len(pulled(two_platforms(), ARM64).asks) == 3


@pytest.mark.parametrize("platforms", [BOTH, ()], ids=["known", "none known"])
@pytest.mark.parametrize("sizes", [True, False])
def test_a_single_manifest_tells_its_size_without_a_request_more(
    platforms: Sequence[Platform], sizes: bool
) -> None:
    world = World()
    manifest(world, layer(5), layer(6, "b"))
    played = pulled(world, *platforms, sizes=sizes)
    asked = len(pulled(world, *platforms, sizes=not sizes).asks)
    # Where platforms are known its config is read, for what it was built for.
    assert len(played.asks) == asked == (3 if platforms else 2)
    assert told(played.outcome) == {str(one): 11 for one in platforms or (AMD64,)}


def test_a_nested_index_is_followed_to_the_manifest() -> None:
    world = World()
    inner = index(world, on("amd64", manifest(world, layer(9))))
    index(world, on("amd64", inner))
    assert len(pulled(world, AMD64, sizes=False).asks) == 3
    played = pulled(world, AMD64)
    assert len(played.asks) == 4
    assert told(played.outcome) == {"linux/amd64": 9}


def test_one_manifest_for_two_platforms_is_read_once() -> None:
    world = World()
    entry = manifest(world, layer(9))
    index(world, on("amd64", entry), on("arm64", entry))
    played = pulled(world, *BOTH)
    assert len(played.asks) == 3
    assert told(played.outcome) == {"linux/amd64": 9, "linux/arm64": 9}


def test_what_is_not_pulled_has_no_size_and_what_cannot_run_has_one() -> None:
    world = World()
    index(world, on("amd64", manifest(world, layer(9))))
    some = pulled(world, *BOTH).outcome
    assert (some.cause, told(some)) == (Cause.PLATFORM_SOME, {"linux/amd64": 9})
    none = pulled(world, ARM64).outcome
    assert (none.cause, none.sizes) == (Cause.PLATFORM_NONE, ())
    foreign = World()
    manifest(foreign, layer(9), arch="s390x")
    beside = pulled(foreign, AMD64).outcome
    assert (beside.pull, beside.unserved) == (Pull.OK, ("linux/amd64",))
    assert told(beside) == {"linux/amd64": 9}


def test_a_part_of_the_sizes_is_not_told_as_all() -> None:
    world = World()
    # What declares no platform is asked for its config, so that its manifest is known.
    silent = index(world, manifest(world, layer(5)))
    index(world, on("amd64", silent), on("arm64", manifest(world, layer(7), arch="arm64")))
    assert pulled(world, *BOTH, sizes=False).outcome.sizes == ()
    assert told(pulled(world, AMD64, sizes=False).outcome) == {"linux/amd64": 5}
    assert told(pulled(world, *BOTH).outcome) == {"linux/amd64": 5, "linux/arm64": 7}


def test_a_manifest_that_is_gone_fails_as_the_pull_would() -> None:
    world = two_platforms()
    [gone] = [d for d, (type_, body) in world.contents.items() if b'"size": 7' in body]

    def serve(ask: Ask) -> Answer:
        return reply(404) if gone in ask.url else world.serve(ask)

    where = replace(target(depth=Depth.PLATFORM), platforms=BOTH, sizes=True)
    assert play(serve, where).outcome.cause is Cause.BLOB_MISSING


@pytest.mark.parametrize("depth", [Depth.EXISTS, Depth.WHOLE])
def test_the_other_depths_ask_the_same_either_way(depth: Depth) -> None:
    for sizes in (True, False):
        world = two_platforms()
        world.contents |= {layer(0, of)["digest"]: (OCI_LAYER, b"x") for of in "ab"}
        lines = pulled(world, *BOTH, sizes=sizes, depth=depth).lines
        assert lines == pulled(world, *BOTH, sizes=not sizes, depth=depth).lines
    assert pulled(two_platforms(), *BOTH, depth=Depth.EXISTS).outcome.sizes == ()


# -- what is remembered ----------------------------------------------------------------------


def test_sizes_are_remembered_with_the_digest_and_never_stand_in_for_the_lack_of_them() -> None:
    recall = Recall(3600.0)
    assert pulled(two_platforms(), *BOTH, sizes=False, recall=recall).outcome.sizes == ()
    first = pulled(two_platforms(), *BOTH, recall=recall)
    again = pulled(two_platforms(), *BOTH, recall=recall)
    assert (len(first.asks), len(again.asks)) == (4, 1)
    assert first.outcome.sizes == again.outcome.sizes != ()
    plain = pulled(two_platforms(), *BOTH, sizes=False, recall=recall)
    assert (len(plain.asks), plain.outcome.sizes) == (1, ())


def test_two_versions_of_windows_are_two_platforms() -> None:
    world = World()
    old, new = (manifest(world, layer(size), arch="amd64") for size in (5, 8))
    windows = {"os": "windows", "architecture": "amd64"}
    index(
        world,
        old | {"platform": windows | {"os.version": "10.0.17763.1"}},
        new | {"platform": windows | {"os.version": "10.0.20348.1"}},
    )
    nodes = [Platform("windows", "amd64", os_version=f"10.0.{one}") for one in (17763, 20348)]
    recall = Recall(3600.0)
    assert [pulled(world, node, recall=recall).outcome.sizes for node in nodes] == [
        ((nodes[0], 5),),
        ((nodes[1], 8),),
    ]


class Sends:
    """Hands each request to a world, and counts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0

    def send(self, ask: Ask, deadline: object) -> Answer:
        assert deadline
        self.count += 1
        return self.world.serve(ask)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("depth", "counts"),
    # An answer without sizes serves nobody who wants them, and the other way round.
    [(Depth.PLATFORM, [2, 4, 0, 0]), (Depth.EXISTS, [1, 0, 0, 0])],
)
def test_the_cache_tells_questions_with_sizes_from_those_without(
    depth: Depth, counts: list[int]
) -> None:
    sender = Sends(two_platforms())
    resolver = Resolver(RegistrySettings(depth=depth), sender)
    try:
        sent = []
        for sizes in (False, True, False, True):
            before = sender.count
            question = Question(image(), (), BOTH, sizes=sizes)
            [outcome] = resolver.predict_all([question], Deadline.after(5))
            sent.append(sender.count - before)
            assert bool(outcome.sizes) == (sizes and depth is Depth.PLATFORM)
        assert sent == counts
    finally:
        resolver.close()


# -- the sum ---------------------------------------------------------------------------------

layers_of = st.lists(
    st.builds(
        Descriptor,
        digest=st.sampled_from(["sha256:a", "sha256:b", "sha256:c", ""]),
        size=st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1)),
    ),
    max_size=6,
)


@quick
@given(layers_of)
def test_the_sum_is_of_distinct_digests_and_never_less_than_nothing(
    layers: list[Descriptor],
) -> None:
    """``remotes.Fetch``: content that is there already is not fetched again."""
    by_digest = {one.digest: [x.size for x in layers if x.digest == one.digest] for one in layers}
    total = transferred(layers)
    assert total == sum(max(0, *sizes, 0) for sizes in by_digest.values()) >= 0
    assert transferred([*layers, *reversed(layers)]) == total
    assert Walked(layers=tuple(layers)).size == total
    assert total <= sum(max(0, one.size) for one in layers)


@quick
@given(worlds(), st.lists(st.sampled_from(BOTH), min_size=1, max_size=2, unique=True))
def test_what_is_asked_for_at_depth_platform_is_what_the_whole_pull_takes(
    world: World, platforms: list[Platform]
) -> None:
    whole = pulled(world, *platforms, depth=Depth.WHOLE).outcome
    played = pulled(world, *platforms)
    if whole.pull is Pull.OK:
        assert played.outcome.sizes == whole.sizes
    plain = pulled(world, *platforms, sizes=False)
    assert (plain.outcome.pull, plain.outcome.cause) == (
        played.outcome.pull,
        played.outcome.cause,
    )
    assert len(plain.asks) <= len(played.asks) <= len(plain.asks) + len(platforms)
    where = replace(target(depth=Depth.PLATFORM), platforms=tuple(platforms), sizes=True)
    assert len(played.asks) <= most_requests(where, 0, len(world.contents), recalls=False)
