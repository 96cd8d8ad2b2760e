"""Our keyring is the kubelet's, over configs as people and attackers write them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import DOCKER_CONFIG_JSON, DOCKERCFG, Oracle, PullSecret
from tests.oracle.compared import our_keyring, our_keys, their_keyring, their_keys
from tests.oracle.configs import KEYS, asked, contents


def agree(oracle: Oracle, secrets: list[PullSecret], repository: str) -> None:
    ours = our_keyring(secrets, repository)
    assert ours == their_keyring(oracle, secrets, repository, ours)


@settings(max_examples=250, deadline=None)
@given(asked())
def test_any_pod_is_offered_the_same_credentials_in_the_same_order(
    oracle: Oracle, question: tuple[list[PullSecret], str]
) -> None:
    """All of a pod's secrets go into one index, sorted in reverse byte order.

    One undecodable entry in any of the pod's usable secrets makes every pull fail.
    """
    secrets, repository = question
    agree(oracle, secrets, repository or "nginx")


@settings(max_examples=250, deadline=None)
@given(contents(), st.sampled_from([DOCKER_CONFIG_JSON, DOCKERCFG]))
def test_any_config_is_decoded_alike(oracle: Oracle, config: bytes, type_: str) -> None:
    """Go's JSON names are case-insensitive; of a repeated key the last wins; `null` is fine."""
    assert our_keys(config, type_) == their_keys(oracle, config, type_)


@settings(max_examples=400, deadline=None)
@given(KEYS)
def test_any_key_is_normalised_alike(oracle: Oracle, key: str) -> None:
    """Key = host + path; query, fragment and user info are discarded; what Go cannot parse goes."""
    config = json.dumps({key: {}}).encode()
    assert our_keys(config, DOCKERCFG) == their_keys(oracle, config, DOCKERCFG)


@pytest.mark.parametrize(
    "key",
    [
        *(
            "[::1%25a b]",
            "[::1%25eth|0]",
            "[::1%25`0]",
            "[::1%25%C3]",
            "[::1%25%5Ba ]",
            "[::1%25a%2Fb]",
        ),
        *("[::1%25a%20b]", "[::1%25a%25]", "[::1%25]", "[fe80::1%2525A-Z]", "[::1%25\u00e4]"),
    ],
)
def test_a_zone_holds_what_a_host_may_hold(oracle: Oracle, key: str) -> None:
    """In a zone only those bytes may be escaped that could stand there plainly, and the space."""
    config = json.dumps({key: {}}).encode()
    assert our_keys(config, DOCKERCFG) == their_keys(oracle, config, DOCKERCFG)


@pytest.mark.parametrize(
    ("key", "repository"),
    [
        *(("[::A]", "A/foo"), ("[::1]", "[::1]/a"), ("[::1]:5000", "[::1]:5000/a")),
        *(("[fe80::1%2525A-Z]", "M/foo"), ("[fe80::1%2525M]*", "MYHOST/a")),
        *(
            ("[fe80::1%2525A-]", "A/foo"),
            ("[fe80::1%2525a]*M]", "A/foo"),
            ("[::ffff:1.2.3.4]", "A/foo"),
        ),
    ],
)
def test_an_ip_literal_without_a_port_reads_as_a_class_of_characters(
    oracle: Oracle, key: str, repository: str
) -> None:
    """`SplitHostPort` fails without a port, so that `filepath.Match` sees the brackets."""
    agree(oracle, [PullSecret.of("one", {"auths": {key: {"username": "bot"}}})], repository)


def test_a_bracket_behind_the_port_leaves_no_port(oracle: Oracle) -> None:
    """`SplitHostPort` refuses a stray bracket, which a zone may hold."""
    odd = PullSecret.of("one", {"auths": {"[fe80::1%2525A-]:443]": {"username": "bot"}}})
    agree(oracle, [odd], "[fe80::1%25A-]:443]/a")


@pytest.mark.parametrize(
    "auth",
    [
        *("dTpw", "dTpwcA", "dTpwcA==", "dTpw\n", "dT\r\npw", "dTpwcA=\n=", "dTpwcA==\n", "\ndTpw"),
        *("dTpwcA=", "dTpwcA=a", "dTpwcA=\na=", "dTpwcA==a", "dTpwcA==\n=", "dTpwcA== ", "dTpw "),
        *(
            "dTpwcHA=",
            "dTpwcHA=\n\n",
            "dTpwcHA==",
            "d===",
            "=",
            "==",
            "d",
            "dTp",
            "dTpwcB==",
            "dTpwcH",
        ),
        *("dT-w", "dT_w", "%%%", "\u00e4", "dTpw\u00a0", "dTpwcA==\u2003", "dTpwcA==\x1c", "bm8="),
    ],
)
def test_base64_is_taken_and_refused_at_the_same_byte(oracle: Oracle, auth: str) -> None:
    """Standard base64, padded or not, newlines inside or behind allowed."""
    agree(oracle, [PullSecret.of("one", {"auths": {"r.io": {"auth": auth}}})], "r.io/a")


@pytest.mark.parametrize(
    "config",
    [
        *(
            '{"HttpHeaders":[],"auths":{"r.io":{"auth":"%"}}}',
            '{"auths":1,"auths":{"r.io":{"auth":"%"}}}',
        ),
        *('{"auths":{"r.io":{"auth":"%"},"r.io":{}}}', '{"auths":{"a.io":{}},"auths":null}'),
        *(
            '{"auths":{"a.io":{}},"auths":{"b.io":{}}}',
            '{"auth\u017f":{"a.io":{"pa\u017fsword":1}}}',
        ),
        *('{"auths":{"r.io":{"pa\u00dfword":1}}}', '{"auths":{"\\ud800":{},"\\ude00\\ud83d":{}}}'),
        *(
            "null",
            "[]",
            '{"auths":{"r.io":null}}',
            '{"auths":{"r.io":[]}}',
            '{"auths":{"r.io":""}}',
        ),
    ],
)
def test_the_first_fault_by_gos_order_is_told(oracle: Oracle, config: str) -> None:
    """An entry's fault ends everything; wrong JSON types are told after all has been read."""
    raw = config.encode()
    assert our_keys(raw, DOCKER_CONFIG_JSON) == their_keys(oracle, raw, DOCKER_CONFIG_JSON)


@pytest.mark.parametrize("depth", [998, 5_000, 9_998, 9_999, 10_000])
@pytest.mark.parametrize("where", ['{"x":%s}', '{"auths":{"r.io":{"x":%s}}}', "%s"])
def test_a_deep_value_is_taken_to_the_same_depth(oracle: Oracle, depth: int, where: str) -> None:
    """Go stops at 10,000 levels; what is not read may be nested as deep as that."""
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        deep = opened * depth + "1" + closed * depth
        raw = (where % deep).encode()
        assert our_keys(raw, DOCKER_CONFIG_JSON) == their_keys(oracle, raw, DOCKER_CONFIG_JSON)
