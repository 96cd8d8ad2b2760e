"""YAML and JSON as the kubelet reads a configuration file: strictly, into plain values.

Reproduces the decoders of ``k8s.io/apimachinery/pkg/runtime/serializer`` in their
strict mode (1.37), as far as a document of text, lists and objects goes through them:
a text that begins with ``{`` is JSON and nothing else, any other is YAML 1.1 as
``sigs.k8s.io/yaml`` reads it; a repeated key is a fault in both. What YAML offers
beyond that (tags of its own, keys that are no text) is refused.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import yaml

from webhook.credentials.gojson import JsonError
from webhook.credentials.gojson import parse as check_json

MAX_DEPTH = 100
"""Lists and objects within each other; what is decoded here has five levels."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(["true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"])
_FALSE = frozenset(["false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"])
_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0o[0-7]+|[0-9]+"
    r"|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)",
    re.ASCII,
)


class Fault(ValueError):  # noqa: N818 - a fault of a text, told to people in these words
    """What is wrong with a document, and where; holds none of its values."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number: wrong wherever it is read, so only its kind is kept."""


Value: TypeAlias = "dict[str, Value] | list[Value] | str | bool | Number | None"


def read_document(raw: bytes) -> Value:
    """Read a document; of several YAML documents the first. Raises Fault."""
    try:
        text = raw.decode("utf-8", "pullproof-go")
        if text.lstrip(_SPACE).startswith("{"):
            return _json(raw, text)
    except (JsonError, RecursionError):
        raise Fault("is not JSON") from None
    return _yaml(raw)


def _json(raw: bytes, text: str) -> Value:
    # Python takes what Go refuses (NaN, control characters): Go's grammar comes first.
    check_json(raw)
    value: Value = json.loads(
        text, object_pairs_hook=_members, parse_int=_number, parse_float=_number
    )
    return _whole(value)


def _whole(value: Value) -> Value:
    r"""Make a lone ``\ud800`` U+FFFD, as in Go."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return _members([(str(_whole(key)), _whole(one)) for key, one in value.items()])
    return value


def _number(_: str) -> Number:
    return Number()


def _members(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Fault("a key stands twice in one object")
    return members


@dataclass(slots=True)
class _Open:
    """A list or an object whose end has not been reached; ``key`` waits for its value."""

    anchor: str | None
    value: "dict[str, Value] | list[Value]"
    key: str | None = None
    merges: bool = False

    def add(self, value: Value, *, plain: bool) -> None:
        if isinstance(self.value, list):
            self.value.append(value)
        elif self.key is None and not self.merges:
            if not isinstance(value, str):
                raise Fault("a key is not a text")
            self.merges = plain and value == "<<"
            self.key = None if self.merges else value
        elif self.merges:
            self.merges = False
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, dict):
                    raise Fault("what is merged is not an object")
                for key, item in one.items():
                    self._put(self.value, key, item)
        else:
            self._put(self.value, self.key or "", value)
            self.key = None

    @staticmethod
    def _put(members: "dict[str, Value]", key: str, value: Value) -> None:
        if key in members:
            raise Fault("a key stands twice in one object")
        members[key] = value


def _yaml(raw: bytes) -> Value:
    opened: list[_Open] = []
    anchors: dict[str, Value] = {}
    for event in _events(raw):
        plain = False
        if isinstance(event, yaml.CollectionStartEvent):
            if len(opened) == MAX_DEPTH:
                raise Fault("is nested too deeply")
            if event.tag not in _COLLECTION_TAGS:
                raise Fault("a tag of YAML is not read here")
            empty: dict[str, Value] | list[Value] = (
                {} if isinstance(event, yaml.MappingStartEvent) else []
            )
            opened.append(_Open(event.anchor, empty))
            continue
        value: Value
        if isinstance(event, yaml.CollectionEndEvent):
            done = opened.pop()
            value, anchor = done.value, done.anchor
        elif isinstance(event, yaml.ScalarEvent):
            value, anchor = _scalar(event), event.anchor
            plain = event.implicit[0] and event.tag is None
        elif isinstance(event, yaml.AliasEvent) and event.anchor in anchors:
            value, anchor = anchors[event.anchor], None
        else:
            raise Fault("an alias of what was not anchored before it")
        if anchor is not None:
            anchors[anchor] = value
        if not opened:
            return value
        opened[-1].add(value, plain=plain)
    return None


def _events(raw: bytes) -> Iterator[yaml.Event]:
    """Yield what the first document consists of."""
    outer = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
    try:
        for event in yaml.parse(raw, Loader=_LOADER):
            if isinstance(event, (yaml.DocumentEndEvent, yaml.StreamEndEvent)):
                return
            if not isinstance(event, outer):
                yield event
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser's own words may quote the text, and that may hold a secret.
        raise Fault("is not YAML") from None


def _scalar(event: yaml.ScalarEvent) -> Value:
    text = str(event.value)
    if event.tag not in _STRING_TAGS:
        raise Fault("a tag of YAML is not read here")
    if not event.implicit[0] or event.tag is not None:
        return text
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    number = text.replace("_", "") if text[:1] in "+-.0123456789" else text
    return Number() if _NUMBER.fullmatch(number) else text
