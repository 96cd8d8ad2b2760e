"""TOML as go-toml 2.4.3 reads it, down to what it lets pass.

containerd 2.4 reads its ``hosts.toml`` with that library: TOML 1.1, and more lenient
where a value is of no use to it: a date or a number under an unknown key is never
looked at. Python's ``tomllib`` refuses files that nodes act on. Rules:
``unstable/parser.go`` of go-toml.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

MAX_NESTING = 10_000

Key = tuple[str, ...]
"""The parts of a dotted key."""


class TomlError(Exception):
    """go-toml refuses the document."""


class Kind(Enum):
    """What kind of scalar a text looks like; what it says is not looked at yet."""

    INTEGER = auto()
    FLOAT = auto()
    DATE_TIME = auto()
    LOCAL_DATE_TIME = auto()
    LOCAL_DATE = auto()
    LOCAL_TIME = auto()


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number or a date, as written."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Inline:
    """An inline table, its keys as written."""

    items: list[tuple[Key, "Value"]] = field(default_factory=list, repr=False)


Value: TypeAlias = str | bool | Scalar | list["Value"] | Inline


class Header(Enum):
    """Which kind of table a header opens."""

    TABLE = auto()
    ARRAY_TABLE = auto()


@dataclass(frozen=True, slots=True)
class Expression:
    """One top-level expression: a header, or a key with its value."""

    key: Key
    of: "Header | Value"


_CONTROL = r"\x00-\x08\x0a-\x1f\x7f"
_COMMENT = rf"#[^{_CONTROL}]*+"
_ESCAPE = r"""\\(?:["\\bfnrte]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})"""
_TRIMMED = r"\\[ \t]*\r?\n(?:[ \t\n]|\r\n)*+"
_IN_LINES = r"\x00-\x08\x0b-\x1f\x7f"

_SPACE = re.compile(r"[ \t]*+")
_BLANK = re.compile(rf"(?:[ \t]|\r?\n|{_COMMENT})*+")
_NEWLINE = re.compile(r"\r?\n")
_LINE_END = re.compile(rf"[ \t]*+(?:{_COMMENT})?(?:\r?\n|\Z)")
_BARE = re.compile(r"[A-Za-z0-9_-]++")
_BASIC = re.compile(rf'"((?:[^"\\{_CONTROL}]|{_ESCAPE})*+)"')
_LITERAL = re.compile(rf"'([^'{_CONTROL}]*+)'")
_BASIC_LINES = re.compile(
    rf'"""(?:\r?\n)?((?:[^"\\{_IN_LINES}]|\r\n|"{{1,2}}(?!")|{_ESCAPE}|{_TRIMMED})*+'
    r'"{0,2})"""(?!")'
)
_LITERAL_LINES = re.compile(
    rf"'''(?:\r?\n)?((?:[^'{_IN_LINES}]|\r\n|'{{1,2}}(?!'))*+'{{0,2}})'''(?!')"
)
_UNESCAPED = re.compile(rf"{_ESCAPE}|{_TRIMMED}")
_SHORT = dict(zip('"\\bfnrte', '"\\\b\f\n\r\t\x1b', strict=True))

_SURROGATES = range(0xD800, 0xE000)

_DATE_START = re.compile(r"[0-9]{2}:|[0-9]{4}-")
_DATE = re.compile(r"(?:[0-9:+.ZzTt-]| (?=[0-9]))++")
_DIGITS = r"[0-9](?:_?[0-9])*+"
_NUMBER = re.compile(
    r"0x[0-9A-Fa-f](?:_?[0-9A-Fa-f])*+|0o[0-7](?:_?[0-7])*+|0b[01](?:_?[01])*+"
    rf"|[+-]?(?:inf|nan)|[+-]?(?:0|[1-9](?:_?[0-9])*+)(\.{_DIGITS})?+([eE][+-]?{_DIGITS})?+"
)


def expressions(document: bytes) -> list[Expression]:
    """Return the top-level expressions in their order. Raises TomlError.

    Repeated keys are in it: see ``gotoml_checks.check_keys``.
    """
    try:
        text = document.decode()
    except UnicodeDecodeError:
        raise TomlError from None
    return list(_Parser(text).expressions())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def expressions(self) -> Iterator[Expression]:
        while True:
            self._skip(_SPACE)
            if self._at == len(self._text):
                return
            if self._skip(_NEWLINE):
                continue
            first = self._text[self._at]
            if first != "#":
                yield self._header() if first == "[" else Expression(*self._key_and_value())
            if not self._skip(_LINE_END):
                raise TomlError

    def _header(self) -> Expression:
        is_array = self._text.startswith("[[", self._at)
        brackets = 2 if is_array else 1
        self._at += brackets
        self._skip(_SPACE)
        key = self._key()
        self._expect("]" * brackets)
        return Expression(key, Header.ARRAY_TABLE if is_array else Header.TABLE)

    def _key_and_value(self) -> tuple[Key, Value]:
        key = self._key_and_equals()
        return key, self._value()

    def _key_and_equals(self) -> Key:
        key = self._key()
        self._expect("=")
        self._skip(_SPACE)
        return key

    def _key(self) -> Key:
        parts = []
        while True:
            parts.append(self._simple_key())
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1
            self._skip(_SPACE)

    def _simple_key(self) -> str:
        if (bare := self._match(_BARE)) is not None:
            return bare[0]
        if (literal := self._match(_LITERAL)) is not None:
            return literal[1]
        if (basic := self._match(_BASIC)) is not None:
            return _unescape(basic[1])
        raise TomlError

    def _value(self) -> Value:
        """Read a value; what is nested waits in a list, since a document may nest deep."""
        opened: list[_Opened] = []
        value = self._scalar_or_container()
        while True:
            if isinstance(value, _Opened):
                if len(opened) >= MAX_NESTING:
                    raise TomlError
                opened.append(value)
            elif opened:
                opened[-1].add(value)
            else:
                return value
            member = self._member(opened[-1])
            value = opened.pop().container if member is None else member

    def _member(self, within: "_Opened") -> "Value | _Opened | None":
        """Read up to the next member, None where the container ends."""
        while True:
            self._skip(_BLANK)
            if self._text.startswith(within.closing, self._at):
                self._at += 1
                return None
            if self._text.startswith(",", self._at):
                if not within.after_value:
                    raise TomlError
                within.after_value = False
                self._at += 1
                continue
            if within.after_value:
                raise TomlError
            if isinstance(within.container, Inline):
                within.key = self._key_and_equals()
            return self._scalar_or_container()

    def _scalar_or_container(self) -> "Value | _Opened":
        text, at = self._text, self._at
        match text[at : at + 1]:
            case '"':
                long = text.startswith('"""', at)
                return _unescape(self._matched(_BASIC_LINES if long else _BASIC)[1])
            case "'":
                long = text.startswith("'''", at)
                return self._matched(_LITERAL_LINES if long else _LITERAL)[1]
            case "t":
                self._expect("true")
                return True
            case "f":
                self._expect("false")
                return False
            case "[":
                self._at += 1
                return _Opened([], "]")
            case "{":
                self._at += 1
                return _Opened(Inline(), "}")
        if _DATE_START.match(text, at):
            return _date(self._matched(_DATE)[0])
        number = self._matched(_NUMBER)
        is_float = number[0].endswith(("inf", "nan")) or number[1] or number[2]
        return Scalar(Kind.FLOAT if is_float else Kind.INTEGER, number[0])

    def _expect(self, token: str) -> None:
        if not self._text.startswith(token, self._at):
            raise TomlError
        self._at += len(token)

    def _match(self, pattern: "re.Pattern[str]") -> "re.Match[str] | None":
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _matched(self, pattern: "re.Pattern[str]") -> "re.Match[str]":
        found = self._match(pattern)
        if found is None:
            raise TomlError
        return found

    def _skip(self, pattern: "re.Pattern[str]") -> bool:
        return self._match(pattern) is not None


@dataclass(slots=True)
class _Opened:
    """An array or inline table whose end has not come yet."""

    container: list[Value] | Inline
    closing: str
    after_value: bool = False
    key: Key = ()

    def add(self, value: Value) -> None:
        if isinstance(self.container, Inline):
            self.container.items.append((self.key, value))
        else:
            self.container.append(value)
        self.after_value = True


def _unescape(raw: str) -> str:
    return _UNESCAPED.sub(_unescaped, raw) if "\\" in raw else raw


def _unescaped(escape: "re.Match[str]") -> str:
    kind, digits = escape[0][1], escape[0][2:]
    if kind in "xuU":
        code = int(digits, 16)
        if code > sys.maxunicode or code in _SURROGATES:
            raise TomlError
        return chr(code)
    return _SHORT.get(kind, "")


def _date(text: str) -> Scalar:
    if text[2] == ":":
        return Scalar(Kind.LOCAL_TIME, text)
    delimiter = re.search("[Tt ]", text)
    if delimiter is None:
        return Scalar(Kind.LOCAL_DATE, text)
    has_offset = re.search("[Zz+-]", text[delimiter.end() :])
    return Scalar(Kind.DATE_TIME if has_offset else Kind.LOCAL_DATE_TIME, text)
