"""The lab's certificates: good ones, and one of every kind that a client must refuse."""

from __future__ import annotations

import datetime as dt
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.differential.model import Server
from tests.e2e.harness.pki import Authority, Identity, write_key

ZONE = "case.lab"
"""Where the cases' own names are. OpenSSL, unlike Go, refuses a wildcard right below one label."""

_VERSIONS = {
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


class Identities:
    """Issues on demand; `system` is what every client trusts, `other` what nobody does."""

    def __init__(self, folder: Path) -> None:
        self.system = Authority(folder / "system", "lab-system")
        self.other = Authority(folder / "other", "lab-other")
        self.client = self.other.client("lab-client")
        # Of an authority that the servers do not ask for.
        self.stranger = self.system.client("lab-stranger")
        self._folder = folder
        self._lock = threading.Lock()
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
        # Go's look at a folder of certificates is turned to an empty one.
        self.nothing = folder / "nothing"
        self.nothing.mkdir()

    @property
    def environment(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.system.bundle), "SSL_CERT_DIR": str(self.nothing)}

    def context(self, server: Server, names: tuple[str, ...]) -> ssl.SSLContext | None:
        if server.transport != "https":
            return None
        if server.certificate_names is not None:
            names = tuple(server.certificate_names)
        else:
            names = _general(names)
        key = (server.certificate, server.tls, server.client_certificate, names)
        with self._lock:
            if key not in self._contexts:
                self._contexts[key] = self._made(server, names)
            return self._contexts[key]

    def _made(self, server: Server, names: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity = self._identity(server.certificate, names)
        context.load_cert_chain(identity.cert, identity.key)
        if server.tls != "any":
            if server.tls == "1.1":
                context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = _VERSIONS[server.tls]
        if server.client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cafile=str(self.other.bundle))
        return context

    def _identity(self, kind: str, names: tuple[str, ...]) -> Identity:
        if kind == "unknown-authority":
            return self.other.server("server", names)
        if kind == "expired":
            return self.system.server("server", names, lasts=dt.timedelta(hours=-2))
        if kind == "wrong-name":
            return self.system.server("server", ("elsewhere.lab",))
        if kind == "no-names":
            return self.system.server(names[0], ())
        if kind == "client-auth-only":
            purpose = ExtendedKeyUsageOID.CLIENT_AUTH
            return self.system._issue("server", (), names, purpose, None)
        if kind in ("self-signed", "not-yet-valid"):
            return self._self_signed(names, early=kind == "not-yet-valid")
        return self.system.server("server", names)

    def _self_signed(self, names: tuple[str, ...], *, early: bool) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        # A certificate of the system's authority that counts only from tomorrow.
        signer = self.system._key if early else key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        issuer = self.system._name if early else subject
        begins = dt.datetime.now(dt.UTC) + dt.timedelta(hours=24 if early else -1)
        cert = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + dt.timedelta(hours=12))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .sign(signer, hashes.SHA256())
        )
        identity = Identity(
            self._folder / f"{cert.serial_number:x}.crt",
            self._folder / f"{cert.serial_number:x}.key",
        )
        identity.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        write_key(identity.key, key)
        return identity


def _general(names: tuple[str, ...]) -> tuple[str, ...]:
    """Let the cases' own names share one certificate: each costs milliseconds."""
    found = []
    for name in names:
        label, _, rest = name.lower().partition(".")
        found.append(f"*.{ZONE}" if rest == ZONE and label else name.lower())
    return tuple(dict.fromkeys(found))
