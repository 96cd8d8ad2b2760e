"""Token requests as containerd makes them (``remotes/docker/auth/fetch.go``)."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from webhook.credentials.gojson import JsonError
from webhook.credentials.keyring import Credential
from webhook.registry.challenge import Challenge
from webhook.registry.gojson import Decode, Struct, integer, parse_first, text
from webhook.registry.ocispec import moment

TOKEN_LIMIT = 1 << 20
"""Bytes of a token answer that are read."""
TOKEN_SECONDS = 60.0
"""How long a token lives where its service does not say (distribution's token specification)."""
CLIENT_ID = "containerd-client"
GET_AFTER_POST = frozenset({400, 401, 404, 405})
"""Answers to POST after which GET is tried: not every token service knows POST."""

_HEADER_SAFE = re.compile(r"[\t\x20-\x7e]+")
_BLANK = " \t"
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to a realm; ``body`` is a form and ``authorization`` a header's value."""

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)

    @property
    def is_secret(self) -> bool:
        """Tell whether a password goes along."""
        return self.body is not None or self.authorization is not None


def scopes_of(challenge: Challenge, repository: str) -> list[str]:
    """Return the scopes to ask for: the pull of the repository, and what the challenge names."""
    scope = challenge.parameters.get("scope")
    # Blanks make empty scopes, which containerd asks for too.
    named = [] if scope is None else scope.split(" ")
    return sorted({f"repository:{repository}:pull", *named})


def post_request(
    realm: str, service: str, scopes: list[str], credential: Credential
) -> TokenRequest:
    """Return the OAuth2 request with the user's password."""
    form = {"scope": " ".join(scopes), "service": service}
    form |= {"client_id": CLIENT_ID, "grant_type": "password"}
    form |= {"username": credential.username, "password": credential.password}
    body = urlencode({key: _bytes(value) for key, value in form.items()}).encode()
    return TokenRequest("POST", realm, body=body)


def get_request(
    realm: str, service: str, scopes: list[str], credential: Credential | None
) -> TokenRequest:
    """Return the older request, with Basic authentication or without any."""
    parts = urlsplit(realm)
    query = parse_qsl(parts.query, keep_blank_values=True, errors="replace")
    if service:
        query.append(("service", service))
    query += [("scope", scope) for scope in scopes]
    sent = urlencode(query, errors="replace")
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, sent, ""))
    return TokenRequest("GET", url, authorization=basic(credential) if credential else None)


def basic(credential: Credential) -> str:
    """Return the value of a Basic ``Authorization`` header."""
    pair = _bytes(f"{credential.username}:{credential.password}")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _bytes(text: str) -> bytes:
    """Return the bytes that a secret was read from, whatever they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Token:
    """What a token service gave, and for how many seconds it may serve again."""

    value: str = field(repr=False)
    seconds: float


def token_of(body: bytes, *, posted: bool) -> Token | None:
    """Return the token of an answer, None where it holds none that a header can carry.

    POST wants ``access_token``; GET takes ``token`` too. One wrong type refuses it all.
    """
    try:
        read = (_POSTED if posted else _GOT).read(parse_first(body))
    except JsonError:
        return None
    token = read.get("access_token") or read.get("token", "")
    if not token or not _HEADER_SAFE.fullmatch(token):
        return None
    seconds = read.get("expires_in", 0)
    # Go trims the header's value.
    return Token(token.rstrip(_BLANK), float(min(seconds, _DAY)) if seconds > 0 else TOKEN_SECONDS)


_COMMON: Mapping[str, tuple[Decode, Any]] = {
    "access_token": (text, ""),
    "refresh_token": (text, ""),
    "expires_in": (integer, 0),
    "issued_at": (moment, None),
}
_GOT = Struct({**_COMMON, "token": (text, "")})
_POSTED = Struct({**_COMMON, "scope": (text, "")})
