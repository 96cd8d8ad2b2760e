"""What earlier exchanges with a registry ended with, so that later ones are shorter.

Kept are the authority that a repository's manifests were read with, and the digests
whose content was found good: immutable, so for long. Each belongs to the registry's
hosts, the repository and the very bytes of the credential, under a keyed hash that
means nothing outside this process. Only a success ever rests on it.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from webhook.credentials.keyring import Credential
from webhook.images.platform import Platform
from webhook.registry.authorizer import Authority
from webhook.registry.endpoint import Endpoint, Registry
from webhook.registry.outcome import Outcome

MAX_AUTHORITIES = 2_000
MAX_DIGESTS = 20_000
MOST_SECONDS = 300.0
"""How long authority is used again at most, whatever the token service says."""
MARGIN = 0.8
"""The part of a token's life in which it is used again: it must not run out on the way."""

V = TypeVar("V")


class _Bounded(Generic[V]):
    """A bounded map whose entries run out; safe from any thread."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > self._clock() else None

    def put(self, key: str, value: V, seconds: float) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (self._clock() + seconds, value)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of content that was found good: what it offers, for whom, how large."""

    platforms: tuple[str, ...] | None
    judged_for: tuple[str, ...]
    unserved: tuple[str, ...]
    sizes: tuple[tuple[Platform, int], ...] = ()

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Take down what a good outcome says of the content."""
        return cls(outcome.platforms, outcome.judged_for, outcome.unserved, outcome.sizes)

    def told(self, outcome: Outcome) -> Outcome:
        """Return ``outcome`` with what the same content had said before."""
        return replace(
            outcome,
            platforms=self.platforms,
            judged_for=self.judged_for,
            unserved=self.unserved,
            sizes=self.sizes,
        )


class Recall:
    """The memory of a whole process. ``digest_seconds`` is how long a digest is taken as seen."""

    def __init__(self, digest_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = secrets.token_bytes(32)
        self._digest_seconds = digest_seconds
        self._authorities: _Bounded[Mapping[Endpoint, Authority]] = _Bounded(MAX_AUTHORITIES, clock)
        self._digests: _Bounded[Seen] = _Bounded(MAX_DIGESTS, clock)

    def of(
        self, registry: Registry, repository: str, credential: Credential | None
    ) -> "Remembered":
        """Return what is remembered of one repository with one credential."""
        mac = hmac.new(self._secret, digestmod=hashlib.sha256)
        for text in _texts(registry, repository, credential):
            raw = text.encode("utf-8", "surrogatepass")
            mac.update(len(raw).to_bytes(8, "big") + raw)
        return Remembered(self, mac.hexdigest())

    def authorities(self, key: str) -> Mapping[Endpoint, Authority]:
        return self._authorities.get(key) or {}

    def keep_authorities(self, key: str, held: Mapping[Endpoint, Authority]) -> None:
        if held:
            seconds = min(authority.seconds for authority in held.values())
            self._authorities.put(key, held, min(seconds * MARGIN, MOST_SECONDS))

    def drop_authorities(self, key: str) -> None:
        self._authorities.drop(key)

    def seen(self, key: str) -> Seen | None:
        return self._digests.get(key)

    def keep_seen(self, key: str, seen: Seen) -> None:
        self._digests.put(key, seen, self._digest_seconds)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a :class:`Recall` holds of one repository and credential."""

    recall: Recall
    key: str

    def authorities(self) -> Mapping[Endpoint, Authority]:
        """Return what each host took last."""
        return self.recall.authorities(self.key)

    def keep(self, held: Mapping[Endpoint, Authority]) -> None:
        """Keep what the hosts took."""
        self.recall.keep_authorities(self.key, held)

    def forget(self) -> None:
        """Forget it: it was no use any more."""
        self.recall.drop_authorities(self.key)

    def seen(self, digest: str, how: str) -> Seen | None:
        """Return what was found when ``digest`` was looked at as ``how`` says."""
        return self.recall.seen(f"{self.key} {digest} {how}")

    def keep_seen(self, digest: str, how: str, seen: Seen) -> None:
        """Keep that the content of ``digest`` was found good."""
        self.recall.keep_seen(f"{self.key} {digest} {how}", seen)


def _texts(registry: Registry, repository: str, credential: Credential | None) -> Iterator[str]:
    yield registry.name
    for host in registry.hosts:
        yield f"{host.scheme}://{host.host}{host.path}"
    yield f"/{repository}"
    if credential is not None:
        yield from (credential.username, credential.password)
