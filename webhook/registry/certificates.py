"""What Go finds wrong with a server's own certificate before it looks at who signed it.

Rules: ``Certificate.Verify`` and ``VerifyHostname`` of ``crypto/x509``, Go 1.26: first
its time, then its names, then the chain. OpenSSL asks in another order, takes a common
name for a name, and no wildcard right below a top-level domain.
"""

import datetime as dt
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509

from webhook.registry.outcome import Cause

_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def fault_of(der: bytes, host: str, *, now: dt.datetime | None = None) -> Cause | None:
    """Return the first fault of a server's certificate that stands for ``host``."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        names = _names(certificate)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return Cause.TLS_FAILING
    now = now or dt.datetime.now(dt.UTC)
    if now < begins or now > ends:
        return Cause.CERTIFICATE_EXPIRED
    if not _stands_for(names, host):
        return Cause.CERTIFICATE_WRONG_NAME
    return None


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _stands_for(names: x509.SubjectAlternativeName | None, host: str) -> bool:
    if names is None:
        return False
    address = _address(host)
    if address is not None:
        return any(_plain(one) == address for one in names.get_values_for_type(x509.IPAddress))
    host = host.lower()
    return any(_name_matches(name, host) for name in names.get_values_for_type(x509.DNSName))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return None if "%" in text else _plain(ip_address(text))
    except ValueError:
        return None


def _plain(address: object) -> IPv4Address | IPv6Address | None:
    """Return an address, an IPv4 one inside IPv6 as what it is to Go: the same address."""
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address if isinstance(address, IPv4Address) else None


def _name_matches(name: str, host: str) -> bool:
    name = name.lower()
    if not (_is_valid(name, pattern=True) and _is_valid(host.removesuffix("."), pattern=False)):
        return name == host and name not in ("", ".")
    wanted, found = name.split("."), host.removesuffix(".").split(".")
    if len(wanted) != len(found):
        return False
    first = wanted[0] in ("*", found[0])
    return first and wanted[1:] == found[1:]


def _is_valid(name: str, *, pattern: bool) -> bool:
    labels = name.split(".")
    if pattern and len(labels) > 1 and labels[0] == "*":
        labels = labels[1:]
    return all(label and not label.startswith("-") and _LABEL.issuperset(label) for label in labels)
