"""JSON as Go's decoder takes it."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.hostile import grows_linearly
from webhook.credentials.gojson import (
    MAX_DEPTH,
    JsonError,
    JsonObject,
    Other,
    kind_of,
    parse,
    text_value,
)


def members(raw: bytes) -> list[tuple[str, object]]:
    got = parse(raw)
    assert isinstance(got, JsonObject)
    return list(got.members)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        *((b"[]", "array"), (b"[[1],{}]", "array"), (b"1", "number"), (b"-0.5e+3", "number")),
        *((b"true", "bool"), (b" false\r\n", "bool"), (b'"x"', "string"), (b"\t{}", "object")),
    ],
)
def test_a_value_is_named_by_its_kind(raw: bytes, kind: str) -> None:
    assert kind_of(parse(raw)) == kind


def test_repeated_keys_are_all_kept_in_order() -> None:
    assert members(b'{"a":"1","b":null,"a":"2"}') == [("a", "1"), ("b", None), ("a", "2")]


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b" ",
            b"{",
            b"}",
            b"[",
            b"]",
            b"{]",
            b"[}",
            b'{"a"}',
            b'{"a":}',
            b'{"a":1,}',
            b"{,}",
        ),
        *(b"[1,]", b"[,1]", b"[1 2]", b"{}{}", b"{} x", b"nul", b"NaN", b"Infinity", b"-Infinity"),
        *(b"01", b"1.", b".5", b"+1", b"-", b"1e", b"0x1", b"'a'", b"{a:1}", b"{1:2}", b"/**/{}"),
        *(b'"a\n"', b'"\t"', b'"\\x"', b'"\\u12"', b'"\\u12g4"', b'"', b'"\\"', b"\xef\xbb\xbf{}"),
        *(b"\x0b{}", b"\xc2\xa0{}", b"\xff", b'{"a":1 "b":2}', b":", b",", b'{"a",1}', b"true1"),
    ],
)
def test_what_go_calls_no_json_is_none(raw: bytes) -> None:
    with pytest.raises(JsonError):
        parse(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'"\"\\\/\b\f\n\r\t"', '"\\/\b\f\n\r\t'),
        (rb'"\u00e9\ud83d\ude00"', "\u00e9\U0001f600"),
        (rb'"\ud800"', "\ufffd"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (b'"\xff\xe2\x82"', "\ufffd" * 3),
        (b'"\xed\xa0\x80"', "\ufffd" * 3),
        (b'"\x7f\xef\xbb\xbf"', "\x7f\ufeff"),
    ],
)
def test_text_is_read_as_go_reads_it(raw: bytes, text: str) -> None:
    """A lone surrogate and each byte that is no UTF-8 become U+FFFD."""
    assert parse(raw) == text


@pytest.mark.parametrize("name", ["auth", "AUTH", "Auth", "aUtH"])
def test_a_field_matches_in_any_case(name: str) -> None:
    got = parse(json.dumps({name: "x"}).encode())
    assert isinstance(got, JsonObject)
    assert got.field("auth") == ["x"]


def test_the_long_s_and_the_kelvin_sign_fold_and_no_other_letter() -> None:
    got = JsonObject((("pa\u017f\u017fword", "1"), ("pa\u00dfword", "2"), ("p\u0430ssword", "3")))
    assert got.field("password") == ["1"]
    assert JsonObject((("\u212aey", "1"),)).field("key") == ["1"]


def test_of_several_values_the_last_wins_and_null_leaves_it() -> None:
    assert text_value(["a", None], "auth") == "a"
    assert text_value(["a", "b", ""], "auth") == ""
    assert text_value([], "auth") == ""
    for wrong in (Other("number"), JsonObject(())):
        with pytest.raises(JsonError, match=r"cannot unmarshal (number|object) into auth of type"):
            text_value(["a", wrong], "auth")


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_values_may_be_nested_ten_thousand_levels_deep(opened: str, closed: str) -> None:
    """Go accepts 10,000 levels: a value that nobody reads must not break the pull secret."""
    times = MAX_DEPTH // (opened + closed).count(closed[0]) // len(closed)
    deep = opened * times + "1" + closed * times
    parse(deep.encode())
    with pytest.raises(JsonError, match="exceeded max depth"):
        parse(f"[{deep}]".encode())


@given(
    st.recursive(
        st.none() | st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=15,
    )
)
def test_everything_that_json_writes_is_read(value: object) -> None:
    got = parse(json.dumps(value).encode())
    if isinstance(value, dict):
        assert isinstance(got, JsonObject)
        assert [key for key, _ in got.members] == list(value)
    if isinstance(value, str):
        assert got == value


@given(st.binary(), st.text('{}[]:,"\\ntrue01-.eu \n', max_size=20))
def test_no_bytes_raise_anything_else(noise: bytes, near: str) -> None:
    for raw in (noise, near.encode()):
        try:
            parse(raw)
        except JsonError as error:
            assert error.__cause__ is None
            assert error.__context__ is None


@pytest.mark.parametrize(
    "raw",
    [
        *(b"[", b'{"a":', b"[]", b"1,", b'"', b'"",', b'"":1,', b"\\n", b"\\ud800", b"\xff", b" "),
        *(b"0", b"1e", b"-", b"\\", b"tru", b"{}"),
    ],
)
@pytest.mark.parametrize(
    "frame", [(b"", b""), (b'{"a":[', b"]}"), (b'{"', b'":1}'), (b'{"a":"', b'"}')]
)
def test_time_is_linear_in_hostile_json(raw: bytes, frame: tuple[bytes, bytes]) -> None:
    def work(text: bytes) -> None:
        with suppress(JsonError):
            parse(text)

    grows_linearly(lambda size: frame[0] + raw * (size // len(raw)) + frame[1], work)
