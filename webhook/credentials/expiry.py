"""When a password ends to be good, where it says so itself.

Two kinds do: JSON web tokens (``exp``, RFC 7519), as Azure and GitLab hand out, and
ECR's passwords, which are base64 of a JSON object that holds ``expiration``. What is
read is believed for a message and never for a decision to send or not to send.
"""

import binascii
import json
import math
import re
from base64 import b64decode, urlsafe_b64decode
from typing import Any

from webhook.credentials.keyring import Credential

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
MOST = 16_384
"""Characters of a password that are looked at: no real token is longer."""


def expires_at(credential: Credential) -> float | None:
    """Return when the password of ``credential`` expires, in seconds since the epoch.

    None where it does not say.
    """
    password = credential.password
    if len(password) > MOST:
        return None
    if _JWT.fullmatch(password):
        return _seconds(_object(password.split(".")[1], url=True), "exp")
    if credential.username == "AWS":
        return _seconds(_object(password, url=False), "expiration")
    return None


def _object(text: str, *, url: bool) -> dict[str, Any]:
    padded = text + "=" * (-len(text) % 4)
    try:
        raw = urlsafe_b64decode(padded) if url else b64decode(padded)
        document = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(document: dict[str, Any], key: str) -> float | None:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
