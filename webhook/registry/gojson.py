"""What Go's ``encoding/json`` makes of a registry's document of some megabytes.

``webhook.credentials.gojson`` reads a docker config, a token at a time; here the text
goes through Python's own parser, which is written in C and agrees with Go's on what is
JSON once constants, depth and repeated keys are seen to. A value is a tuple of pairs
for an object, a list, a str, a :class:`Number`, a bool or None.

:class:`Struct` and its companions decode into what would be Go's structs: names match
in any case, a repeated name is decoded **into** what the first one left, ``null``
leaves a value as it is, and one wrong type anywhere refuses the whole document.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any, NoReturn, TypeAlias

from webhook.credentials.gojson import MAX_DEPTH, JsonError

_FOLDED = str.maketrans(ascii_uppercase + "\u017f\u212a", ascii_lowercase + "sk")
"""Two letters beyond ASCII fold to ASCII ones: the long s and the Kelvin sign."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"[ \t\n\r]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_INT64 = 1 << 63


class Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


Value: TypeAlias = "tuple[tuple[str, Any], ...] | list[Any] | str | bool | None"


def parse(raw: bytes) -> Value:
    """Parse a document. Raises JsonError, which quotes nothing of it."""
    text = raw.decode("utf-8", "pullproof-go")
    try:
        value: Value = _DECODER.decode(text)
    except RecursionError:
        return _Deep(text).document()
    except ValueError:
        _refuse()
    return _not_too_deep(value, text)


def parse_first(raw: bytes) -> Value:
    """Parse the value that ``raw`` begins with (``json.Decoder``). Raises JsonError."""
    text = raw.decode("utf-8", "pullproof-go")
    blank = _BLANK.match(text)
    value: Value
    try:
        value, _ = _DECODER.raw_decode(text, blank.end() if blank else 0)
    except RecursionError:
        return _Deep(text).first()
    except ValueError:
        _refuse()
    return _not_too_deep(value, text)


def _not_too_deep(value: Value, text: str) -> Value:
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise JsonError("exceeded max depth")
    return value


def member_names(value: Value) -> set[str]:
    """Return the folded names of an object's members; of anything else, none."""
    return {folded(name) for name, _ in value} if isinstance(value, tuple) else set()


def folded(name: str) -> str:
    """Return a name as Go compares it with those of a struct's fields."""
    return name.translate(_FOLDED)


def _refuse(*_: object) -> NoReturn:
    raise JsonError("invalid JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=tuple, parse_int=Number, parse_float=Number, parse_constant=_refuse
)


def _depth(value: Value) -> int:
    """Count the arrays and objects within each other, level by level."""
    depth = 0
    level: list[Any] = [value]
    while containers := [one for one in level if isinstance(one, (tuple, list))]:
        depth += 1
        level = [
            inner[1] if isinstance(one, tuple) else inner for one in containers for inner in one
        ]
    return depth


class _Deep:
    """A parser for what nests deeper than Python's goes, with a stack of its own."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[tuple[str, list[Any], list[str]]] = []

    def document(self) -> Value:
        done = self.first()
        if self._mark() != "":
            _refuse()
        return done

    def first(self) -> Value:
        done = self._value()
        while self._open:
            done = self._after(done)
        return done

    def _after(self, value: Value) -> Value:
        """Put a complete value where it belongs and return the one that is complete next."""
        closing, items, keys = self._open[-1]
        items.append(value)
        mark = self._mark()
        self._at += 1
        if mark == closing:
            return self._closed()
        if mark != ",":
            _refuse()
        if closing == "}":
            keys.append(self._key())
        return self._value()

    def _value(self) -> Value:
        """Return the next complete value, having opened all that begins before it."""
        while (mark := self._mark()) in ("[", "{"):
            if len(self._open) == MAX_DEPTH:
                raise JsonError("exceeded max depth")
            self._at += 1
            self._open.append(("]" if mark == "[" else "}", [], []))
            if self._mark() == self._open[-1][0]:
                self._at += 1
                return self._closed()
            if mark == "{":
                self._open[-1][2].append(self._key())
        return self._scalar()

    def _closed(self) -> Value:
        closing, items, keys = self._open.pop()
        return items if closing == "]" else tuple(zip(keys, items, strict=True))

    def _key(self) -> str:
        if self._mark() != '"':
            _refuse()
        key = self._scalar()
        if self._mark() != ":" or not isinstance(key, str):
            _refuse()
        self._at += 1
        return key

    def _scalar(self) -> Value:
        try:
            value: Value
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except ValueError:
            _refuse()
        return value

    def _mark(self) -> str:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at
        return self._text[self._at : self._at + 1]


Decode: TypeAlias = Callable[[Any, Value], Any]
"""Decodes a value into what stands there already; raises JsonError."""


def text(old: str, value: Value) -> str:
    """Decode into a ``string``."""
    if type(value) is str:
        return _LONE_SURROGATE.sub("\ufffd", value) if not value.isascii() else value
    return old if value is None else _wrong_type()


def boolean(old: bool, value: Value) -> bool:
    """Decode into a ``bool``."""
    if isinstance(value, bool):
        return value
    return old if value is None else _wrong_type()


def integer(old: int, value: Value) -> int:
    """Decode into an ``int`` or ``int64``: no fraction, no exponent, 64 bits."""
    if value is None:
        return old
    if not isinstance(value, Number) or not _INTEGER.fullmatch(value):
        _wrong_type()
    number = int(value)
    return number if -_INT64 <= number < _INT64 else _wrong_type()


def nothing(_: object, value: Value) -> None:
    """Decode into a ``struct{}``."""
    return None if value is None or isinstance(value, tuple) else _wrong_type()


def byte_text(old: bytes, value: Value) -> bytes:
    """Decode into a ``[]byte``: standard base64 with its padding, or an array of numbers."""
    if value is None:
        return b""
    if isinstance(value, list):
        octets = [*old[: len(value)], *bytes(max(0, len(value) - len(old)))]
        numbers = [integer(at, one) for at, one in zip(octets, value, strict=True)]
        return bytes(numbers) if all(0 <= one <= 0xFF for one in numbers) else _wrong_type()  # noqa: PLR2004  # a byte
    if type(value) is not str:
        _wrong_type()
    plain = value.replace("\r", "").replace("\n", "")
    if len(plain) % 4 or not _BASE64.fullmatch(plain):
        raise JsonError("illegal base64 data")
    return base64.b64decode(plain)


@dataclass(frozen=True, slots=True)
class Slice:
    """A Go slice: what lies behind its length comes to light again when it grows."""

    backing: tuple[Any, ...] = ()
    length: int = 0

    @property
    def items(self) -> tuple[Any, ...]:
        return self.backing[: self.length]


NO_SLICE = Slice()


@dataclass(frozen=True, slots=True)
class SliceOf:
    """Decode into a slice, element into element (``encoding/json`` does not clear them)."""

    element: Decode
    zero: Any

    def __call__(self, old: Slice, value: Value) -> Slice:
        if not value and (value is None or isinstance(value, list)):
            return NO_SLICE
        if not isinstance(value, list):
            _wrong_type()
        behind = old.backing
        done = [
            self.element(behind[at] if at < len(behind) else self.zero, one)
            for at, one in enumerate(value)
        ]
        return Slice((*done, *behind[len(done) :]), len(done))


@dataclass(frozen=True, slots=True)
class MapOf:
    """Decode into a map, of which nothing is kept: only its types matter."""

    element: Decode
    zero: Any

    def __call__(self, _: object, value: Value) -> None:
        if value is None:
            return
        if not isinstance(value, tuple):
            _wrong_type()
        for _, one in value:
            self.element(self.zero, one)


@dataclass(frozen=True, slots=True)
class Struct:
    """Decode into a struct: a mapping of those fields that were there.

    ``pointer``: into a pointer to one, which ``null`` takes away.
    """

    fields: Mapping[str, tuple[Decode, Any]]
    pointer: bool = False

    def __call__(self, old: Mapping[str, Any] | None, value: Value) -> Mapping[str, Any] | None:
        if value is None:
            return None if self.pointer else old
        if not isinstance(value, tuple):
            _wrong_type()
        now = dict(old or {})
        for name, member in value:
            key = folded(name)
            if key in self.fields:
                decode, zero = self.fields[key]
                now[key] = decode(now.get(key, zero), member)
        return now

    def read(self, value: Value) -> Mapping[str, Any]:
        """Decode a whole document (``json.Unmarshal``). Raises JsonError."""
        return self({}, value) or {}


def _wrong_type() -> NoReturn:
    raise JsonError("a value of another type than Go expects")
