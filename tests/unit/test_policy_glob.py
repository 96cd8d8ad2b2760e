"""Image globs, sentence by sentence of the policy file's page."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from webhook.policy.glob import (
    host_glob_matches,
    image_glob_fault,
    image_matches,
    path_matches,
    text_matches,
)
from webhook.registry.settings import host_matches

labels = st.text("abcz09-", min_size=1, max_size=5)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
segments = st.text("abcz09._-", min_size=1, max_size=5)
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
tags = st.text("abzAZ09._-", min_size=1, max_size=6)
digests = st.just("sha256:" + "0a" * 32)
ports = st.sampled_from(["", ":5000", ":443"])


@st.composite
def names(draw: st.DrawFn) -> str:
    tag = draw(st.one_of(st.just(""), tags.map(":{}".format)))
    digest = draw(st.one_of(st.just(""), digests.map("@{}".format)))
    return f"{draw(hosts)}{draw(ports)}/{draw(paths)}{tag}{digest}"


@given(names())
def test_a_name_matches_itself(name: str) -> None:
    """Globs are matched in full."""
    assert image_matches(name, name)


@given(names(), st.text("ab/.:", min_size=1, max_size=3))
def test_a_name_matches_nothing_longer(name: str, more: str) -> None:
    """Globs are matched in full."""
    assume("@" not in name)
    assert not image_matches(name + "x", name)
    assert not path_matches("acme/app", "acme/app" + more)


@given(names())
def test_capitals_matter(name: str) -> None:
    """Globs are matched in full and case-sensitively."""
    assume(name.upper() != name)
    assert not image_matches(name.upper(), name)


@given(labels, labels, paths)
def test_a_star_in_a_host_stays_within_a_label(one: str, two: str, path: str) -> None:
    """In a host `*` stays within one label."""
    assert image_matches("*.corp/**", f"{one}.corp/{path}")
    assert not image_matches("*.corp/**", f"{one}.{two}.corp/{path}")
    assert image_matches("**.corp/**", f"{one}.{two}.corp/{path}")


@given(segments, segments)
def test_a_star_in_a_path_stays_within_a_segment(one: str, two: str) -> None:
    """In a path within one segment; `**` crosses."""
    assert image_matches("ghcr.io/*/app", f"ghcr.io/{one}/app")
    assert not image_matches("ghcr.io/*/app", f"ghcr.io/{one}/{two}/app")
    assert image_matches("ghcr.io/**/app", f"ghcr.io/{one}/{two}/app")


@given(paths)
def test_two_stars_at_the_end_need_a_segment(path: str) -> None:
    """`x/**` needs at least one segment."""
    assert image_matches("ghcr.io/acme/**", f"ghcr.io/acme/{path}")
    assert not image_matches("ghcr.io/acme/**", "ghcr.io/acme")
    assert not image_matches("ghcr.io/acme/**", "ghcr.io/acme:1")


@given(hosts, paths)
def test_a_host_without_a_port_matches_only_no_port(host: str, path: str) -> None:
    """A host without a port matches only no port."""
    assert image_matches(f"{host}/**", f"{host}/{path}")
    assert not image_matches(f"{host}/**", f"{host}:5000/{path}")
    assert not image_matches(f"{host}:5000/**", f"{host}/{path}")
    assert image_matches(f"{host}:*/**", f"{host}:5000/{path}")


@given(hosts, paths, tags, digests)
def test_a_pattern_without_tag_or_digest_matches_any(
    host: str, path: str, tag: str, digest: str
) -> None:
    """A pattern without tag or digest matches any."""
    pattern = f"{host}/{path}"
    for name in (pattern, f"{pattern}:{tag}", f"{pattern}@{digest}", f"{pattern}:{tag}@{digest}"):
        assert image_matches(pattern, name)
    assert image_matches(f"{pattern}:{tag}", f"{pattern}:{tag}@{digest}")
    assert not image_matches(f"{pattern}:*", f"{pattern}@{digest}")


@given(names())
def test_two_stars_alone_match_everything(name: str) -> None:
    """`**` alone matches everything."""
    assert image_matches("**", name)


@given(st.text(max_size=8))
def test_a_star_in_written_matches_anything(text: str) -> None:
    """In `written` and `tags`, `*` matches anything."""
    assert text_matches("*", text)
    assert text_matches("a*", "a" + text)
    assert text_matches(text.replace("*", "") + "*", text.replace("*", "") + "/x:y")


@given(hosts, ports, st.data())
def test_hosts_match_as_the_registries_of_a_registry_config_do(
    host: str, port: str, data: st.DataObject
) -> None:
    pattern_labels = [
        data.draw(st.sampled_from([label, "*", "**", label[:1] + "*"])) for label in host.split(".")
    ]
    pattern = ".".join(pattern_labels) + data.draw(ports)
    other = data.draw(hosts) + port
    for given_host in (host + port, other):
        assert host_glob_matches(pattern, given_host) == host_matches(pattern, given_host)


def test_no_pattern_makes_a_long_name_slow() -> None:
    assert not path_matches("*a" * 60 + "b", "a" * 255)


def test_an_address_in_brackets_is_one_label() -> None:
    assert image_matches("[::1]:5000/**", "[::1]:5000/app:1")
    assert not image_matches("[::1]/**", "[::1]:5000/app:1")


@pytest.mark.parametrize(
    "pattern",
    [
        "nginx",
        "nginx:*",
        "ghcr.io",
        "acme/**",
        "docker.io/nginx",
        "index.docker.io/library/nginx",
        "ghcr.io/Acme/**",
        "ghcr.io/acme/[ab]",
        "ghcr.io/acme/app:1?",
        "ghcr.io/acme/",
        "https://ghcr.io/acme/app",
        "",
    ],
)
def test_a_pattern_that_can_match_nothing_is_told(pattern: str) -> None:
    assert image_glob_fault(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "**",
        "**:latest",
        "**/*",
        "docker.io/library/nginx",
        "docker.io/**",
        "docker.io/istio/proxyv2:*",
        "*.dkr.ecr.*.amazonaws.com/**",
        "localhost/app",
        "registry:5000/app",
        "localhost:*/**",
        "ghcr.io/acme/app@sha256:*",
        "*/app",
    ],
)
def test_a_pattern_that_can_match_something_is_accepted(pattern: str) -> None:
    assert image_glob_fault(pattern) is None


@given(names())
def test_every_normalised_name_is_a_pattern_that_may_match(name: str) -> None:
    host, _, path = name.partition("/")
    assume("." in host or ":" in host)
    assume(host != "docker.io")
    assert path
    assert image_glob_fault(name) is None
