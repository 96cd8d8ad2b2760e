"""Go's ``encoding/json``, as far as a docker config goes through it.

Python's parser accepts other texts, forgets repeated keys and gives up at about
1,000 levels where Go goes on to 10,000; the kubelet's decides whether a pod can
pull at all. Rules: ``encoding/json`` of Go, whose struct fields match in any
case, whose last repeated key wins, and whose ``null`` leaves a value as it is.
"""

import codecs
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase
from typing import NoReturn, TypeAlias

MAX_DEPTH = 10_000
"""Arrays and objects within each other (``maxNestingDepth``)."""

_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
        (?P<mark>[{}\[\],:])
      | "(?P<text>(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+)"
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)
      | (?P<word>true|false|null)
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_FOLDED = str.maketrans(ascii_lowercase + "\u017f\u212a", ascii_uppercase + "SK")
"""Two letters beyond ASCII fold to ASCII ones: the long s and the Kelvin sign."""


class JsonError(ValueError):
    """The text or a value in it is not what Go's decoder takes; holds nothing secret."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with its members in order, repeated keys included."""

    members: "tuple[tuple[str, Json], ...]" = field(repr=False)

    def field(self, name: str) -> "Sequence[Json]":
        """Return every value that Go would put into the struct field ``name``, in order."""
        wanted = name.translate(_FOLDED)
        return [
            value
            for key, value in self.members
            if len(key) == len(name) and key.translate(_FOLDED) == wanted
        ]


@dataclass(frozen=True, slots=True)
class Other:
    """An array, a number or a bool: wrong wherever it is read, so only its kind is kept."""

    kind: str


Json: TypeAlias = JsonObject | Other | str | None


def parse(raw: bytes) -> Json:
    """Parse a document. Raises JsonError."""
    return _Parser(raw.decode("utf-8", "pullproof-go")).document()


def text_value(values: Iterable[Json], name: str) -> str:
    """Return what a string field holds after ``values``: the last wins, null leaves it.

    Raises JsonError for a value of another type.
    """
    text = ""
    for value in values:
        if isinstance(value, str):
            text = value
        elif value is not None:
            raise JsonError(f"cannot unmarshal {kind_of(value)} into {name} of type string")
    return text


def kind_of(value: Json) -> str:
    """Name the JSON type of a parsed value as Go's messages do."""
    if isinstance(value, Other):
        return value.kind
    return "object" if isinstance(value, JsonObject) else "string"


class _Open:
    """An array or object whose end has not been reached; ``key`` waits for its value."""

    def __init__(self, mark: str) -> None:
        self.is_object = mark == "{"
        self.closing = "}" if self.is_object else "]"
        self.key = ""
        self.members: list[tuple[str, Json]] = []

    def add(self, value: Json) -> None:
        if self.is_object:
            self.members.append((self.key, value))

    def closed(self) -> Json:
        return JsonObject(tuple(self.members)) if self.is_object else Other("array")


class _Parser:
    """A parser with a stack of its own: depth costs memory, never Python's recursion."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[_Open] = []

    def document(self) -> Json:
        value = self._value(self._next())
        while self._open:
            value = self._after(self._open[-1], value)
        if self._next()["end"] is None:
            _refuse()
        return value

    def _after(self, inner: _Open, value: Json) -> Json:
        """Put ``value`` where it belongs and return the value that is complete next."""
        inner.add(value)
        mark = self._next()["mark"]
        if mark == inner.closing:
            return self._open.pop().closed()
        if mark != ",":
            _refuse()
        token = self._next()
        return self._value(self._keyed(inner, token) if inner.is_object else token)

    def _value(self, token: "re.Match[str]") -> Json:
        """Return the next complete value, having opened all that begins before it."""
        while (mark := token["mark"]) in ("[", "{"):
            if len(self._open) == MAX_DEPTH:
                raise JsonError("exceeded max depth")
            inner = _Open(mark)
            self._open.append(inner)
            token = self._next()
            if token["mark"] == inner.closing:
                return self._open.pop().closed()
            if inner.is_object:
                token = self._keyed(inner, token)
        return _scalar(token)

    def _keyed(self, inner: _Open, token: "re.Match[str]") -> "re.Match[str]":
        """Read a member's key and colon; return the token that begins its value."""
        if token["text"] is None or self._next()["mark"] != ":":
            _refuse()
        inner.key = _text(token["text"])
        return self._next()

    def _next(self) -> "re.Match[str]":
        token = _TOKEN.match(self._text, self._at)
        if token is None:
            _refuse()
        self._at = token.end()
        return token


def _scalar(token: "re.Match[str]") -> Json:
    if token["text"] is not None:
        return _text(token["text"])
    if token["number"] is not None:
        return Other("number")
    if token["word"] is None:
        _refuse()
    return None if token["word"] == "null" else Other("bool")


def _text(quoted: str) -> str:
    r"""Undo escapes; a lone ``\ud800`` becomes U+FFFD, as in Go."""
    if "\\" not in quoted:
        return quoted
    return _LONE_SURROGATE.sub("\ufffd", json.loads(f'"{quoted}"'))


def _refuse() -> NoReturn:
    # Nothing of the document is quoted: here, that is a secret.
    raise JsonError("invalid JSON")


def _one_mark_a_byte(error: UnicodeError) -> tuple[str, int]:
    """Replace each invalid byte by U+FFFD, as Go does; Python's own handler joins some."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("pullproof-go", _one_mark_a_byte)
