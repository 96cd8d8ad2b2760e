"""Docker configs, decoded as the kubelet decodes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.hostile import grows_linearly
from webhook.credentials.dockerconfig import (
    Entry,
    Undecodable,
    decode_base64,
    docker_config_json,
    dockercfg,
    entries_of,
)
from webhook.credentials.secret import (
    DOCKER_CONFIG_JSON_KEY,
    DOCKER_CONFIG_JSON_TYPE,
    DOCKERCFG_KEY,
    DOCKERCFG_TYPE,
    Secret,
)

GOOD = {"auth": base64.b64encode(b"bot:pw").decode()}


def pairs(config: Any) -> list[tuple[str, str, str]]:
    got = docker_config_json(json.dumps(config).encode())
    assert not isinstance(got, Undecodable), got
    return [(e.location, e.username, e.password) for e in got]


def of_entry(entry: Any) -> tuple[str, str]:
    [(_, username, password)] = pairs({"auths": {"r.io": entry}})
    return username, password


def reason(raw: bytes) -> str:
    got = docker_config_json(raw)
    assert isinstance(got, Undecodable), got
    return got.reason


def test_a_non_empty_auth_wins_over_user_and_password() -> None:
    assert of_entry({**GOOD, "username": "a", "password": "b"}) == ("bot", "pw")
    assert of_entry({"auth": "", "username": "a", "password": "b"}) == ("a", "b")
    assert of_entry({"auth": None, "username": "a", "password": "b"}) == ("a", "b")


def test_auth_splits_at_the_first_colon() -> None:
    assert of_entry({"auth": base64.b64encode(b"u:p:q").decode()}) == ("u", "p:q")
    assert of_entry({"auth": base64.b64encode(b":").decode()}) == ("", "")


@pytest.mark.parametrize(
    "entry", [{}, None, {"username": None}, {"identitytoken": "t"}, {"auth": ""}]
)
def test_an_empty_entry_is_anonymous(entry: Any) -> None:
    assert of_entry(entry) == ("", "")


def test_names_are_case_insensitive_and_of_a_repeated_one_the_last_wins() -> None:
    raw = b'{"AUTHS":{"r.io":{"UserName":"a","username":"b","PASSWORD":"c","password":null}}}'
    assert docker_config_json(raw) == (Entry("r.io", "b", "c"),)
    assert docker_config_json('{"auth\u017f":{"r.io":null}}'.encode()) == (Entry("r.io", "", ""),)


def test_other_members_are_ignored_silently_whatever_they_hold() -> None:
    ignored = {name: [1] for name in ("identitytoken", "registrytoken", "serveraddress", "x")}
    assert of_entry({**GOOD, **ignored}) == ("bot", "pw")
    assert pairs({"credHelpers": {"r.io": "x"}, "credsStore": 1, "HttpHeaders": {"a": "b"}}) == []


def test_a_repeated_auths_adds_and_null_empties() -> None:
    raw = b'{"auths":{"a.io":{},"b.io":{}},"auths":{"b.io":{"username":"x"}}}'
    assert docker_config_json(raw) == (Entry("a.io", "", ""), Entry("b.io", "x", ""))
    assert docker_config_json(b'{"auths":{"a.io":{}},"auths":null}') == ()


@pytest.mark.parametrize(
    "config", [None, {}, {"auths": None}, {"auths": {}}, {"HttpHeaders": None}]
)
def test_null_is_fine_everywhere(config: Any) -> None:
    assert pairs(config) == []


@pytest.mark.parametrize("wrong", ["text", 1, True, [], [{}]])
def test_a_wrong_type_where_something_is_read_makes_it_undecodable(wrong: Any) -> None:
    configs: list[Any] = [
        {"auths": wrong},
        {"auths": {"r.io": wrong}},
        {"HttpHeaders": wrong},
        wrong,
    ]
    if not isinstance(wrong, str):
        fields = ("auth", "username", "password", "email")
        configs += [{"auths": {"r.io": {**GOOD, name: wrong}}} for name in fields]
        configs += [{"HttpHeaders": {"a": wrong}}]
    for config in configs:
        assert reason(json.dumps(config).encode()).startswith("json: cannot unmarshal ")


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ("%%%", "illegal base64 data at input byte 0"),
        ("dTp-", "illegal base64 data at input byte 3"),
        ("dTp_", "illegal base64 data at input byte 3"),
        ("dTpw ", "illegal base64 data at input byte 4"),
        ("dTpwcA=", "illegal base64 data at input byte 7"),
        ("dTpwcA==\u00a0", "illegal base64 data at input byte 8"),
        ("dTpwcHA==", "illegal base64 data at input byte 8"),
        (
            "bm9jb2xvbg==",
            "unable to parse auth field, must be formatted as base64(username:password)",
        ),
    ],
)
def test_one_undecodable_entry_has_gos_own_words(auth: str, words: str) -> None:
    config = {"auths": {"good.io": GOOD, "bad.io": {"auth": auth}, "last.io": {}}}
    assert docker_config_json(json.dumps(config).encode()) == Undecodable(words, "bad.io")


def test_a_fault_in_an_entry_that_is_overwritten_later_counts_all_the_same() -> None:
    assert reason(b'{"auths":{"r.io":{"auth":"%"},"r.io":{}}}').startswith("illegal base64")
    assert reason(b'{"auths":{"r.io":{"auth":"%"}},"auths":null}').startswith("illegal base64")


def test_an_entrys_fault_is_told_before_a_wrong_type_elsewhere() -> None:
    assert reason(b'{"HttpHeaders":1,"auths":{"r.io":{"auth":"%"}}}').startswith("illegal base64")
    assert reason(b'{"auths":1,"auths":{"r.io":{"auth":"%"}}}').startswith("illegal base64")


@given(st.binary(max_size=40), st.booleans(), st.lists(st.integers(0, 60), max_size=4))
def test_base64_is_taken_padded_or_not_with_newlines_anywhere(
    raw: bytes, padded: bool, breaks: list[int]
) -> None:
    """Standard base64, padded or not, newlines inside or behind allowed."""
    text = base64.b64encode(raw).decode()
    text = text if padded else text.rstrip("=")
    for at in breaks:
        text = text[:at] + "\r\n" + text[at:]
    assert decode_base64(text) == raw


@given(st.text("QUJD=-_ \n\u00e9", max_size=12))
def test_no_auth_raises(text: str) -> None:
    got = decode_base64(text)
    assert isinstance(got, bytes) or 0 <= got <= len(text.encode())


def test_bytes_that_are_no_utf8_survive_for_the_wire() -> None:
    username, password = of_entry({"auth": base64.b64encode(b"\xff:\xe2\x82").decode()})
    assert username.encode("utf-8", "surrogateescape") == b"\xff"
    assert password.encode("utf-8", "surrogateescape") == b"\xe2\x82"


@pytest.mark.parametrize(
    ("type_", "key", "content", "entries"),
    [
        (DOCKER_CONFIG_JSON_TYPE, DOCKER_CONFIG_JSON_KEY, {"auths": {"r.io": GOOD}}, 1),
        (DOCKERCFG_TYPE, DOCKERCFG_KEY, {"r.io": GOOD}, 1),
        (DOCKER_CONFIG_JSON_TYPE, DOCKER_CONFIG_JSON_KEY, {"r.io": GOOD}, 0),
        (DOCKERCFG_TYPE, DOCKERCFG_KEY, {"auths": {"r.io": GOOD}}, 1),
        (DOCKER_CONFIG_JSON_TYPE, DOCKERCFG_KEY, {"r.io": GOOD}, None),
        (DOCKERCFG_TYPE, DOCKER_CONFIG_JSON_KEY, {"auths": {"r.io": GOOD}}, None),
        ("Opaque", DOCKER_CONFIG_JSON_KEY, {"auths": {"r.io": GOOD}}, None),
        ("kubernetes.io/basic-auth", "username", "bot", None),
        ("", DOCKERCFG_KEY, {"r.io": GOOD}, None),
    ],
)
def test_type_and_key_must_agree(type_: str, key: str, content: Any, entries: int | None) -> None:
    got = entries_of(Secret("shop", "pull", type_, {key: json.dumps(content).encode()}))
    assert not isinstance(got, Undecodable)
    assert (None if got is None else len(got)) == entries


def test_an_empty_value_is_passed_over() -> None:
    secret = Secret("shop", "pull", DOCKER_CONFIG_JSON_TYPE, {DOCKER_CONFIG_JSON_KEY: b""})
    assert entries_of(secret) is None


def test_the_flat_form_knows_no_null_problem_either() -> None:
    assert dockercfg(b"null") == ()
    assert dockercfg(b'{"r.io":null}') == (Entry("r.io", "", ""),)
    assert isinstance(dockercfg(b"[]"), Undecodable)
    assert isinstance(dockercfg(b"{"), Undecodable)


@pytest.mark.parametrize("piece", ["dTpw", "\n", "=", "d", " ", "\u00e9"])
def test_time_is_linear_in_a_hostile_auth(piece: str) -> None:
    grows_linearly(lambda size: "dTpw" + piece * size + "=", decode_base64)


@pytest.mark.parametrize(
    "unit", [b'"a.io":{}', b'"a":{"username":1}', b'"":null', b'"a":{"auth":"dTpw"}']
)
def test_time_is_linear_in_the_number_of_entries(unit: bytes) -> None:
    grows_linearly(lambda size: b"{" + b",".join([unit] * (size // len(unit))) + b"}", dockercfg)


@pytest.mark.parametrize("member", [b'"username":null', b'"x":1', b'"AUTH":""'])
def test_time_is_linear_in_the_members_of_an_entry(member: bytes) -> None:
    def make(size: int) -> bytes:
        return b'{"r.io":{' + b",".join([member] * (size // len(member))) + b"}}"

    grows_linearly(make, dockercfg)
