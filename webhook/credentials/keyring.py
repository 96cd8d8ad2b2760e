"""The kubelet's keyring: which credentials it would try for an image, in which order.

Reproduces ``BasicDockerKeyring`` of ``k8s.io/kubernetes/pkg/credentialprovider``
(1.37): one index over all the pod's secrets, sorted in reverse byte order, every
match returned, and the fallback to Docker Hub's old key.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from webhook.credentials.dockerconfig import Entry, Undecodable, entries_of
from webhook.credentials.gourl import Url, glob_matches, parse_url, split_host_port
from webhook.credentials.secret import Secret

DOCKER_HUB_KEY = "index.docker.io"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and a password with where they come from: ``secret/NAME`` and its key.

    An empty username is sent nowhere: the pull is anonymous (``ParseAuth`` of
    containerd's CRI).
    """

    source: str
    key: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Broken:
    """One entry of one secret cannot be decoded: no image of the pod is pulled."""

    source: str
    reason: str
    location: str


@dataclass(frozen=True, slots=True)
class Keyring:
    """All credentials of a pod by their normalised key, in the order of the index."""

    credentials: tuple[Credential, ...] = ()

    def lookup(self, name: str) -> tuple[Credential, ...]:
        """Return what the kubelet tries for the image ``name`` (no tag), in its order.

        Nothing found means one anonymous attempt; anything found means none.
        """
        target = parse_url("https://" + name)
        if target is None:
            return ()
        found = tuple(c for c in self.credentials if _key_matches(c.key, target))
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


def _key_matches(key: str, target: Url) -> bool:
    glob = parse_url("https://" + key)
    if glob is None:
        return False
    glob_host, glob_port = split_host_port(glob.host)
    host, port = split_host_port(target.host)
    globs, labels = glob_host.split("."), host.split(".")
    return (
        glob_port == port
        and len(globs) == len(labels)
        and target.path.startswith(glob.path)
        and all(glob_matches(g, label) for g, label in zip(globs, labels, strict=True))
    )


def _is_docker_hub(name: str) -> bool:
    first, slash, _ = name.partition("/")
    if not first:
        return False
    if not slash or first in ("docker.io", DOCKER_HUB_KEY):
        return True
    return "." not in first and ":" not in first
