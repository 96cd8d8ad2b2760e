"""Token requests as containerd makes them (``remotes/docker/auth/fetch.go``)."""

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from webhook.credentials.keyring import Credential
from webhook.registry.challenge import Challenge

TOKEN_LIMIT = 1 << 20
"""Bytes of a token answer that are read."""
CLIENT_ID = "containerd-client"
GET_AFTER_POST = frozenset({400, 401, 404, 405})
"""Answers to POST after which GET is tried: not every token service knows POST."""

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request to a realm; ``body`` is a form and ``authorization`` a header's value."""

    method: str
    url: str
    body: bytes | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)


def scopes_of(challenge: Challenge, repository: str) -> list[str]:
    """Return the scopes to ask for: the pull of the repository, and what the challenge names."""
    named = challenge.parameters.get("scope", "").split(" ")
    return sorted({f"repository:{repository}:pull", *(scope for scope in named if scope)})


def post_request(challenge: Challenge, scopes: list[str], credential: Credential) -> TokenRequest:
    """Return the OAuth2 request with the user's password."""
    form = {"scope": " ".join(scopes), "service": challenge.parameters.get("service", "")}
    form |= {"client_id": CLIENT_ID, "grant_type": "password"}
    form |= {"username": credential.username, "password": credential.password}
    body = urlencode(form, errors="surrogateescape").encode()
    return TokenRequest("POST", challenge.parameters["realm"], body=body)


def get_request(
    challenge: Challenge, scopes: list[str], credential: Credential | None
) -> TokenRequest:
    """Return the older request, with Basic authentication or without any."""
    parts = urlsplit(challenge.parameters["realm"])
    query = parse_qsl(parts.query, keep_blank_values=True)
    if service := challenge.parameters.get("service", ""):
        query.append(("service", service))
    query += [("scope", scope) for scope in scopes]
    url = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(query), ""))
    return TokenRequest("GET", url, authorization=basic(credential) if credential else None)


def basic(credential: Credential) -> str:
    """Return the value of a Basic ``Authorization`` header."""
    pair = f"{credential.username}:{credential.password}".encode("utf-8", "surrogateescape")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def token_of(body: bytes, *, posted: bool) -> str | None:
    """Return the token of an answer, None where it holds none that a header can carry.

    POST wants ``access_token``; GET takes ``token`` too.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    token = document.get("access_token") or ("" if posted else document.get("token"))
    if not isinstance(token, str) or not _HEADER_SAFE.fullmatch(token):
        return None
    return token
