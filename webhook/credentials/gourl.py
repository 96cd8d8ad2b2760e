"""Go's ``net/url.Parse`` and ``net.SplitHostPort``, as far as the kubelet's keyring uses them.

Python's own parsers accept and refuse other texts; an entry that Go drops must
not match here, and one that Go keeps must. Rules: ``net/url`` and ``net`` of
Go 1.26, which builds the kubelet of Kubernetes 1.37.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_PORT = re.compile(rb"(?::[0-9]*)?")
_USERINFO = re.compile(rb"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_PLAIN = rb"[A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\xff]"
_HOST = re.compile(rb"(?:" + _PLAIN + rb"|%25|%[89A-Fa-f][0-9A-Fa-f])*+")
"""In a host only bytes beyond ASCII may be escaped, and the percent sign."""
_ZONE = re.compile(rb"(?:" + _PLAIN + rb"|%[0-7][0-9A-Fa-f])*+")
_ZONE_ESCAPED = re.compile(rb"(?:(?![\x80-\xff])" + _PLAIN + rb"|[% ])*+")
"""In a zone: what may stand there plainly, the percent sign, and Windows' space."""
_ZONE_MARK = b"%25"
_BRACKET = re.compile(r"[\[\]]")


@dataclass(frozen=True, slots=True)
class Url:
    """Host (with port, as written) and decoded path; the rest is of no use here."""

    host: str
    path: str


def parse_url(text: str) -> Url | None:
    """Parse a text that begins with a scheme and ``//`` as Go does; None for Go's error."""
    raw, _, fragment = text.encode("utf-8", "surrogateescape").partition(b"#")
    if _CONTROL.search(raw) or _unescape(fragment) is None:
        return None
    rest = raw.partition(b"://")[2].partition(b"?")[0]
    authority, slash, tail = rest.partition(b"/")
    host, path = _authority(authority), _unescape(slash + tail)
    if host is None or path is None:
        return None
    return Url(host.decode("utf-8", "surrogateescape"), path.decode("utf-8", "surrogateescape"))


def _authority(authority: bytes) -> bytes | None:
    userinfo, _, host = authority.rpartition(b"@")
    if not _USERINFO.fullmatch(userinfo) or _unescape(userinfo) is None:
        return None
    bracket = host.rfind(b"[")
    if bracket > 0:
        return None
    if bracket == 0:
        return _ip_literal(host)
    colon = host.find(b":")
    if colon >= 0 and not _PORT.fullmatch(host[colon:]):
        return None
    return _unescape(host) if _HOST.fullmatch(host) else None


def _ip_literal(host: bytes) -> bytes | None:
    inner, bracket, port = host[1:].rpartition(b"]")
    address, zone_mark, zone = inner.partition(_ZONE_MARK)
    if not bracket or not _PORT.fullmatch(port) or not _is_ipv6(address):
        return None
    if zone_mark:
        unescaped = _zone(zone)
        if not unescaped:
            return None
        address += b"%" + unescaped
    return b"[" + address + b"]" + port


def _is_ipv6(address: bytes) -> bool:
    try:
        IPv6Address(address.decode("latin-1"))
    except AddressValueError:
        return False
    return b"%" not in address


def _zone(zone: bytes) -> bytes | None:
    if not _ZONE.fullmatch(zone):
        return None
    escaped = b"".join(_byte(escape) for escape in _ESCAPE.finditer(zone))
    return _unescape(zone) if _ZONE_ESCAPED.fullmatch(escaped) else None


def _unescape(raw: bytes) -> bytes | None:
    """Undo percent escapes; None where one is no escape."""
    if b"%" not in raw:
        return raw
    plain, escapes = _ESCAPE.subn(_byte, raw)
    return plain if raw.count(b"%") == escapes else None


def _byte(escape: "re.Match[bytes]") -> bytes:
    return bytes([int(escape[1], 16)])


def split_host_port(host: str) -> tuple[str, str]:
    """Split as Go's ``net.SplitHostPort``; where that fails: all host, no port.

    An IP literal without a port keeps its brackets: the keyring then reads a glob.
    """
    name, colon, port = host.rpartition(":")
    is_literal = name.startswith("[") and name.endswith("]")
    inner = name[1:-1] if is_literal else name
    if not colon or (":" in inner and not is_literal) or _BRACKET.search(inner + port):
        return host, ""
    return inner, port
