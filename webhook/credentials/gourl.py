"""Go's ``net/url.Parse`` and ``filepath.Match``, as far as the kubelet's keyring uses them.

Python's own parsers accept and refuse other texts; an entry that Go drops must
not match here, and one that Go keeps must. Rules: ``net/url`` and
``path/filepath`` of Go 1.26, which builds the kubelet of Kubernetes 1.37.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_PORT = re.compile(rb"(?::[0-9]*)?")
_HOST_ASCII = frozenset(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$&'()*+,;=:[]<>\""
)
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_ASCII_END = 0x80
_ZONE = b"%25"
_SPACE = 0x20


@dataclass(frozen=True, slots=True)
class Url:
    """Host (with port, as written) and decoded path; the rest is of no use here."""

    host: str
    path: str


def parse_url(text: str) -> Url | None:
    """Parse an absolute http or https URL as Go does; None where Go returns an error."""
    text, _, fragment = text.partition("#")
    if any(ord(c) < _SPACE or ord(c) == 0x7F for c in text):  # noqa: PLR2004  # DEL
        return None
    if fragment and _unescape(_encode(fragment)) is None:
        return None
    scheme = _SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text
    rest = rest.partition("?")[0]
    host = b""
    if rest.startswith("//"):
        authority, slash, tail = rest[2:].partition("/")
        rest = slash + tail
        parsed = _authority(authority)
        if parsed is None:
            return None
        host = parsed
    path = _unescape(_encode(rest))
    return None if path is None else Url(_decode(host), _decode(path))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _authority(authority: str) -> bytes | None:
    userinfo, at, host = authority.rpartition("@")
    parsed = _host(_encode(host))
    if parsed is None or not at:
        return parsed
    if not _USERINFO.fullmatch(userinfo) or _unescape(_encode(userinfo)) is None:
        return None
    return parsed


def _host(host: bytes) -> bytes | None:
    bracket = host.rfind(b"[")
    if bracket > 0:
        return None
    if bracket == 0:
        return _ip_literal(host)
    colon = host.find(b":")
    if colon >= 0 and not _PORT.fullmatch(host[colon:]):
        return None
    return _unescape_host(host)


def _ip_literal(host: bytes) -> bytes | None:
    end = host.rfind(b"]")
    if end < 0 or not _PORT.fullmatch(host[end + 1 :]):
        return None
    inner = host[1:end]
    address, zone_mark, zone = inner.partition(_ZONE)
    plain = _unescape_host(address)
    if plain is None:
        return None
    if zone_mark:
        unescaped = _unescape(zone)
        if not unescaped:
            return None
        plain += b"%" + unescaped
    try:
        IPv6Address(_decode(plain))
    except (AddressValueError, ValueError):
        return None
    return b"[" + plain + b"]" + host[end + 1 :]


def _unescape_host(host: bytes) -> bytes | None:
    """Undo escapes of non-ASCII bytes; every other escape or odd character is an error."""
    for match in re.finditer(rb"%(..)?", host, re.DOTALL):
        if not _ESCAPE.fullmatch(match[0]):
            return None
        if int(match[0][1:], 16) < _ASCII_END and match[0] != _ZONE:
            return None
    plain = _ESCAPE.sub(b"", host)
    if any(byte < _ASCII_END and byte not in _HOST_ASCII for byte in plain):
        return None
    return _replace_escapes(host)


def _unescape(raw: bytes) -> bytes | None:
    if raw.count(b"%") != len(_ESCAPE.findall(raw)):
        return None
    return _replace_escapes(raw)


def _replace_escapes(raw: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[0][1:], 16)]), raw)


def split_host_port(host: str) -> tuple[str, str]:
    """Split as Go's ``net.SplitHostPort``; where that fails: all host, no port."""
    colon = host.rfind(":")
    if colon < 0:
        return host, ""
    if host.startswith("["):
        end = host.find("]")
        if end < 0 or end + 1 != colon:
            return host, ""
        name, rest = host[1:end], host[end + 1 :]
        brackets = "[" in name or "[" in rest or "]" in rest
    else:
        name = host[:colon]
        if ":" in name:
            return host, ""
        brackets = "[" in host or "]" in host
    return (host, "") if brackets else (name, host[colon + 1 :])


def glob_matches(pattern: str, name: str) -> bool:
    r"""Match as Go's ``filepath.Match``: ``*``, ``?``, ``[a-z]``, ``[^a]``, ``\`` escapes.

    A malformed pattern matches nothing. Time is at most the product of the lengths:
    the pattern comes out of a Secret, so it is hostile.
    """
    tokens = _tokens(pattern)
    if tokens is None:
        return False
    at_token = at_name = 0
    star, resume = -1, 0
    while at_name < len(name):
        if at_token < len(tokens) and tokens[at_token] is None:
            star, resume = at_token, at_name
            at_token += 1
        elif at_token < len(tokens) and _takes(tokens[at_token], name[at_name]):
            at_token += 1
            at_name += 1
        elif star >= 0 and name[resume] != "/":
            resume += 1
            at_token, at_name = star + 1, resume
        else:
            return False
    return all(token is None for token in tokens[at_token:])


@dataclass(frozen=True, slots=True)
class _Class:
    """A set of character ranges; ``?`` is the negation of none but the separator."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False


def _takes(token: "_Class | str | None", character: str) -> bool:
    if isinstance(token, str):
        return token == character
    if token is None:
        return False
    if not token.ranges:
        return character != "/"
    return any(low <= character <= high for low, high in token.ranges) != token.negated


def _tokens(pattern: str) -> "list[_Class | str | None] | None":
    tokens: list[_Class | str | None] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            tokens.append(None)
        elif character == "?":
            tokens.append(_Class(()))
        elif character == "[":
            parsed = _class(pattern, at)
            if parsed is None:
                return None
            token, at = parsed
            tokens.append(token)
        elif character == "\\":
            if at == len(pattern):
                return None
            tokens.append(pattern[at])
            at += 1
        else:
            tokens.append(character)
    return tokens


def _class(pattern: str, at: int) -> tuple[_Class, int] | None:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while pattern[at : at + 1] != "]" or not ranges:
        low = _class_character(pattern, at)
        if low is None:
            return None
        character, at = low
        high_character = character
        if pattern[at : at + 1] == "-":
            high = _class_character(pattern, at + 1)
            if high is None:
                return None
            high_character, at = high
        ranges.append((character, high_character))
    return _Class(tuple(ranges), negated), at + 1


def _class_character(pattern: str, at: int) -> tuple[str, int] | None:
    if pattern[at : at + 1] in ("", "-", "]"):
        return None
    if pattern[at] == "\\":
        at += 1
    if at >= len(pattern) - 1:
        return None
    return pattern[at], at + 1
