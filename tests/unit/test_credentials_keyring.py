"""The kubelet's keyring: which keys match, and in which order."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.hostile import grows_linearly
from webhook.credentials.goglob import glob_matches
from webhook.credentials.gourl import split_host_port
from webhook.credentials.keyring import Broken, Keyring, keyring_of, normalised_key
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)


def secret(name: str, *keys: str) -> tuple[str, Secret]:
    """Make a secret whose entries tell by their user which key they stand under."""
    auths = {key: {"username": key, "password": "pw"} for key in keys}
    data = {DOCKER_CONFIG_JSON_KEY: json.dumps({"auths": auths}).encode()}
    return f"secret/{name}", Secret("shop", name, DOCKER_CONFIG_JSON_TYPE, data)


def ring(*secrets: tuple[str, Secret]) -> Keyring:
    got = keyring_of(secrets)
    assert isinstance(got, Keyring)
    return got


def users(image: str, *secrets: tuple[str, Secret]) -> list[str]:
    return [credential.username for credential in ring(*secrets).lookup(image)]


@pytest.mark.parametrize(
    ("key", "image", "matches"),
    [
        ("https://index.docker.io/v1/", "docker.io/foo/bar", True),
        ("index.docker.io", "docker.io/foo/bar", True),
        ("https://index.docker.io/v1", "docker.io/foo/bar", False),
        ("registry-1.docker.io", "docker.io/foo/bar", False),
        ("*.docker.io", "docker.io/foo/bar", False),
        ("docker.io", "registry-1.docker.io/foo/bar", False),
        ("docker.io/foo", "docker.io/foobar/x", True),
        ("r.example.com", "r.example.com:443/a", False),
        ("r.example.com:443", "r.example.com/a", False),
        ("*.example.com", "r.example.com/a", True),
        ("*.example.com", "a.b.example.com/a", False),
        ("*.example.com", "example.com/a", False),
        ("*", "docker.io/library/nginx", False),
        ("*.*", "docker.io/library/nginx", True),
        ("r.example.com/team/*", "r.example.com/team/app", False),
        ("HTTPS://r.example.com", "r.example.com/a", False),
        ("R.Example.com", "r.example.com/a", False),
        ("r.example.com.", "r.example.com/a", False),
        ("r.example.com:", "r.example.com/a", True),
        ("u@r.example.com", "r.example.com/a", True),
        ("u:p@r.example.com", "r.example.com/a", True),
        ("r.example.com/a?x", "r.example.com/a", True),
        ("r.example.com#x", "r.example.com/a", True),
        ("r.example.com/%61", "r.example.com/a", True),
        ("http://r.example.com", "r.example.com/a", True),
        ("https://r.example.com/v2/", "r.example.com/a", True),
        ("https://r.example.com/v2/a", "r.example.com/a", True),
        ("https://r.example.com/v2", "r.example.com/a", False),
        ("r*.example.com", "r.example.com/a", True),
        ("**.example.com", "r.example.com/a", True),
        ("*.*.*", "r.example.com/a", True),
        ("127.*.*.*:5000", "127.0.0.1:5000/a", True),
        ("*:5000", "localhost:5000/a", True),
        ("r?g.example.com", "reg.example.com/a", False),
        ("oci://r.example.com", "r.example.com/a", False),
        ("r.example.com/a/", "r.example.com/a", False),
        ("r.example.com/a:tag", "r.example.com/a", False),
        ("", "r.example.com/a", False),
        ("[::1]:5000", "[::1]:5000/a", True),
        ("[::1]", "[::1]/a", False),
        ("[::A]", "A/foo", True),
        ("[::a]", "A/foo", False),
        ("[fe80::1%2525A-Z]", "M/foo", True),
        ("[fe80::1%2525A-]", "A/foo", False),
    ],
)
def test_a_key_matches_or_not(key: str, image: str, matches: bool) -> None:
    assert bool(users(image, secret("one", key))) is matches


@pytest.mark.parametrize(
    "key",
    [
        *(
            " r.example.com",
            "r.example.com ",
            "r.example.com:*",
            "[r]eg.example.com",
            "r.io\n",
            "%zz",
        ),
        *(
            "r.io:5:6",
            "r.io:x",
            "r%2eio",
            "a\\b",
            "[::1",
            "[1.2.3.4]",
            "[]",
            "[::1]x",
            "r.io/%",
            "%@r",
        ),
        *("r.io#%", "a^b", "r.io\x7f", "[::1%25]", "[::1%25a b]", "u\u00fc@r.io", "a[b"),
    ],
)
def test_an_entry_that_go_cannot_parse_is_dropped(key: str) -> None:
    assert normalised_key(key) is None
    assert users("r.example.com/a", secret("one", key, "r.example.com")) == ["r.example.com"]


@pytest.mark.parametrize(
    ("location", "key"),
    [
        ("https://index.docker.io/v1/", "index.docker.io"),
        ("https://index.docker.io/v1", "index.docker.io/v1"),
        ("http://r.io/v2/a", "r.io/a"),
        ("r.io/v1/v2/", "r.io/v2/"),
        ("r.io/", "r.io"),
        ("r.io//", "r.io//"),
        ("u:p@r.io:5000/a?b#c", "r.io:5000/a"),
        ("oci://r.io", "oci://r.io"),
        ("r.io/a b\u00e4", "r.io/a b\u00e4"),
        ("r.io/%0A?", "r.io/\n"),
        ("r.io#a\nb", "r.io"),
        ("", ""),
    ],
)
def test_a_key_is_host_and_path_without_v1_and_v2(location: str, key: str) -> None:
    """The three characters go and the slash stays; host alone if the path is empty or `/`."""
    assert normalised_key(location) == key


def test_path_comes_before_host_and_host_before_wildcard() -> None:
    keys = ("*.example.com", "r.example.com", "r.example.com/a")
    for order in permutations(keys):
        assert users("r.example.com/a/b", secret("one", *order)) == list(reversed(keys))


def test_the_longer_path_of_the_second_secret_comes_before_the_host_of_the_first() -> None:
    first, second = secret("first", "r.io"), secret("second", "r.io/a")
    assert users("r.io/a/b", first, second) == ["r.io/a", "r.io"]


def test_only_equal_keys_keep_the_order_of_imagepullsecrets() -> None:
    found = ring(secret("b", "r.io"), secret("a", "https://r.io/v1/")).lookup("r.io/a")
    assert [c.source for c in found] == ["secret/b", "secret/a"]
    assert {c.key for c in found} == {"r.io"}


def test_a_secret_listed_twice_is_tried_twice() -> None:
    one = secret("one", "r.io")
    assert users("r.io/a", one, one) == ["r.io", "r.io"]


def test_docker_hubs_own_key_hides_the_fallback() -> None:
    both = secret("hub", "docker.io", "https://index.docker.io/v1/")
    assert users("docker.io/foo/bar", both) == ["docker.io"]
    assert users("docker.io/foo/bar", secret("hub", "*.*", "index.docker.io")) == ["*.*"]


@pytest.mark.parametrize(
    ("name", "falls_back"),
    [
        *(
            ("docker.io/a/b", True),
            ("index.docker.io/a", True),
            ("reg_x/foo", True),
            ("MYHOST/a", True),
        ),
        *(
            ("docker.io:443/a", False),
            ("reg_x.com/foo", False),
            ("localhost:5/a", False),
            ("nginx", True),
        ),
        ("/a", False),
    ],
)
def test_the_fallback_is_for_docker_hub_and_hosts_without_dot_or_colon(
    name: str, falls_back: bool
) -> None:
    """Used when the first segment is docker.io or index.docker.io, or has no `.` or `:`."""
    assert bool(users(name, secret("hub", "https://index.docker.io/v1/"))) is falls_back


def test_one_undecodable_entry_of_any_secret_breaks_the_whole_keyring() -> None:
    bad = Secret("shop", "bad", DOCKERCFG_TYPE, {DOCKERCFG_KEY: b'{"x.io":{"auth":"%"}}'})
    worse = Secret("shop", "worse", DOCKERCFG_TYPE, {DOCKERCFG_KEY: b"[]"})
    got = keyring_of([secret("good", "r.io"), ("secret/bad", bad), ("secret/worse", worse)])
    assert got == Broken("secret/bad", "illegal base64 data at input byte 0", "x.io")


def test_a_secret_of_another_type_is_ignored_silently() -> None:
    opaque = Secret("shop", "o", "Opaque", {DOCKERCFG_KEY: b"not even json"})
    assert users("r.io/a", ("secret/o", opaque), secret("good", "r.io")) == ["r.io"]


def test_no_secrets_make_an_empty_keyring() -> None:
    assert ring().lookup("r.io/a") == ()


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        *(
            ("r.io", ("r.io", "")),
            ("r.io:5", ("r.io", "5")),
            ("r.io:", ("r.io", "")),
            ("", ("", "")),
        ),
        *(
            ("[::1]:5", ("::1", "5")),
            ("[::1]", ("[::1]", "")),
            ("::1", ("::1", "")),
            ("[:", ("[:", "")),
        ),
        *(
            ("[::1%A]:4]", ("[::1%A]:4]", "")),
            ("[[::1]:5", ("[[::1]:5", "")),
            ("a]:5", ("a]:5", "")),
        ),
    ],
)
def test_a_host_without_a_port_is_left_whole(host: str, parts: tuple[str, str]) -> None:
    assert split_host_port(host) == parts


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=5), st.text("ab", max_size=12))
def test_a_star_stands_for_any_run_of_characters(chunks: list[str], name: str) -> None:
    def slowly(rest: list[str], text: str) -> bool:
        first, *others = rest
        if not others:
            return text == first
        return text.startswith(first) and any(
            slowly([text[at:][: len(others[0])], *others[1:]], text[at:])
            for at in range(len(first), len(text) + 1)
            if text[at:].startswith(others[0])
        )

    assert glob_matches("*".join(chunks), name) is slowly(chunks, name)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        *(
            ("{}", "{}"),
            ("{}b", "{}"),
            ("*{}b", "{}{}"),
            ("{}*b", "{}"),
            ("[::1%25{}]", "A"),
            ("*", "{}"),
        ),
    ],
)
@pytest.mark.parametrize("piece", ["*", "a", "a*", "*a", "aab*", ".", "*.", "a-z"])
def test_time_is_linear_in_a_hostile_glob(pattern: str, name: str, piece: str) -> None:
    """A secret may hold a megabyte of stars, and an image a megabyte of what they should match."""

    def make(size: int) -> tuple[Keyring, str]:
        many = piece * (size // len(piece))
        return ring(secret("one", pattern.replace("{}", many))), name.replace("{}", many) + "/a"

    grows_linearly(make, lambda given: given[0].lookup(given[1]))


@pytest.mark.parametrize(
    "piece", ["%C3", "%", "@", ":", "[", "/", "#", "?", "%25", "a.", "u:", "\u00e4"]
)
@pytest.mark.parametrize("frame", ["{}", "https://{}", "[::1%25{}]", "[{}]", "r.io/{}", "{}@r.io"])
def test_time_is_linear_in_a_hostile_key(piece: str, frame: str) -> None:
    grows_linearly(lambda size: frame.replace("{}", piece * (size // len(piece))), normalised_key)


def test_time_is_linear_in_the_number_of_keys() -> None:
    def make(size: int) -> list[tuple[str, Secret]]:
        return [secret("one", *(f"r{n}.io" for n in range(size // 16)))]

    grows_linearly(make, lambda given: ring(*given).lookup("r.io/a"))
