"""Certificates and keys in PEM files, as Go's ``crypto/tls`` and ``crypto/x509`` take them.

containerd loads them before it asks anybody: a file that Go refuses fails the pull,
whatever OpenSSL would make of it. Rules: ``encoding/pem.Decode``,
``x509.CertPool.AppendCertsFromPEM`` and ``tls.X509KeyPair`` of Go 1.26.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"\n-----END ", b"-----"
_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})
_QUANTUM = 4
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block; ``has_headers``: lines such as ``Proc-Type: 4,ENCRYPTED`` stand in it."""

    type: bytes
    content: bytes = field(repr=False)
    has_headers: bool = False


def holds_certificate(pem: bytes) -> bool:
    """Tell whether Go finds a certificate to trust in ``pem``."""
    return any(
        block.type == b"CERTIFICATE" and not block.has_headers and _certificate(block) is not None
        for block in blocks(pem)
    )


def is_key_pair(certificate_pem: bytes, key_pem: bytes) -> bool:
    """Tell whether the first certificate of one file is for the first key of the other."""
    first = next((block for block in blocks(certificate_pem) if block.type == b"CERTIFICATE"), None)
    key = next((block for block in blocks(key_pem) if _is_key(block)), None)
    certificate = _certificate(first) if first is not None else None
    if certificate is None or key is None:
        return False
    try:
        public, private = certificate.public_key(), load_der_private_key(key.content, None)
        return _is_usable(public) and _spki(public) == _spki(private.public_key())
    except _UNREADABLE:
        return False


def _is_key(block: Block) -> bool:
    return block.type == b"PRIVATE KEY" or block.type.endswith(b" PRIVATE KEY")


def _certificate(block: Block) -> x509.Certificate | None:
    try:
        return x509.load_der_x509_certificate(block.content)
    except _UNREADABLE:
        return None


def _is_usable(key: object) -> bool:
    if isinstance(key, EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return isinstance(key, RSAPublicKey | Ed25519PublicKey)


def _spki(key: object) -> bytes:
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey | EllipticCurvePublicKey):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def blocks(pem: bytes) -> Iterator[Block]:
    """Yield the blocks that Go finds; what stands between them does not matter."""
    at = 0
    while (end := pem.find(_END, at)) >= 0:
        begin = pem.rfind(_BEGIN, at, end)
        after = end + len(_END)
        if begin < 0 or (begin > at and pem[begin - 1 : begin] != b"\n"):
            at = after
            continue
        block = _block(pem, begin + len(_BEGIN), end)
        if block is None:
            at = after
            continue
        yield block
        at = _line(pem, after)[1]


def _block(pem: bytes, at: int, end: int) -> Block | None:
    """Read the block whose type stands at ``at`` and whose last line begins at ``end``."""
    type_line, at = _line(pem, at)
    if not type_line.endswith(_DASHES):
        return None
    type_ = type_line.removesuffix(_DASHES)
    has_headers = False
    while at <= end:
        line, following = _line(pem, at)
        if b":" not in line:
            break
        has_headers, at = True, following
    if has_headers and at > end:
        return None
    last = pem[end + len(_END) :].split(b"\n", 1)[0]
    if last.removesuffix(b"\r").rstrip(b" \t") != type_ + _DASHES:
        return None
    content = _base64(pem[at:end])
    return None if content is None else Block(type_, content, has_headers)


def _line(pem: bytes, at: int) -> tuple[bytes, int]:
    end = pem.find(b"\n", at)
    line, following = (pem[at:], len(pem)) if end < 0 else (pem[at:end], end + 1)
    return line.removesuffix(b"\r").rstrip(b" \t"), following


def _base64(text: bytes) -> bytes | None:
    text = text.translate(None, b" \t\r\n")
    if len(text) % _QUANTUM:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
