"""URLs that a registry wrote: what may be judged, dialled and shown of them."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from webhook.images.reference import split_port

LONGEST_NAME = 253
"""Characters of a host's name: the DNS has room for no more."""
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(rf"[a-z0-9._-]{{1,{LONGEST_NAME}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_KEPT_IN_PATH = "/%:@!$&'()*+,;=~"
_KEPT_IN_QUERY = _KEPT_IN_PATH + "?[]|^`{}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a URL: what a credential is bound to."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        """Return what is dialled."""
        return self.host, self.port

    @property
    def names(self) -> frozenset[str]:
        """Return how configuration may spell it; the port is left out where it is the usual."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        short = {host} if self.port == _DEFAULT_PORTS[self.scheme] else set()
        return frozenset({f"{host}:{self.port}"} | short)


def origin_of(url: str) -> Origin | None:
    """Return the origin of an http or https URL, None for anything else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not _is_host(host):
        return None
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def is_address(host: str) -> bool:
    """Tell whether ``host`` is an IP address as Go reads one: without leading zeros."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return isinstance(address, IPv6Address) and address.scope_id is None


def sendable(url: str) -> str | None:
    """Return ``url`` rebuilt from what was understood of it, None where it is no http address.

    Two parsers that disagree on a hostile URL would judge one host and dial another,
    so what is sent holds nothing but the judged origin, a path and a query. A user in
    it is dropped: it would be sent as a credential of ours.
    """
    origin = origin_of(url) if _go_takes(url) else None
    if origin is None:
        return None
    parts = urlsplit(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == _DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    path = quote(parts.path or "/", safe=_KEPT_IN_PATH, errors="replace")
    query = quote(parts.query, safe=_KEPT_IN_QUERY, errors="replace")
    return f"{origin.scheme}://{host}{port}{path}" + (f"?{query}" if query else "")


def _go_takes(url: str) -> bool:
    """Tell whether Go's ``url.Parse`` takes what ``urlsplit`` would make something of."""
    # A query it looks at no closer, and a fragment's control characters it does not mind.
    rest, _, fragment = url.partition("#")
    escaped = rest.partition("?")[0] + "#" + fragment
    return not (url.startswith(" ") or _CONTROL.search(rest) or _BAD_ESCAPE.search(escaped))


def joined(url: str, location: str) -> str | None:
    """Return where a ``Location`` leads from ``url``, None where that is no http address."""
    try:
        parts = urlsplit(location)
        # ``urljoin`` would take the host of ``url`` for the one that is missing.
        if not _go_takes(location) or (parts.scheme and not parts.netloc):
            return None
        return sendable(urljoin(url, location))
    except ValueError:
        return None


def shown_url(url: str, *, own: bool) -> str:
    """Return ``url`` as it may be shown: what stands behind ``?`` can be a signature."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = "" if not parts.query else parts.query if own else "…"
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def is_loopback(host: str) -> bool:
    """Tell whether containerd takes ``host`` (with or without port) for this machine.

    A bare ``[::1]`` is not: Go's ``net.ParseIP`` knows no brackets, and only a port
    has them taken off.
    """
    name, port = split_port(host)
    if name == "localhost":
        return True
    try:
        address = ip_address(name[1:-1] if port and name.startswith("[") else name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
