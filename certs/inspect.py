"""What a certificate and its key say of themselves: dates, names, whether they belong together."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization


class UnreadableCertificate(ValueError):  # noqa: N818  # named for what it is
    """The PEM holds no certificate or key that can be read; ``str()`` is one plain line."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The first certificate of a PEM file: when it holds (UTC), and for which names."""

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]

    def covers(self, names: Iterable[str]) -> bool:
        """Tell whether every one of ``names`` is among the certificate's, wildcards not spread."""
        return {_normal(name) for name in names} <= {_normal(name) for name in self.names}

    def valid_at(self, moment: datetime) -> bool:
        """Tell whether ``moment`` lies between the certificate's dates."""
        return self.not_before <= moment <= self.not_after


def certificate_facts(certificate: bytes) -> CertificateFacts:
    """Return the facts of the first certificate in PEM; raises UnreadableCertificate."""
    parsed = _certificate(certificate)
    return CertificateFacts(parsed.not_valid_before_utc, parsed.not_valid_after_utc, _names(parsed))


def key_matches(certificate: bytes, key: bytes) -> bool:
    """Tell whether ``key`` belongs to ``certificate`` (both PEM); raises UnreadableCertificate."""
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, NotImplementedError):
        # The library's own words may quote what it was given, and that is a key.
        raise UnreadableCertificate("the key is not an unencrypted PEM private key") from None
    return _spki(private.public_key()) == _spki(_certificate(certificate).public_key())


def signed_by(certificate: bytes, authority: bytes) -> bool:
    """Tell whether ``authority`` signed ``certificate`` itself; raises UnreadableCertificate."""
    try:
        _certificate(certificate).verify_directly_issued_by(_certificate(authority))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise UnreadableCertificate("no PEM certificate that can be read") from None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(
        str(name.value) for name in found if isinstance(name, x509.DNSName | x509.IPAddress)
    )


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _spki(key: object) -> bytes:
    encoded: bytes = key.public_bytes(  # type: ignore[attr-defined]  # every public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded
