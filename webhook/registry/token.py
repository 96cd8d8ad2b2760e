"""Token requests as containerd makes them (``remotes/docker/auth/fetch.go``)."""

import base64
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from webhook.credentials.keyring import Credential
from webhook.registry.challenge import Challenge

TOKEN_LIMIT = 1 << 20
"""Bytes of a token answer that are read."""
TOKEN_SECONDS = 60.0
"""How long a token lives where its service does not say (distribution's token specification)."""
CLIENT_ID = "containerd-client"
GET_AFTER_POST = frozenset({400, 401, 404, 405})
"""Answers to POST after which GET is tried: not every token service knows POST."""

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_BLANK = " \t\r\n"
_DAY = 86_400
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


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

    POST wants ``access_token``; GET takes ``token`` too.
    """
    try:
        # Go's decoder reads one value and looks at nothing behind it.
        document, _ = json.JSONDecoder().raw_decode(body.decode("utf-8", "replace").lstrip(_BLANK))
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not _is_token_answer(document):
        return None
    token = document.get("access_token") or ("" if posted else document.get("token"))
    if not token or not _HEADER_SAFE.fullmatch(token):
        return None
    seconds = document.get("expires_in") or 0
    return Token(token, float(min(seconds, _DAY)) if seconds > 0 else TOKEN_SECONDS)


def _is_token_answer(document: dict[str, Any]) -> bool:
    """Tell whether Go can put ``document`` into its struct: one wrong type refuses it all."""
    texts = (document.get(key) for key in ("token", "access_token", "refresh_token"))
    seconds = document.get("expires_in")
    issued = document.get("issued_at")
    return (
        all(text is None or isinstance(text, str) for text in texts)
        and (seconds is None or type(seconds) is int)
        and (issued is None or (isinstance(issued, str) and bool(_RFC3339.fullmatch(issued))))
    )
