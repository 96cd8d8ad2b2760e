"""Lists and watches of an API server, decoded object by object as they arrive.

A page of 500 nodes is 10 MB of JSON and five times that as Python's dicts; one object at
a time is a few kilobytes, so that what is kept of them does not lie scattered among what
was thrown away.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

MAX_OBJECT = 8 * 1024 * 1024
"""Characters of one object; the API server itself stores no more than 1.5 MiB."""

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


def read_list(
    chunks: Iterable[bytes], take: Callable[[Mapping[str, Any]], object]
) -> Mapping[str, Any]:
    """Give every object in ``items`` to ``take``, and return the other fields of the list.

    Raises ValueError for what is no list of objects, or holds one that is too large.
    """
    text = _Text(chunks)
    others: dict[str, Any] = {}
    is_list = False
    text.expect("{")
    more = text.peek() != "}"
    if not more:
        text.expect("}")
    while more:
        key = text.value()
        text.expect(":")
        if key == "items" and text.peek() == "[":
            is_list = True
            for item in text.items():
                if not isinstance(item, dict):
                    raise ValueError("an item is no object")
                take(item)
        else:
            others[str(key)] = text.value()
        more = text.expect(",}") == ","
    if not is_list:
        raise ValueError("no items")
    return others


def read_lines(chunks: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a watch, one a line. Raises ValueError for anything else."""
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        *lines, last = rest.split(b"\n")
        if len(last) > MAX_OBJECT:
            raise ValueError("too large")
        rest = last
        for line in lines:
            if line.strip():
                found = json.loads(line)
                if not isinstance(found, dict):
                    raise ValueError("no object")
                yield found


_UNFINISHED = re.compile(r"[-+.0-9eE]*")


class _Text:
    """JSON as it arrives: what was read of it is let go."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is no space, empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            raise ValueError(f"one of {characters} was expected")
        self._at += 1
        return found

    def value(self) -> Any:
        """Return the next value, whole."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._more():
                    raise
                continue
            # A number may go on in the next chunk: of "1.5e" the decoder takes 1.5.
            if _UNFINISHED.fullmatch(self._text, end) and self._more():
                continue
            self._at = end
            return found

    def items(self) -> Iterator[Any]:
        """Yield the values of the array that comes next."""
        self.expect("[")
        if self.peek() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return

    def _more(self) -> bool:
        if self._ended:
            return False
        chunk = next(self._chunks, None)
        self._ended = chunk is None
        text = self._decoder.decode(chunk or b"", final=self._ended)
        self._text = self._text[self._at :] + text
        self._at = 0
        if len(self._text) > MAX_OBJECT:
            raise ValueError("too large")
        return not self._ended
