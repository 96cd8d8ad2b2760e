"""JSON documents with the position of every key and value, for what YAML cannot read.

Escaped surrogate pairs and documents that follow each other without a separator
are JSON and no YAML; kubectl takes both.
"""

import json
from bisect import bisect_right
from typing import Any

from webhook.cluster.yamltext import MAX_DEPTH, Entry, Node

_SPACE = " \t\n\r"


def parse(text: str) -> list[Node] | None:
    """Read every document of ``text``; None where it is no JSON. Lines and columns are 1-based."""
    reader = _Reader(text)
    found = []
    try:
        while reader.more():
            found.append(reader.value(0))
    except (ValueError, IndexError):
        return None
    return found


class _Reader:
    """Reads values one after the other; raises ValueError or IndexError where none stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [n for n, character in enumerate(text) if character == "\n"]
        self._scalar = json.JSONDecoder().raw_decode

    def more(self) -> bool:
        """Pass over white space; tell whether anything follows."""
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1
        return self._at < len(self._text)

    def value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        self.more()
        line, column = self._position()
        opening = self._text[self._at]
        read: Any
        if opening == "{":
            read = self._entries(depth)
        elif opening == "[":
            read = self._items(depth)
        elif opening == '"':
            read = self._string()
        else:
            read, self._at = self._scalar(self._text, self._at)
        return Node(line, column, read)

    def _entries(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while self._goes_on("}", first=not entries):
            self.more()
            line, column = self._position()
            key = self._string()
            self._expect(":")
            entries[key] = Entry(line, column, self.value(depth + 1))
        return entries

    def _items(self, depth: int) -> list[Node]:
        items: list[Node] = []
        while self._goes_on("]", first=not items):
            items.append(self.value(depth + 1))
        return items

    def _goes_on(self, end: str, *, first: bool) -> bool:
        """Pass over what opens or parts a collection; tell whether anything follows in it."""
        if first:
            self._at += 1
            self.more()
            if self._text[self._at] != end:
                return True
            self._at += 1
            return False
        self.more()
        if self._text[self._at] == end:
            self._at += 1
            return False
        self._expect(",")
        return True

    def _string(self) -> str:
        self.more()
        if self._text[self._at] != '"':
            raise ValueError("no string")
        text: str
        text, self._at = self._scalar(self._text, self._at)
        # Half a surrogate pair is no text; Go's decoder puts U+FFFD there too.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _expect(self, character: str) -> None:
        self.more()
        if self._text[self._at] != character:
            raise ValueError(f"no {character}")
        self._at += 1

    def _position(self) -> tuple[int, int]:
        before = bisect_right(self._lines, self._at - 1)
        return before + 1, self._at - (self._lines[before - 1] if before else -1)
