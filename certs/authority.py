"""A certificate authority and the serving certificates that it signs (RFC 5280, P-256).

Pure: nothing is read or written. What Go and OpenSSL ask for in their strict
modes is there: critical basic constraints and key usage on the authority, key
identifiers on both, names in the subject alternative name alone.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3652)
LEAF_LIFETIME = timedelta(days=365)
# Clocks of nodes differ: a certificate of this very second is "not yet valid" to some.
BACKDATED = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority as PEM; its private key is never printed."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """A serving certificate and its private key as PEM; the key is never printed."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_authority(
    common_name: str = "pullproof CA",
    *,
    now: datetime | None = None,
    lifetime: timedelta = AUTHORITY_LIFETIME,
) -> Authority:
    """Return a new authority that is valid from an hour before ``now`` for ``lifetime``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(common_name)
    start = now or datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        _builder(subject, subject, key.public_key(), start, start + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(_pem(certificate), _key_pem(key))


def issue(
    authority: Authority,
    names: Sequence[str],
    *,
    now: datetime | None = None,
    lifetime: timedelta = LEAF_LIFETIME,
    for_client: bool = False,
) -> Pair:
    """Return a serving certificate for ``names`` (DNS names and IP addresses as text).

    With ``for_client``, one by which a client shows who it is. It never outlives
    the authority. Raises ValueError when there is no name, or one that is neither
    an address nor ASCII without blanks.
    """
    if not names:
        raise ValueError("a serving certificate needs at least one name")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    start = now or datetime.now(UTC)
    end = min(start + lifetime, issuer.not_valid_after_utc)
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if for_client else ExtendedKeyUsageOID.SERVER_AUTH
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        _builder(_named("pullproof"), issuer.subject, key.public_key(), start, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return Pair(_pem(certificate), _key_pem(key))


def general_name(name: str) -> x509.GeneralName:
    """Return ``name`` as a subject alternative name; raises ValueError for no name at all."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not name or not name.isascii() or not name.isprintable() or " " in name:
        raise ValueError(f"{name!r} is neither an IP address nor a DNS name")
    return x509.DNSName(name.lower())


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(end)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
