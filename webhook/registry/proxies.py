"""Which proxy a request goes through: the rules of Go's ``httpproxy``, which containerd asks.

Rules: ``golang.org/x/net/http/httpproxy`` (``http.ProxyFromEnvironment``): HTTPS_PROXY
serves https URLs, HTTP_PROXY http URLs; NO_PROXY names hosts that are reached directly;
``localhost`` and loopback addresses always are. No I/O here.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote_to_bytes, urlsplit

from webhook.credentials.gourl import parse_url, split_host_port
from webhook.registry.settings import Proxy

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_HIGHEST_PORT = 65535
_MAPPED_BITS = 96
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What Go's ``strings.TrimSpace`` takes off; Python's ``strip`` takes more."""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """One proxy. ``authorization`` is the value of Proxy-Authorization, None: none is sent.

    ``port`` is None where the address names none that could be dialled.
    """

    scheme: str
    host: str
    port: int | None
    authorization: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """Return host and port as they may be shown: without the user and the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port is not None else host


_NOWHERE = ProxyAddress("", "", None)


def proxy_of_environment(environment: Mapping[str, str]) -> Proxy:
    """Return what the environment says; the names in upper case go first.

    As in ``net/http`` of Go 1.26, which containerd is built with (``getEnvAny``); newer
    releases of golang.org/x/net have the lower case first.
    """

    def value(name: str) -> str:
        return environment.get(name) or environment.get(name.lower()) or ""

    return Proxy(value("HTTPS_PROXY"), value("HTTP_PROXY"), value("NO_PROXY"))


def proxy_for(url: str, proxy: Proxy) -> ProxyAddress | None:
    """Return the proxy that a request for ``url`` goes through, None: it goes directly."""
    parts = urlsplit(url)
    chosen = {"https": proxy.https, "http": proxy.http}.get(parts.scheme, "")
    address = _parsed(chosen) if chosen else None
    if address is None:
        return None
    host = parts.hostname or ""
    port = str(parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme])
    return address if _goes_by_proxy(host, port, proxy.no_proxy) else None


# -- the proxy's own address -----------------------------------------------------------------


def _parsed(text: str) -> ProxyAddress | None:
    """Read a proxy's URL; one that Go cannot read is as if it were not set."""
    read = _read(text) or _read(f"http://{text}", hostless=True)
    if read is not None:
        return read
    # It is a URL, but of no host: Go then fails each request instead of going directly.
    return _NOWHERE if _is_url(text) else None


def _read(text: str, *, hostless: bool = False) -> ProxyAddress | None:
    scheme = _SCHEME.match(text)
    if scheme is None or not text.startswith("://", scheme.end()):
        return None
    parsed = parse_url(text)
    if parsed is None or not (parsed.host or hostless):
        return None
    authority = re.split(r"[/?#]", text[scheme.end() + 3 :], maxsplit=1)[0]
    user, has_user, _ = authority.rpartition("@")
    name = scheme[0].lower()
    host, port = _host_and_port(parsed.host)
    if not host:
        return _NOWHERE
    return ProxyAddress(name, host, _port(port, name), _basic(user) if has_user else None)


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, port = text.rpartition("]")
        return host.removeprefix("["), port.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _port(text: str, scheme: str) -> int | None:
    if not text:
        return _DEFAULT_PORTS.get(scheme)
    digits = text.lstrip("0")
    if len(digits) > len(str(_HIGHEST_PORT)):
        return None
    port = int(digits or "0")
    return port if port <= _HIGHEST_PORT else None


def _basic(userinfo: str) -> str:
    user, _, password = userinfo.partition(":")
    both = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return "Basic " + base64.b64encode(both).decode()


def _is_url(text: str) -> bool:
    """Tell whether Go's ``url.Parse`` takes a text that names no usable host."""
    text, _, fragment = text.partition("#")
    if _CONTROL.search(text) or _BAD_ESCAPE.search(fragment) or text.startswith(":"):
        return False
    scheme = _SCHEME.match(text)
    rest = text.partition("?")[0]
    if scheme is not None:
        rest = rest[scheme.end() + 1 :]
        if not rest.startswith("/"):
            return True
    elif ":" in rest.partition("/")[0]:
        return False
    if rest.startswith("//") and (scheme is not None or not rest.startswith("///")):
        return parse_url(f"x:{rest}") is not None
    return not _BAD_ESCAPE.search(rest)


# -- who is reached directly -----------------------------------------------------------------


def _goes_by_proxy(host: str, port: str, no_proxy: str) -> bool:
    if host == "localhost":
        return False
    address = _address(host)
    if address is not None and address.is_loopback:
        return False
    for written in no_proxy.split(","):
        entry = written.strip(_SPACE).lower()
        if entry == "*" or (entry and _matches(entry, host.lower(), port, address)):
            return False
    return True


def _matches(entry: str, host: str, port: str, address: Address | None) -> bool:
    network = _network(entry)
    if network is not None:
        return address is not None and address.version == network.version and address in network
    name, wanted_port = split_host_port(entry)
    if not name or wanted_port not in ("", port):
        return False
    literal = _address(name) if "%" not in name else None
    if literal is not None or address is not None:
        return literal == address
    name = name.removeprefix("*") if name.startswith("*.") else name
    if not name.startswith("."):
        return host == name or host.endswith(f".{name}")
    return host.endswith(name)


def _address(text: str) -> Address | None:
    """Return an address, an IPv4 one inside IPv6 as what it is to Go: the same address."""
    try:
        address = ip_address(text.partition("%")[0] if ":" in text else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(text: str) -> Network | None:
    base, slash, bits = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,6}", bits, re.ASCII) or "%" in base:
        return None
    try:
        network = ip_network(f"{base}/{int(bits)}", strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
