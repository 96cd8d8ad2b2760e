"""Markers that stand for secrets, and the search for one in whatever way it may be written."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

LENGTH = 24


def _forms(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield each way in which ``raw`` may be written; what compares cases is in lower case."""
    yield "plain", raw
    yield "reversed", raw[::-1]
    yield "hex", raw.hex().encode()
    yield "percent", b"".join(b"%%%02x" % byte for byte in raw)
    yield "escaped", b"".join(b"\\u%04x" % byte for byte in raw)
    yield "hex-escaped", b"".join(b"\\x%02x" % byte for byte in raw)
    for offset in range(3):
        # The characters at both ends hold bits of neighbours: those are left out.
        for alphabet, encode in (
            ("base64", base64.b64encode),
            ("base64url", base64.urlsafe_b64encode),
        ):
            whole = encode(b"\0" * offset + raw).rstrip(b"=")
            first = (offset * 8 + 5) // 6
            last = (offset + len(raw)) * 8 // 6
            yield f"{alphabet}+{offset}", whole[first:last]


@dataclass
class Markers:
    """Distinct markers, each named for the field that holds it."""

    names: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, name: str) -> str:
        """Return the marker of that name, made at its first mention."""
        if name not in self.names:
            digest = hashlib.sha512(name.encode()).digest()
            # Letters that need no escape anywhere, so that each form is the only one of its kind.
            self.names[name] = bytes(97 + byte % 26 for byte in digest[:LENGTH])
        return self.names[name].decode()

    def add(self, name: str, raw: bytes) -> None:
        """Take up something that was made elsewhere, such as a key."""
        self.names[name] = raw

    def found(self, text: str | bytes, names: Iterable[str] | None = None) -> list[str]:
        """Return ``name (form)`` of each marker that ``text`` holds in any form."""
        raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        views = (raw, raw.lower(), *_unescaped(raw))
        return sorted(
            {
                f"{name} ({form})"
                for name in (self.names if names is None else names)
                for form, needle in _forms(self.names[name])
                if any(needle in view for view in views)
            }
        )


def _unescaped(raw: bytes) -> Iterator[bytes]:
    """Yield what the strings of ``raw`` say, where it is JSON: escapes may hide a marker."""
    for line in [raw, *raw.splitlines()]:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        yield "\n".join(_strings(document)).encode("utf-8", "surrogatepass")


def _strings(document: object) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from _strings(key)
            yield from _strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value)
