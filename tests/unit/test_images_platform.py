"""Platforms: read, normalised, matched and preferred as containerd/platforms does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.images.platform import (
    InvalidPlatform,
    Platform,
    chooser,
    fetched,
    matches,
    may_run,
    normalised,
    parse,
    shown,
)

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64", "v8")
ARM = Platform("linux", "arm", "v7")


def _platform(text: str) -> Platform:
    platform = parse(text)
    assert isinstance(platform, Platform)
    return platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", AMD64),
        ("Linux/x86_64", AMD64),
        ("linux/amd64/v1", AMD64),
        ("linux/amd64/v2", Platform("linux", "amd64", "v2")),
        ("linux/aarch64", Platform("linux", "arm64")),
        ("linux/arm64/8", ARM64),
        ("linux/arm", Platform("linux", "arm")),
        ("linux/armhf", Platform("linux", "arm")),
        ("linux/armel", Platform("linux", "arm", "v6")),
        ("linux/arm/7", ARM),
        ("macos/arm64", Platform("darwin", "arm64")),
        ("windows(10.0.20348)/amd64", Platform("windows", "amd64", "", "10.0.20348")),
        (
            "windows(10.0.20348+win32k)/amd64",
            Platform("windows", "amd64", "", "10.0.20348", ("win32k",)),
        ),
    ],
)
def test_a_platform_is_read_in_its_canonical_form(text: str, platform: Platform) -> None:
    assert parse(text) == platform


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linux",
        "amd64",
        "linux/",
        "/amd64",
        "linux/amd64/v1/x",
        "linux amd64",
        "*/*",
        "linux/a b",
    ],
)
def test_what_names_no_platform_is_refused_with_a_reason(text: str) -> None:
    refused = parse(text)
    assert isinstance(refused, InvalidPlatform)
    assert refused.reason


@pytest.mark.parametrize(
    ("node", "offered", "chosen", "taken"),
    [
        (AMD64, "linux/amd64", True, True),
        (AMD64, "linux/amd64/v1", True, True),
        (AMD64, "linux/amd64/v2", False, False),
        (AMD64, "linux/amd64/v3", False, False),
        (AMD64, "linux/386", True, False),
        (AMD64, "linux/arm64", False, False),
        (AMD64, "windows/amd64", False, False),
        (AMD64, "unknown/unknown", False, False),
        (ARM64, "linux/arm64", True, True),
        (ARM64, "linux/arm64/v8", True, True),
        (ARM64, "linux/arm64/v8.1", False, False),
        (ARM64, "linux/arm64/v9", False, False),
        (ARM64, "linux/arm/v8", True, False),
        (ARM64, "linux/arm/v7", True, False),
        (ARM64, "linux/arm/v5", True, False),
        (ARM64, "linux/arm/v4", False, False),
        (ARM, "linux/arm", True, True),
        (ARM, "linux/arm/v6", True, False),
        (ARM, "linux/arm/v5", True, False),
        (ARM, "linux/arm/v8", False, False),
        (Platform("linux", "arm64", "v9"), "linux/arm64/v8.5", True, False),
        (Platform("linux", "arm64", "v9"), "linux/arm64/v8.6", False, False),
        (Platform("linux", "amd64", "v3"), "linux/amd64/v2", True, False),
        (Platform("linux", "s390x"), "linux/s390x", True, True),
    ],
)
def test_a_node_chooses_more_than_it_fetches(
    node: Platform, offered: str, chosen: bool, taken: bool
) -> None:
    """`Only` has what a platform is compatible with, `Ordered` of one platform that alone."""
    assert matches(node, _platform(offered)) is chosen
    assert fetched(node, _platform(offered)) is taken


@pytest.mark.parametrize(
    ("host", "image", "runs"),
    [
        ("10.0.17763", "10.0.17763.6054", True),
        ("10.0.17763", "10.0.20348", False),
        ("10.0.19042", "10.0.17763", False),
        ("10.0.20348", "10.0.17763", False),
        ("10.0.20348", "10.0.20348.2527", True),
        ("10.0.25398", "10.0.20348", True),
        ("10.0.26100", "10.0.20348", True),
        ("10.0.26100", "10.0.25398", True),
        ("10.0.20348", "10.0.26100", False),
        ("10.0.20348", "11.0.20348", False),
        ("10.0.20348", "", True),
        ("10.0.20348", "nonsense", False),
        ("", "10.0.20348", True),
    ],
)
def test_windows_goes_by_the_build_number(host: str, image: str, runs: bool) -> None:
    """Below Windows Server 2022 the build must be equal; from there on the ABI is stable."""
    node = Platform("windows", "amd64", "", host)
    offered = Platform("windows", "amd64", "", image)
    assert matches(node, offered) is runs
    assert fetched(node, offered) is runs


def test_windows_prefers_the_newest_and_runs_no_386() -> None:
    node = Platform("windows", "amd64", "", "10.0.26100")
    versions = ["10.0.20348.1", "10.0.17763.1", "10.0.26100.1", "10.0.25398.1"]
    offered = [Platform("windows", "amd64", "", version) for version in versions]
    assert [one.os_version for one in chooser(node).sorted(offered, lambda one: one)] == [
        "10.0.26100.1",
        "10.0.25398.1",
        "10.0.20348.1",
        "10.0.17763.1",
    ]
    assert not matches(node, Platform("windows", "386"))


def test_a_feature_that_the_node_lacks_excludes_but_for_win32k() -> None:
    assert not matches(AMD64, Platform("linux", "amd64", os_features=("a",)))
    windows = Platform("windows", "amd64")
    assert matches(windows, Platform("windows", "amd64", os_features=("win32k",)))
    assert not matches(windows, Platform("windows", "amd64", os_features=("win32k", "a")))


def test_the_best_comes_first_and_what_declares_nothing_last() -> None:
    entries = [
        None,
        *map(_platform, ("linux/s390x", "linux/arm/v6", "linux/arm/v7", "linux/arm64")),
    ]
    order = chooser(ARM64).sorted(entries, lambda one: one)
    assert list(map(shown, order)) == [
        "linux/arm64",
        "linux/arm/v7",
        "linux/arm/v6",
        "linux/s390x",
        "",
    ]


@pytest.mark.parametrize("text", ["a b", "x" * 65, "\n", "<script>"])
def test_what_no_platform_is_called_is_not_repeated(text: str) -> None:
    assert shown(Platform(text, "amd64")) == "unknown/unknown"


@given(
    st.builds(
        Platform,
        st.sampled_from(["", "LINUX", "macos"]) | st.text(max_size=4),
        st.sampled_from(["x86_64", "armhf", "aarch64", "arm"]) | st.text(max_size=4),
        st.sampled_from(["", "v8", "9", "7"]) | st.text(max_size=3),
        os_features=st.lists(st.text(max_size=2), max_size=3).map(tuple),
    )
)
def test_normalising_twice_changes_nothing(platform: Platform) -> None:
    once = normalised(platform)
    assert normalised(once) == once


@pytest.mark.parametrize(
    ("node", "built_for", "runs"),
    [
        ("linux/amd64", Platform("linux", "amd64"), True),
        ("linux/amd64", Platform("linux", "amd64", "v3"), True),
        ("linux/amd64", Platform("linux", "x86_64"), True),
        ("linux/amd64", Platform("linux", "386"), True),
        ("linux/amd64", Platform("", "amd64"), True),
        ("linux/amd64", Platform("", ""), True),
        ("linux/amd64", Platform("linux", ""), True),
        ("linux/amd64", Platform("linux", "arm64"), False),
        ("linux/amd64", Platform("linux", "unknown"), True),
        ("linux/amd64", Platform("wasip1", "wasm"), True),
        ("linux/amd64", Platform("windows", "amd64"), False),
        ("linux/arm64", Platform("linux", "arm64", "v9"), True),
        ("linux/arm64", Platform("linux", "arm", "v6"), True),
        ("linux/arm/v7", Platform("linux", "arm", "v8"), True),
        ("linux/arm/v7", Platform("linux", "arm64"), False),
        ("windows(10.0.20348)/amd64", Platform("windows", "amd64", "", "10.0.26100"), False),
        ("windows(10.0.20348)/amd64", Platform("windows", "amd64"), True),
    ],
)
def test_what_was_pulled_runs_where_the_processor_is_not_known_to_be_another(
    node: str, built_for: Platform, *, runs: bool
) -> None:
    """An image of another architecture pulls: exec format error at start."""
    assert may_run(_platform(node), built_for) is runs
