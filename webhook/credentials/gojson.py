"""Go's ``encoding/json``, as far as a docker config goes through it.

Python's parser accepts other texts and forgets repeated keys; the kubelet's
decides whether a pod can pull at all. Rules: ``encoding/json`` of Go, whose
struct fields match in any case, whose last repeated key wins, and whose ``null``
leaves a value as it is.
"""

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class JsonError(ValueError):
    """The text or a value in it is not what Go's decoder takes; holds nothing secret."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """A JSON object with its members in order, repeated keys included."""

    members: tuple[tuple[str, Any], ...]

    def field(self, name: str) -> Sequence[Any]:
        """Return every value that Go would put into the struct field ``name``, in order."""
        wanted = _fold(name)
        return [value for key, value in self.members if _fold(key) == wanted]


_FOLDED = {"\u017f": "S", "\u212a": "K"}
"""Two letters beyond ASCII fold to ASCII ones: the long s and the Kelvin sign."""


def _fold(name: str) -> str:
    return "".join(_FOLDED.get(c, c.upper() if c.isascii() else c) for c in name)


class _Number(str):
    """A JSON number, kept as text: only its not being a string matters."""

    __slots__ = ()


def _one_mark_a_byte(error: UnicodeError) -> tuple[str, int]:
    """Replace each invalid byte by U+FFFD, as Go does; Python's own handler joins some."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("pullproof-go", _one_mark_a_byte)


def parse(raw: bytes) -> Any:
    """Parse a document; objects become :class:`JsonObject`. Raises JsonError."""
    try:
        return json.loads(
            raw.decode("utf-8", "pullproof-go"),
            object_pairs_hook=_object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
        )
    except RecursionError:
        # Go stops at 10,000 levels, Python's parser at about 1,000; no docker config has five.
        raise JsonError("exceeded max depth") from None
    except JsonError:
        raise
    except ValueError:
        # The parser's own text quotes the document: here, that is a secret.
        raise JsonError("invalid JSON") from None


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    return JsonObject(tuple((_well_formed(key), value) for key, value in pairs))


def _no_constant(name: str) -> Any:
    raise JsonError(f"invalid character '{name[0]}' looking for beginning of value")


def text_value(values: Sequence[Any], name: str) -> str:
    """Return what a string field holds after ``values``: the last wins, null leaves it.

    Raises JsonError for a value of another type.
    """
    text = ""
    for value in values:
        if value is None:
            continue
        if isinstance(value, _Number) or not isinstance(value, str):
            raise JsonError(f"cannot unmarshal {kind_of(value)} into {name} of type string")
        text = _well_formed(value)
    return text


def kind_of(value: Any) -> str:
    """Name the JSON type of a parsed value as Go's messages do."""
    if isinstance(value, JsonObject):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, _Number) else "string"


def _well_formed(text: str) -> str:
    r"""Replace a lone ``\ud800`` escape by U+FFFD, as Go does."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
