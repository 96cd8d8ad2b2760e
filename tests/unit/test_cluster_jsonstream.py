"""Lists and watches are read as a whole parser would read them, however they are cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.cluster import jsonstream
from webhook.cluster.jsonstream import read_lines, read_list

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(1.5e300),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@given(st.lists(OBJECTS, max_size=4), OBJECTS, st.integers(1, 40), st.booleans(), st.booleans())
def test_any_list_cut_anywhere_is_read_whole(
    items: list[Any], others: dict[str, Any], size: int, first: bool, ascii_: bool
) -> None:
    others.pop("items", None)
    body = {"items": items} | others if first else others | {"items": items}
    content = json.dumps(body, ensure_ascii=ascii_, indent=1).encode("utf-8", "surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    taken: list[Any] = []
    assert read_list(cut(content, size), taken.append) == others
    assert taken == items


@given(st.lists(OBJECTS, max_size=4), st.integers(1, 40))
def test_any_watch_cut_anywhere_is_read_line_by_line(events: list[Any], size: int) -> None:
    content = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    assert list(read_lines(cut(content, size))) == events


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"1", b"{}", b'{"items"', b'{"items":', b'{"items":[', b'{"items":[{}'),
        *(b'{"a":1}', b'{"items":[{}]', b'{"items":{}}', b'{"items":[1]}', b'{"items":[{},]}'),
        b'{"items":[\xff]}',
    ],
)
def test_what_is_no_list_of_objects_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_list(cut(body, 3), lambda _: None)


def test_an_object_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "MAX_OBJECT", 1000)
    endless = iter(lambda: b"a" * 64, b"")
    with pytest.raises(ValueError, match="too large"):
        read_list((b'{"items":[{"a":"', *(next(endless) for _ in range(20))), lambda _: None)
    with pytest.raises(ValueError, match="too large"):
        list(read_lines(endless))
