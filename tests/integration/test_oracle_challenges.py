"""A challenge is read as containerd's own ``auth.ParseAuthHeader`` reads it, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.challenges import ChallengeOracle, Read
from tests.parts.sight import locate_in_sight
from webhook.registry.challenge import parse_challenges


@pytest.fixture(scope="module")
def oracle(pytestconfig: pytest.Config) -> Iterator[ChallengeOracle]:
    locate_in_sight(pytestconfig, ["challengeoracle"])
    with ChallengeOracle() as running:
        yield running


def ours(lines: Sequence[bytes]) -> list[Read]:
    found = parse_challenges(line.decode("latin-1") for line in lines)
    return [
        (
            one.scheme.name,
            {k.encode("latin-1"): v.encode("latin-1") for k, v in one.parameters.items()},
        )
        for one in found
    ]


SCHEMES = st.one_of(
    st.sampled_from([b"Bearer", b"bearer", b"BASIC", b"Digest", b"Negotiate", b"", b" Bearer"]),
    st.binary(max_size=4).map(lambda raw: b"Bearer" + raw),
)
NAMES = st.one_of(
    st.sampled_from([b"realm", b"Realm", b"service", b"scope", b"error", b"", b"r=m"]),
    st.binary(max_size=3),
)
VALUES = st.one_of(
    st.binary(max_size=12),
    st.binary(max_size=12).map(lambda raw: b'"' + raw + b'"'),
    st.lists(
        st.sampled_from([b"\\", b'"', b"a", b",", b"=", b" ", b"\xe9", b"\t"]), max_size=10
    ).map(lambda bits: b'"' + b"".join(bits)),
    st.sampled_from([b'"https://a/t?b=c"', b"token", b'""', b'"', b'"\\"', b'"\\\\"']),
)
BLANKS = st.sampled_from([b"", b" ", b"\t ", b"\r\n ", b"\x0b", b"\xa0", b"\x85"])
PARAMETERS = st.builds(
    lambda before, name, middle, value, after: before + name + middle + value + after,
    BLANKS,
    NAMES,
    st.sampled_from([b"=", b"=", b"=", b" = ", b"= ", b"", b"=="]),
    VALUES,
    BLANKS,
)
LINES = st.one_of(
    st.builds(
        lambda scheme, gap, parameters, end: scheme + gap + b",".join(parameters) + end,
        SCHEMES,
        st.sampled_from([b" ", b"", b",", b"\t", b"  "]),
        st.lists(PARAMETERS, max_size=4),
        st.sampled_from([b"", b",", b", ", b' Basic realm="x"']),
    ),
    st.binary(max_size=40),
)


@settings(max_examples=3000, deadline=None)
@given(st.lists(LINES, max_size=4))
def test_any_lines_are_read_as_containerd_reads_them(
    oracle: ChallengeOracle, lines: list[bytes]
) -> None:
    """``ParseAuthHeader parses challenges from WWW-Authenticate header``."""
    assert ours(lines) == oracle.challenges(lines)


@pytest.mark.parametrize(
    "line",
    [
        b'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
        b'Bearer realm="https://r/t",scope="repository:a/b:pull,push repository:c:pull"',
        b'Basic realm="Registry Realm", charset="UTF-8"',
        b'Bearer realm="a\\"b\\\\c"',
        b'Digest realm="x", nonce="y", qop="auth"',
    ],
)
def test_what_real_registries_write_is_read_as_containerd_reads_it(
    oracle: ChallengeOracle, line: bytes
) -> None:
    (read,) = oracle.challenges([line])
    assert [read] == ours([line])
    assert read[1]
