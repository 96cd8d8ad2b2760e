"""A ``caBundle``: the authorities that an API server verifies a webhook with, as PEM.

During a change two authorities hold at once: replicas that still show the old
certificate and those that show the new one are both believed.
"""

import re
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs.inspect import signed_by

MOST_AUTHORITIES = 8
"""More than any change needs; past it the one that stands first goes."""

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def with_authority(bundle: bytes, ca: bytes, *, now: datetime | None = None) -> bytes | None:
    """Return ``bundle`` with the authority (or authorities) of ``ca`` in it, or None.

    None: it is in there, and nothing has to be changed. Other authorities stay; those
    that have expired, are there twice or cannot be read are dropped, and at most
    ``MOST_AUTHORITIES`` are kept. Raises ValueError when ``ca`` holds no certificate.
    """
    moment = now or datetime.now(UTC)
    added = _parse(ca)
    if not added:
        raise ValueError("the authority is no PEM certificate that can be read")
    current = _parse(bundle)
    kept = [one for one in dict.fromkeys(current) if moment <= one.not_valid_after_utc]
    missing = [one for one in added if one not in kept]
    whole = len(current) == len(_BLOCK.findall(bundle))
    if not missing and whole and kept == current and len(kept) <= MOST_AUTHORITIES:
        return None
    others = [one for one in kept if one not in added]
    ours = [one for one in kept if one in added] + missing
    # What was appended last is what is in use: the oldest goes first, never the one asked for.
    room = max(0, MOST_AUTHORITIES - len(ours))
    result = [*others[len(others) - min(room, len(others)) :], *ours]
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in result)


def verifies(bundle: bytes, certificate: bytes, *, now: datetime | None = None) -> bool:
    """Tell whether an authority in ``bundle`` that is valid now signed ``certificate`` itself."""
    moment = now or datetime.now(UTC)
    return any(
        one.not_valid_before_utc <= moment <= one.not_valid_after_utc
        and signed_by(certificate, one.public_bytes(serialization.Encoding.PEM))
        for one in _parse(bundle)
    )


def _parse(pem: bytes) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    for block in _BLOCK.findall(pem):
        try:
            found.append(x509.load_pem_x509_certificate(block))
        except ValueError:
            continue
    return found
