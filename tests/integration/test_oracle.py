"""The oracle says what was measured on a real node: else it is no measure for our own rules."""

from __future__ import annotations

import base64

import pytest

from tests.oracle import DOCKERCFG, Oracle, PullSecret

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


def entry(username: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def secret(name: str, *keys: str) -> PullSecret:
    """Make a secret whose entries tell by their user which key they stand under."""
    return PullSecret.of(name, {"auths": {key: entry(key.replace(":", "_")) for key in keys}})


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", ("docker.io", "library/nginx", "latest", "")),
        ("index.docker.io/nginx", ("docker.io", "library/nginx", "latest", "")),
        ("localhost:5000", ("docker.io", "library/localhost", "5000", "")),
        ("docker.io:443/library/nginx", ("docker.io:443", "library/nginx", "latest", "")),
        ("MYHOST/foo", ("MYHOST", "foo", "latest", "")),
        (f"r.io/a:1@{DIGEST}", ("r.io", "a", "1", DIGEST)),
        (DIGEST, ("docker.io", "library/sha256", HEX, "")),
        ("reg_example.com/foo", ("", "reg_example.com/foo", "latest", "")),
    ],
)
def test_a_reference_is_read_as_the_kubelet_reads_it(
    oracle: Oracle, image: str, expected: tuple[str, str, str, str]
) -> None:
    got = oracle.reference(image)
    assert got.error is None
    assert (got.domain, got.path, got.tag, got.digest) == expected


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("foo/Bar", "repository name (foo/Bar) must be lowercase"),
        ("nginx:", "invalid reference format"),
        ("nginx\n", "invalid reference format"),
        ("", "invalid reference format"),
        (f"nginx@sha256:{HEX.upper()}", "invalid checksum digest format"),
        (f"nginx@md5:{HEX[:32]}", "unsupported digest algorithm"),
        (HEX, "cannot specify 64-byte hexadecimal strings"),
        (f"r.io/{'a' * 256}", "repository name must not be more than 255 characters"),
    ],
)
def test_a_refused_reference_has_the_kubelets_words(oracle: Oracle, image: str, words: str) -> None:
    assert words in (oracle.reference(image).error or "")


def test_the_runtime_drops_the_tag_beside_a_digest(oracle: Oracle) -> None:
    got = oracle.reference(f"nginx:1@{DIGEST}")
    assert got.requested == f"nginx:1@{DIGEST}"
    assert got.pulled == f"docker.io/library/nginx@{DIGEST}"


def test_the_kubelet_asks_for_latest_and_the_runtime_for_the_full_name(oracle: Oracle) -> None:
    got = oracle.reference("nginx")
    assert (got.requested, got.pulled) == ("nginx:latest", "docker.io/library/nginx:latest")
    assert got.host == "docker.io"


def test_a_host_that_cannot_be_dialled_is_told_from_the_grammar(oracle: Oracle) -> None:
    assert oracle.reference("r.io:99999/foo").address_error is None
    dialled = oracle.reference("[::::]/foo")
    assert (dialled.error, dialled.domain) == (None, "[::::]")
    assert "invalid host" in (dialled.address_error or "")


@pytest.mark.parametrize(
    ("key", "repository", "matches"),
    [
        ("https://index.docker.io/v1/", "docker.io/foo/bar", True),
        ("https://index.docker.io/v1", "docker.io/foo/bar", False),
        ("registry-1.docker.io", "docker.io/foo/bar", False),
        ("docker.io/foo", "docker.io/foobar/x", True),
        ("r.example.com", "r.example.com:443/a", False),
        ("*.example.com", "r.example.com/a", True),
        ("*.example.com", "a.b.example.com/a", False),
        ("*.*", "docker.io/library/nginx", True),
        ("*", "docker.io/library/nginx", False),
        ("HTTPS://r.example.com", "r.example.com/a", False),
        (" r.example.com", "r.example.com/a", False),
        ("u@r.example.com", "r.example.com/a", True),
        ("r.example.com/%61", "r.example.com/a", True),
        ("127.*.*.*:5000", "127.0.0.1:5000/a", True),
        ("", "r.example.com/a", False),
    ],
)
def test_a_key_matches_as_the_kubelets_does(
    oracle: Oracle, key: str, repository: str, matches: bool
) -> None:
    assert oracle.keyring([secret("one", key)], repository).matched is matches


def test_the_longer_path_of_a_later_secret_comes_first(oracle: Oracle) -> None:
    got = oracle.keyring(
        [secret("hosts", "*.example.com", "r.example.com"), secret("paths", "r.example.com/a")],
        "r.example.com/a/b:1",
    )
    assert [(one.username, one.secret) for one in got.credentials] == [
        ("r.example.com/a", "paths"),
        ("r.example.com", "hosts"),
        ("*.example.com", "hosts"),
    ]


def test_docker_hubs_own_key_hides_the_fallback(oracle: Oracle) -> None:
    both = secret("hub", "docker.io", "https://index.docker.io/v1/")
    got = oracle.keyring([both], "foo/bar")
    assert [one.username for one in got.credentials] == ["docker.io"]


def test_one_undecodable_entry_breaks_every_pull(oracle: Oracle) -> None:
    broken = PullSecret.of("broken", {"auths": {"elsewhere.io": {"auth": "%%%"}}})
    got = oracle.keyring([secret("good", "r.io"), broken], "r.io/a")
    assert got.error == "illegal base64 data at input byte 0"
    assert got.credentials == ()


def test_a_secret_of_another_type_is_ignored(oracle: Oracle) -> None:
    content = {"r.io": entry("bot")}
    flat = PullSecret.of("flat", content, type_=DOCKERCFG)
    opaque = PullSecret("opaque", "Opaque", flat.data)
    assert oracle.keyring([opaque], "r.io/a").matched is False
    assert oracle.keyring([flat], "r.io/a").credentials[0].username == "bot"


def test_keys_are_normalised_and_sorted_backwards(oracle: Oracle) -> None:
    content = b'{"auths": {"https://b.io/v1/": {}, "a.io/x?q": {}, "a.io/x": {}, "c.io:*": {}}}'
    assert oracle.auths(content).keys == ("b.io", "a.io/x")


def test_an_unusual_letter_travels_unharmed(oracle: Oracle) -> None:
    odd = PullSecret.of("odd", {"auths": {"r.io": {"username": "bö<t", "password": "p&\u2028"}}})
    [got] = oracle.keyring([odd], "r.io/a").credentials
    assert (got.username, got.password) == ("bö<t", "p&\u2028")
