"""The grammar of image references, line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.hostile import grows_linearly
from webhook.images.reference import (
    Fault,
    InvalidReference,
    Reference,
    address_fault,
    dialled_host,
    parse,
    split_port,
)

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


def valid(text: str) -> Reference:
    got = parse(text)
    assert isinstance(got, Reference), got
    return got


def refused(text: str) -> InvalidReference:
    got = parse(text)
    assert isinstance(got, InvalidReference), got
    assert got.text == text
    return got


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nginx", ("docker.io", "library/nginx", "latest", None)),
        ("docker.io/nginx", ("docker.io", "library/nginx", "latest", None)),
        ("index.docker.io/nginx", ("docker.io", "library/nginx", "latest", None)),
        ("index.docker.io/a/b", ("docker.io", "a/b", "latest", None)),
        ("docker.io:443/library/nginx", ("docker.io:443", "library/nginx", "latest", None)),
        ("docker.io:443/nginx", ("docker.io:443", "nginx", "latest", None)),
        ("Docker.io/nginx", ("Docker.io", "nginx", "latest", None)),
        ("localhost:5000", ("docker.io", "library/localhost", "5000", None)),
        ("localhost/a", ("localhost", "a", "latest", None)),
        ("reg.example.com", ("docker.io", "library/reg.example.com", "latest", None)),
        ("MYHOST/foo", ("MYHOST", "foo", "latest", None)),
        ("Foo/bar", ("Foo", "bar", "latest", None)),
        ("foo/bar", ("docker.io", "foo/bar", "latest", None)),
        (DIGEST, ("docker.io", "library/sha256", HEX, None)),
        (f"r.io/a@{DIGEST}", ("r.io", "a", None, DIGEST)),
        (f"r.io/a:1@{DIGEST}", ("r.io", "a", "1", DIGEST)),
        ("reg_example.com/foo", ("", "reg_example.com/foo", "latest", None)),
        ("reg.io:99999/foo", ("reg.io:99999", "foo", "latest", None)),
        ("[::1]:5000/foo", ("[::1]:5000", "foo", "latest", None)),
        ("a__b", ("docker.io", "library/a__b", "latest", None)),
        ("a---b", ("docker.io", "library/a---b", "latest", None)),
        ("a:_x", ("docker.io", "library/a", "_x", None)),
    ],
)
def test_a_valid_reference_has_these_parts(
    text: str, expected: tuple[str, str, str | None, str | None]
) -> None:
    got = valid(text)
    assert (got.domain, got.path, got.tag, got.digest) == expected


@pytest.mark.parametrize(
    ("text", "fault", "words"),
    [
        ("foo/Bar", Fault.UPPERCASE, "repository name must be lowercase"),
        ("Nginx", Fault.UPPERCASE, "repository name must be lowercase"),
        ("_A/b", Fault.MALFORMED, "invalid reference format"),
        ("A_B/c", Fault.UPPERCASE, "repository name must be lowercase"),
        ("nginx:", Fault.MALFORMED, "invalid reference format"),
        ("nginx:-a", Fault.MALFORMED, "invalid reference format"),
        ("nginx:1+2", Fault.MALFORMED, "invalid reference format"),
        (f"nginx@sha256:{HEX.upper()}", Fault.DIGEST_MALFORMED, "invalid checksum digest format"),
        (f"nginx@sha256:{HEX}0", Fault.DIGEST_MALFORMED, "invalid checksum digest length"),
        (f"nginx@sha512:{HEX}", Fault.DIGEST_MALFORMED, "invalid checksum digest length"),
        (f"nginx@md5:{HEX[:32]}", Fault.DIGEST_UNSUPPORTED, "unsupported digest algorithm"),
        (f"nginx:1@SHA256:{HEX}", Fault.DIGEST_MALFORMED, "invalid checksum digest format"),
        (f"nginx@sha256:{HEX[:31]}", Fault.MALFORMED, "invalid reference format"),
        (HEX, Fault.MALFORMED, "cannot specify 64-byte hexadecimal strings"),
        (f"r.io/{'a' * 256}", Fault.MALFORMED, "must not be more than 255 characters"),
        (f"nginx@SHA256:{HEX}", Fault.UPPERCASE, "repository name must be lowercase"),
        ("$(IMAGE)", Fault.UPPERCASE, "repository name must be lowercase"),
        ("\u0130/a", Fault.UPPERCASE, "repository name must be lowercase"),
    ],
)
def test_a_refused_text_is_refused_for_this_reason(text: str, fault: Fault, words: str) -> None:
    got = refused(text)
    assert got.fault is fault
    assert words in got.reason


@pytest.mark.parametrize(
    "text",
    [
        *("https://reg/foo", "/foo", "foo//bar", "reg.io/foo/", "user:pass@reg.io/foo", "nginx\n"),
        *("a:b:c", f"x@{DIGEST}:tag", "-foo", "foo_", "a..b", "a___b", "$(image)", '"nginx"', ""),
        *(
            " nginx",
            "nginx ",
            "n\u00e9",
            "nginx:\u0661",
            "a.io:\u0661/b",
            "a\0b",
            "@",
            ":",
            "/",
            ".",
        ),
        *("[fe80::1%eth0]/a", "[::1/a", "-a.io/b", "a-.io/b", "a.io:/b", "a.io:x/b", "\ud800"),
        "a@b",
        f"nginx:{'x' * 129}",
    ],
)
def test_anything_else_is_no_reference(text: str) -> None:
    assert refused(text).fault is Fault.MALFORMED


def test_the_path_is_at_most_255_characters_with_library() -> None:
    assert len(valid("a" * 247).path) == 255
    assert "255" in refused("a" * 248).reason
    assert len(valid(f"r.io/{'a' * 255}").path) == 255


def test_a_tag_is_at_most_128_characters() -> None:
    assert valid(f"a:{'x' * 128}").tag == "x" * 128


def test_sha256_384_and_512_want_their_own_length() -> None:
    for algorithm, length in (("sha256", 64), ("sha384", 96), ("sha512", 128)):
        assert valid(f"a@{algorithm}:{'0' * length}").digest == f"{algorithm}:{'0' * length}"
        assert refused(f"a@{algorithm}:{'0' * (length + 1)}").fault is Fault.DIGEST_MALFORMED


def test_the_kubelet_fills_in_latest_where_neither_tag_nor_digest_is_written() -> None:
    assert (valid("nginx").tag, valid("nginx").tag_written) == ("latest", False)
    assert (valid("nginx:latest").tag, valid("nginx:latest").tag_written) == ("latest", True)
    assert valid(f"nginx@{DIGEST}").tag is None


def test_the_digest_wins_and_the_tag_is_dropped() -> None:
    got = valid(f"nginx:1@{DIGEST}")
    assert got.target == DIGEST
    assert str(got) == f"docker.io/library/nginx@{DIGEST}"
    assert got.full == f"docker.io/library/nginx:1@{DIGEST}"
    assert str(valid("nginx:1")) == valid("nginx:1").full == "docker.io/library/nginx:1"
    assert valid("nginx:1").target == "1"


def test_without_a_valid_domain_the_first_segment_is_dialled_all_the_same() -> None:
    got = valid("reg_example.com/a/b")
    assert (got.name, got.host, got.repository) == ("reg_example.com/a/b", "reg_example.com", "a/b")
    plain = valid("r.io/a/b")
    assert (plain.name, plain.host, plain.repository) == ("r.io/a/b", "r.io", "a/b")


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        ("reg.io:99999/foo", "port 99999"),
        (f"reg.io:{'9' * 5000}/foo", "port 999999999999 "),
        ("reg.io:65536/foo", "port 65536"),
        ("[::::]/foo", "no IPv6 address"),
        ("[::1]:70000/foo", "port 70000"),
    ],
)
def test_an_address_that_cannot_be_dialled_is_valid_by_the_grammar(image: str, fault: str) -> None:
    assert fault in (address_fault(valid(image)) or "")


@pytest.mark.parametrize(
    "image",
    ["reg.io:65535/a", "reg.io:000080/a", "[::1]/a", "[::1]:5000/a", "nginx", "a_b/c", "A/b"],
)
def test_any_other_address_can_be_dialled(image: str) -> None:
    assert address_fault(valid(image)) is None


@pytest.mark.parametrize(
    ("host", "dialled"),
    [
        ("r.io:4294967739", "r.io:443"),
        ("r.io:04294972296", "r.io:5000"),
        ("r.io:4295099999", "r.io:4295099999"),
        ("r.io:18446744073709552059", "r.io:18446744073709552059"),
        ("r.io:0443", "r.io:0443"),
        ("[::1]:65535", "[::1]:65535"),
        ("r.io", "r.io"),
    ],
)
def test_a_port_past_32_bits_is_dialled_as_go_parses_it(host: str, dialled: str) -> None:
    """``parsePort`` of Go's ``net`` multiplies before it looks whether that ran over."""
    assert dialled_host(host) == dialled


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        *(("r.io", ("r.io", "")), ("r.io:5000", ("r.io", "5000")), ("[::1]", ("[::1]", ""))),
        ("[::1]:5000", ("[::1]", "5000")),
    ],
)
def test_a_port_is_split_off_a_host(host: str, parts: tuple[str, str]) -> None:
    assert split_port(host) == parts


@given(st.text(), st.text("aA.:/@_-[]0\n", max_size=20))
def test_no_text_raises(any_text: str, near: str) -> None:
    for text in (any_text, near, near + any_text):
        got = parse(text)
        if isinstance(got, Reference):
            address_fault(got)


@given(
    st.from_regex(
        r"[a-z0-9]{1,9}(\.[a-z]{2,5})(:[0-9]{1,5})?/[a-z0-9]{1,9}(:[\w]{1,9})?", fullmatch=True
    )
)
def test_the_normalised_text_reads_as_itself(text: str) -> None:
    """Nothing else is canonicalised: what was normalised once stays as it is."""
    got = parse(text)
    if isinstance(got, Reference):
        again = valid(got.full)
        assert again.full == got.full


@pytest.mark.parametrize(
    "unit",
    [
        *("{}", "a{}", "A{}/b", "a:{}", "a:0{}/b", "[{}]/a", "x@sha256:{}g", "x@{}"),
        *("a{}_", "A{}_/b", "a{}/b", "a{}.b/c"),
    ],
)
@pytest.mark.parametrize(
    "piece", ["a", "a-", "-", "a.", "aa.", "a/", "a__", "0", ":", "a+", "A", "@"]
)
def test_a_megabyte_of_anything_is_read_in_linear_time(unit: str, piece: str) -> None:
    grows_linearly(lambda size: unit.replace("{}", piece * (size // len(piece))), parse)
