"""A throw-away certificate authority: server and client identities as files."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, both PEM files."""

    cert: Path
    key: Path


class Authority:
    """A CA whose files live in one folder; `bundle` is its own certificate."""

    def __init__(self, folder: Path, name: str = "test-ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        self._cert = (
            self._builder(self._name, self._key.public_key(), _hours(24))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        folder.mkdir(parents=True, exist_ok=True)
        self.bundle = folder / f"{name}.crt"
        self.bundle.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    @property
    def pem(self) -> bytes:
        return self.bundle.read_bytes()

    def server(
        self,
        name: str,
        sans: Sequence[str] = LOOPBACK,
        *,
        lasts: dt.timedelta | None = None,
    ) -> Identity:
        """Issue a serving certificate; a negative `lasts` makes it an expired one."""
        return self._issue(name, [], sans, ExtendedKeyUsageOID.SERVER_AUTH, lasts)

    def client(self, name: str, groups: Sequence[str] = ()) -> Identity:
        return self._issue(name, groups, (), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self,
        name: str,
        groups: Sequence[str],
        sans: Sequence[str],
        purpose: x509.ObjectIdentifier,
        lasts: dt.timedelta | None,
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        builder = self._builder(subject, key.public_key(), lasts or _hours(24))
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        ).add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if sans:
            names = x509.SubjectAlternativeName([_san(text) for text in sans])
            builder = builder.add_extension(names, critical=False)
        cert = builder.sign(self._key, hashes.SHA256())
        identity = Identity(
            self._folder / f"{cert.serial_number:x}.crt",
            self._folder / f"{cert.serial_number:x}.key",
        )
        identity.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        write_key(identity.key, key)
        return identity

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, lasts: dt.timedelta
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        issuer_key = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, now + lasts) - _hours(1))
            .not_valid_after(now + lasts)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
            )
        )


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def client_context(authority: Authority, identity: Identity | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.bundle))
    if identity is not None:
        context.load_cert_chain(identity.cert, identity.key)
    return context


def _hours(count: float) -> dt.timedelta:
    return dt.timedelta(hours=count)


def _san(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
