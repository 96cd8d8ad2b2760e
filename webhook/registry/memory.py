"""What registries answered lately, kept for as long as it may serve.

A verdict belongs to (reference, hosts, depth, platforms, credentials): the key holds all,
the credentials as a keyed hash that means nothing outside this process. What
failed in passing is never kept.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from webhook.credentials.keyring import Credential
from webhook.registry.exchange import Target
from webhook.registry.outcome import Cause, Outcome, Pull, Rule
from webhook.registry.settings import CacheTimes

MAX_ENTRIES = 20_000
REJECTED_SECONDS = 60.0
"""How long a password that the registry refused is not sent again: accounts lock."""
FRESH_SECONDS = 1.0
"""The age past which no denial rests on an answer."""

Key = tuple[Target, str]


class Memory:
    """A bounded map from what was asked to what came of it; safe from any thread."""

    def __init__(self, times: CacheTimes) -> None:
        self._times = times
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[Key, Outcome] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, target: Target, tried: Sequence[Credential]) -> Key:
        """Return the key of a question; equal bytes of credentials are equal authority."""
        mac = hmac.new(self._secret, digestmod=hashlib.sha256)
        for credential in tried:
            for text in (credential.source, credential.username, credential.password):
                raw = text.encode("utf-8", "surrogatepass")
                mac.update(len(raw).to_bytes(8, "big") + raw)
        return target, mac.hexdigest()

    def recall(self, key: Key, *, denial: bool = False) -> Outcome | None:
        """Return what is known and may still serve; for a ``denial`` only what is fresh."""
        with self._lock:
            outcome = self._kept.get(key)
        if outcome is None:
            return None
        limit = self._seconds(outcome)
        if denial and outcome.cause is not Cause.CREDENTIALS_REJECTED:
            limit = min(limit, FRESH_SECONDS)
        return outcome if time.monotonic() - outcome.asked_at <= limit else None

    def keep(self, key: Key, outcome: Outcome) -> None:
        """Keep an answer that may serve again, unless a younger one is there."""
        with self._lock:
            before = self._kept.get(key)
            if before is not None and before.asked_at > outcome.asked_at:
                return
            self._kept.pop(key, None)
            if self._seconds(outcome) <= 0:
                return
            self._kept[key] = outcome
            while len(self._kept) > MAX_ENTRIES:
                self._kept.popitem(last=False)

    def _seconds(self, outcome: Outcome) -> float:
        if outcome.pull is Pull.OK:
            return self._times.found
        if outcome.pull is Pull.UNKNOWN or outcome.cause is None:
            return 0.0
        if outcome.cause is Cause.CREDENTIALS_REJECTED:
            return REJECTED_SECONDS
        if outcome.cause.rule is Rule.IMAGE_NOT_FOUND:
            return self._times.not_found
        if outcome.cause.rule is Rule.PULL_DENIED:
            return self._times.denied
        return 0.0
