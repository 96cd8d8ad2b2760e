"""What a server shows and what it is verified with, and whether that can be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from certs.authority import LEAF_LIFETIME, Pair, issue, new_authority
from certs.inspect import UnreadableCertificate, certificate_facts, key_matches, signed_by


@dataclass(frozen=True, slots=True)
class Identity:
    """The certificate of an authority, and a serving pair that it signed, as PEM."""

    ca: bytes
    pair: Pair


def new_identity(names: Sequence[str], *, now: datetime | None = None) -> Identity:
    """Return an identity for ``names`` with an authority of its own.

    The authority's key is thrown away: nobody can steal what is kept nowhere. So it
    can sign nothing else, and ends when the pair does. Raises ValueError for a bad name.
    """
    authority = new_authority(now=now, lifetime=LEAF_LIFETIME)
    return Identity(authority.certificate, issue(authority, names, now=now))


def fault_of(
    identity: Identity,
    names: Sequence[str],
    *,
    now: datetime | None = None,
    ahead: timedelta = timedelta(0),
) -> str | None:
    """Return in a few words why an identity cannot be used for ``names``, or None.

    One that ends within ``ahead`` counts as ended. The words quote names and dates alone.
    """
    moment = now or datetime.now(UTC)
    try:
        leaf, authority = (
            certificate_facts(identity.pair.certificate),
            certificate_facts(identity.ca),
        )
        if leaf.not_before > moment:
            return f"the certificate is not valid before {leaf.not_before.isoformat()}"
        if not leaf.valid_at(moment + ahead):
            return f"the certificate ends at {leaf.not_after.isoformat()}"
        if missing := [name for name in names if not leaf.covers([name])]:
            return f"the certificate does not name {', '.join(missing)}"
        if not authority.valid_at(moment):
            return f"the authority is valid until {authority.not_after.isoformat()}"
        if not signed_by(identity.pair.certificate, identity.ca):
            return "the certificate was not signed by the authority beside it"
        if not key_matches(identity.pair.certificate, identity.pair.key):
            return "the key does not belong to the certificate"
    except UnreadableCertificate as error:
        return str(error)
    return None
