"""The kubelet's keyring: which credentials it would try for an image, in which order.

Reproduces ``BasicDockerKeyring`` of ``k8s.io/kubernetes/pkg/credentialprovider``
(1.37): one index over all the pod's secrets, sorted in reverse byte order, every
match returned, and the fallback to Docker Hub's old key.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from webhook.credentials.dockerconfig import Entry, Undecodable, entries_of
from webhook.credentials.goglob import glob_matches
from webhook.credentials.gourl import parse_url, split_host_port
from webhook.credentials.secret import Secret

DOCKER_HUB_KEY = "index.docker.io"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password with where they come from: ``secret/NAME`` and its key.

    An empty username is sent nowhere: the pull is anonymous (``ParseAuth`` of
    containerd's CRI). The key's path may hold what a slip put there (``HTTPS://u:p@r.io``).
    """

    source: str
    key: str = field(repr=False)
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """One entry of one secret cannot be decoded: no image of the pod is pulled."""

    source: str
    reason: str
    location: str


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A key, or the name of an image, cut into what is compared."""

    labels: tuple[str, ...]
    port: str
    path: str

    def matches(self, image: "_Pattern") -> bool:
        return (
            self.port == image.port
            and len(self.labels) == len(image.labels)
            and image.path.startswith(self.path)
            and all(map(glob_matches, self.labels, image.labels))
        )


@dataclass(frozen=True, slots=True)
class Keyring:
    """All credentials of a pod by their normalised key, in the order of the index."""

    credentials: tuple[Credential, ...] = ()
    _patterns: tuple[_Pattern | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # A secret may hold 100,000 keys and a pod many images: each key is parsed once.
        patterns = tuple(_pattern(c.key) for c in self.credentials)
        object.__setattr__(self, "_patterns", patterns)

    def lookup(self, name: str) -> tuple[Credential, ...]:
        """Return what the kubelet tries for the image ``name`` (no tag), in its order.

        Nothing found means one anonymous attempt; anything found means none.
        """
        image = _pattern(name)
        found = tuple(
            credential
            for credential, pattern in zip(self.credentials, self._patterns, strict=True)
            if image is not None and pattern is not None and pattern.matches(image)
        )
        if not found and _is_docker_hub(name):
            found = tuple(c for c in self.credentials if c.key == DOCKER_HUB_KEY)
        return found


def keyring_of(secrets: Iterable[tuple[str, Secret]]) -> Keyring | Broken:
    """Build the keyring of pull secrets, given with their sources in the pod's order."""
    credentials: list[Credential] = []
    for source, secret in secrets:
        entries = entries_of(secret)
        if isinstance(entries, Undecodable):
            return Broken(source, entries.reason, entries.location)
        credentials.extend(_credentials(source, entries or ()))
    return _indexed(credentials)


def keyring_of_entries(configs: Iterable[tuple[str, Iterable[Entry]]]) -> Keyring:
    """Build one keyring of decoded docker configs, given with their sources in their order."""
    return _indexed([c for source, entries in configs for c in _credentials(source, entries)])


def image_matches(pattern: str, name: str) -> bool:
    """Match the image ``name`` (no tag) against one of ``matchImages`` (``URLsMatchStr``).

    The rule of the keyring's keys, but neither a scheme nor ``/v1/`` is taken off, and
    nothing falls back to Docker Hub's old key.
    """
    glob, image = _pattern(pattern), _pattern(name)
    return glob is not None and image is not None and glob.matches(image)


def _indexed(credentials: list[Credential]) -> Keyring:
    credentials.sort(key=lambda c: c.key.encode("utf-8", "surrogateescape"), reverse=True)
    return Keyring(tuple(credentials))


def _credentials(source: str, entries: Iterable[Entry]) -> Iterable[Credential]:
    for entry in entries:
        key = normalised_key(entry.location)
        if key is not None:
            yield Credential(source, key, entry.username, entry.password)


def normalised_key(location: str) -> str | None:
    """Return the key of the index for a key of ``auths``; None where the entry is dropped."""
    if not location.startswith(("https://", "http://")):
        location = "https://" + location
    url = parse_url(location)
    if url is None:
        return None
    path = url.path[3:] if url.path.startswith(("/v1/", "/v2/")) else url.path
    return url.host if path in ("", "/") else url.host + path


def _pattern(schemeless: str) -> _Pattern | None:
    url = parse_url("https://" + schemeless)
    if url is None:
        return None
    host, port = split_host_port(url.host)
    return _Pattern(tuple(host.split(".")), port, url.path)


def _is_docker_hub(name: str) -> bool:
    first, slash, _ = name.partition("/")
    if not first:
        return False
    if not slash or first in ("docker.io", DOCKER_HUB_KEY):
        return True
    return "." not in first and ":" not in first
