"""The registry's tokens: signed, short-lived, and good for pulling the repositories they name."""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

from webhook.cli.demo.content import Access, Store

LIFETIME = 300
"""Seconds that a token holds: what the token specification takes when nothing is said."""

MAX_SCOPES = 16
_SCOPE = re.compile(r"repository:([a-z0-9._/-]{1,255}):([a-z*,]{1,64})")


class Tokens:
    """The token service of one registry; keeps nothing but its key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = secrets.token_bytes(32)

    def password_holds(self, user: str, password: str) -> bool:
        """Tell whether the user exists and has that password."""
        known = self._store.users.get(user)
        return known is not None and hmac.compare_digest(known.encode(), password.encode())

    def grant(self, user: str | None, scopes: Sequence[str]) -> str | None:
        """Return a token for what ``user`` (None: anybody) may pull of ``scopes``.

        Refuses (None) where a PRIVATE repository is asked for by one who may not read it;
        anywhere else a token comes back, if need be one that is good for nothing.
        """
        allowed: list[str] = []
        for name in _asked(scopes):
            repository = self._store.repositories.get(name)
            if repository is None:
                continue
            reads = user is not None and user in repository.readers
            if repository.access is Access.PRIVATE and not reads:
                return None
            if reads or repository.access in {Access.OPEN, Access.ANONYMOUS}:
                allowed.append(name)
        return self._sign({"pull": allowed, "sub": user, "exp": time.time() + LIFETIME})

    def user(self, token: str) -> str | None:
        """Return for whom a token was made; None for nobody, and for one that does not hold."""
        claims = self._claims(token)
        subject = claims.get("sub") if claims else None
        return subject if isinstance(subject, str) else None

    def allows(self, token: str, repository: str) -> bool | None:
        """Tell whether a token lets one pull ``repository``; None when it does not hold at all."""
        claims = self._claims(token)
        return None if claims is None else repository in claims["pull"]

    def _sign(self, claims: dict[str, object]) -> str:
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode())
        return f"{payload.decode()}.{self._seal(payload)}"

    def _seal(self, payload: bytes) -> str:
        return hmac.new(self._key, payload, hashlib.sha256).hexdigest()

    def _claims(self, token: str) -> dict[str, Any] | None:
        payload, _, seal = token.partition(".")
        try:
            raw = payload.encode("ascii")
            if not hmac.compare_digest(self._seal(raw), seal):
                return None
            claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(raw))
        except (ValueError, TypeError):
            return None
        return claims if time.time() < claims["exp"] else None


def _asked(scopes: Sequence[str]) -> Iterable[str]:
    for scope in [part for text in scopes for part in text.split()][:MAX_SCOPES]:
        match = _SCOPE.fullmatch(scope)
        if match and "pull" in match[2].split(","):
            yield match[1]


def basic(header: str) -> tuple[str, str] | None:
    """Return user and password of an ``Authorization: Basic`` header's value, None for junk."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
