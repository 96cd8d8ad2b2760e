"""Our reading of an image is the kubelet's and containerd's, over what stands near the edges."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from tests.oracle import Oracle
from tests.oracle.compared import our_reference, their_reference
from tests.oracle.images import IMAGES

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@settings(max_examples=400, deadline=None)
@given(IMAGES)
@example("docker.io:443/library/nginx")
@example("index.docker.io/nginx")
@example(f"r.io/a:latest@{DIGEST}")
def test_any_text_is_read_as_the_kubelet_reads_it(oracle: Oracle, image: str) -> None:
    """Form `name[:tag][@digest]`, anchored, ASCII only.

    A refused text is refused for the same reason, an accepted one has the same
    parts, and containerd pulls the same thing from a host that can be dialled or not.
    """
    assert our_reference(image) == their_reference(oracle, image)


@pytest.mark.parametrize(
    "image",
    [
        f"nginx@SHA256:{HEX}",
        f"nginx@sha256+B64:{HEX}",
        f"r.io/a:1@a+B:{HEX}",
        f"nginx@md5:{HEX.upper()}",
    ],
)
def test_an_unknown_algorithm_in_capitals_is_malformed_rather_than_unsupported(
    oracle: Oracle, image: str
) -> None:
    """`DigestRegexp` of go-digest wants the algorithm lowercase, the grammar does not."""
    assert our_reference(image) == their_reference(oracle, image)


@pytest.mark.parametrize(
    "image", ["\u0130/a", "nginx:\u0130", "a\u0130.io/a", "\u212a/a", "a/\u03a3"]
)
def test_go_lowers_letter_for_letter(oracle: Oracle, image: str) -> None:
    """`strings.ToLower` makes `i` of the dotted capital, Python an `i` and a dot: two letters."""
    assert our_reference(image) == their_reference(oracle, image)


@pytest.mark.parametrize(
    "image",
    [
        *("nginx", "docker.io/nginx", "localhost:5000", "reg.example.com", "MYHOST/foo", "Foo/bar"),
        *(
            "foo/Bar",
            "Nginx",
            "nginx:",
            "nginx:-a",
            "nginx:1+2",
            HEX,
            DIGEST,
            "reg_example.com/foo",
        ),
        *(f"nginx@sha256:{HEX.upper()}", f"nginx@md5:{HEX[:32]}", "reg.io:99999/foo", "[::1]/a"),
        *("https://reg/foo", "/foo", "foo//bar", "reg.io/foo/", "user:pass@reg.io/foo", "nginx\n"),
        *("a:b:c", f"x@{DIGEST}:tag", "-foo", "foo_", "a..b", "a___b", "$(IMAGE)", '"nginx"', ""),
        *("a__b", "a---b", "a:_x", f"a:{'x' * 128}", f"a:{'x' * 129}", "a" * 247, "a" * 248),
        *("[::::]/a", "[1:2:3:4:5:6:7::]/a", "[::2:3:4:5:6:7:8]/a", "[00001::]/a", "[::1]:0/a"),
    ],
)
def test_every_line_of_the_measured_table_holds(oracle: Oracle, image: str) -> None:
    assert our_reference(image) == their_reference(oracle, image)
