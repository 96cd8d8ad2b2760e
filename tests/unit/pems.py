"""A certificate with its key, and a key of another, as PEM; made once for a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_KEY = ec.generate_private_key(ec.SECP256R1())
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])


def pem_of(key: ec.EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(_NAME)
    .issuer_name(_NAME)
    .public_key(_KEY.public_key())
    .serial_number(1)
    .not_valid_before(datetime.now(UTC))
    .not_valid_after(datetime.now(UTC) + timedelta(days=1))
    .sign(_KEY, SHA256())
    .public_bytes(Encoding.PEM)
)
KEY = pem_of(_KEY, PrivateFormat.TraditionalOpenSSL)
PKCS8_KEY = pem_of(_KEY, PrivateFormat.PKCS8)
OTHER_KEY = pem_of(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8)
