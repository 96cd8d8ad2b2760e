"""``WWW-Authenticate`` as containerd reads it.

Reproduces ``remotes/docker/auth.ParseAuthHeader`` of containerd 2.4: one challenge
a header line (the first of it), the scheme in any case, and of several lines
Bearer before Digest before Basic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BLANK = " \t\r\n"


class Scheme(IntEnum):
    """What a registry asks for, the most wanted first."""

    BEARER = 0
    DIGEST = 1
    BASIC = 2


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge; the names of ``parameters`` are in lower case."""

    scheme: Scheme
    parameters: Mapping[str, str] = field(repr=False)


def parse_challenges(lines: Iterable[str]) -> tuple[Challenge, ...]:
    """Return the challenges of all header lines, most wanted first; others are left out."""
    found = [c for c in map(_challenge, lines) if c is not None]
    return tuple(sorted(found, key=lambda c: c.scheme))


def _challenge(line: str) -> Challenge | None:
    scheme, rest = _token(line)
    if not scheme:
        return None
    try:
        named = Scheme[scheme.upper()]
    except KeyError:
        return None
    return Challenge(named, _parameters(rest))


def _parameters(rest: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while True:
        key, rest = _token(rest.lstrip(_BLANK))
        if not key or not rest.startswith("="):
            return parameters
        parameters[key.lower()], rest = _token_or_quoted(rest[1:])
        rest = rest.lstrip(_BLANK)
        if not rest.startswith(","):
            return parameters
        rest = rest[1:]


def _token(text: str) -> tuple[str, str]:
    end = next((n for n, c in enumerate(text) if c not in _TOKEN), len(text))
    return text[:end], text[end:]


def _token_or_quoted(text: str) -> tuple[str, str]:
    if not text.startswith('"'):
        return _token(text)
    value: list[str] = []
    escaped = False
    for at, character in enumerate(text[1:], start=1):
        if not escaped and character == '"':
            return "".join(value), text[at + 1 :]
        escaped = not escaped and character == "\\"
        if not escaped:
            value.append(character)
    return "", ""
