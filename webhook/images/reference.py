"""Image references, as the kubelet and containerd read them.

Reproduces ``ParseNormalizedNamed`` of github.com/distribution/reference v0.6.0,
which the kubelet calls through ``pkg/util/parsers.ParseImageName`` and containerd
through ``ParseDockerRef``: the same text is accepted, and a text that is refused
is refused for the same reason.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv6Address

DEFAULT_DOMAIN = "docker.io"
LEGACY_DEFAULT_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
PATH_LIMIT = 255
"""Characters, ``library/`` included (``RepositoryNameTotalLengthMax``)."""
HIGHEST_PORT = 65535
_PORT_CUTOFF = 1 << 30

_ALPHANUMERIC = r"[a-z0-9]+"
_COMPONENT = rf"{_ALPHANUMERIC}(?:(?:[._]|__|-+){_ALPHANUMERIC})*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_DOMAIN = rf"{_HOST}(?::[0-9]+)?"
_PATH = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"

_DOMAIN_ONLY = re.compile(_DOMAIN, re.ASCII)
_PATH_ONLY = re.compile(_PATH, re.ASCII)
_TAG_ONLY = re.compile(_TAG, re.ASCII)
_DIGEST_ONLY = re.compile(_DIGEST, re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")

_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Fault(StrEnum):
    """Why a text is no reference that can be pulled."""

    MALFORMED = "malformed"
    UPPERCASE = "uppercase"
    DIGEST_MALFORMED = "digest-malformed"
    DIGEST_UNSUPPORTED = "digest-unsupported"


@dataclass(frozen=True, slots=True)
class InvalidReference:
    """A text that the grammar refuses; ``reason`` is the text of distribution/reference."""

    text: str
    fault: Fault
    reason: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in full: ``nginx`` is ``docker.io``, ``library/nginx``, ``latest``.

    ``domain`` is empty for the rare name whose first part is no valid domain
    (``reg_example.com/foo``): the whole name is then the path. ``tag_written``
    tells whether the tag stood in the text or was filled in by the kubelet.
    """

    domain: str
    path: str
    tag: str | None
    digest: str | None
    tag_written: bool = True

    @property
    def name(self) -> str:
        """Return the fully qualified name without tag and digest, as the keyring sees it."""
        return f"{self.domain}/{self.path}" if self.domain else self.path

    @property
    def host(self) -> str:
        """Return host and port that containerd takes for the registry."""
        return self.domain or self.path.partition("/")[0]

    @property
    def repository(self) -> str:
        """Return the repository's path on that host."""
        return self.path if self.domain else self.path.partition("/")[2]

    @property
    def target(self) -> str:
        """Return what is asked of the registry: the digest wins, the tag is then dropped.

        ``ParseDockerRef`` does so: a tag that does not exist with a good digest pulls.
        """
        return self.digest or self.tag or DEFAULT_TAG

    def __str__(self) -> str:
        if self.digest is not None:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}"

    @property
    def full(self) -> str:
        """Return the normalised text with everything that was written."""
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference | InvalidReference:
    """Read ``text`` as the kubelet does, with ``latest`` filled in where nothing is said."""
    if _IDENTIFIER.fullmatch(text):
        reason = "cannot specify 64-byte hexadecimal strings"
        return InvalidReference(text, Fault.MALFORMED, reason)
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if _lower(remote) != remote:
        reason = "invalid reference format: repository name must be lowercase"
        return InvalidReference(text, Fault.UPPERCASE, reason)
    whole = f"{domain}/{remainder}"
    parts = _split_reference(whole)
    if parts is None:
        return _refusal(text, whole)
    name_domain, path, tag, digest = parts
    if len(path) > PATH_LIMIT:
        reason = f"repository name must not be more than {PATH_LIMIT} characters"
        return InvalidReference(text, Fault.MALFORMED, reason)
    fault = _digest_fault(digest) if digest is not None else None
    if fault is not None:
        return InvalidReference(text, *fault)
    if tag is None and digest is None:
        return Reference(name_domain, path, DEFAULT_TAG, None, tag_written=False)
    return Reference(name_domain, path, tag, digest)


def _split_domain(text: str) -> tuple[str, str]:
    """Return domain and the rest; only the text before a first slash can be a domain."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, OFFICIAL_PREFIX + text
    if first == LEGACY_DEFAULT_DOMAIN:
        domain, remote = DEFAULT_DOMAIN, rest
    elif first == "localhost" or "." in first or ":" in first or _lower(first) != first:
        domain, remote = first, rest
    else:
        domain, remote = DEFAULT_DOMAIN, text
    if domain == DEFAULT_DOMAIN and "/" not in remote:
        remote = OFFICIAL_PREFIX + remote
    return domain, remote


def _lower(text: str) -> str:
    """Lower as Go's ``strings.ToLower``: letter for letter, where Python makes two of one."""
    return text.replace("\u0130", "i").lower()


def _split_reference(whole: str) -> tuple[str, str, str | None, str | None] | None:
    """Split ``[domain/]path[:tag][@digest]``; None when the grammar does not hold.

    The parts are matched one by one: a single pattern over hostile text backtracks
    over every way to cut it.
    """
    rest, at, digest = whole.partition("@")
    if at and not _DIGEST_ONLY.fullmatch(digest):
        return None
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    name, tag = (rest, None) if colon < 0 else (rest[:colon], rest[colon + 1 :])
    if tag is not None and not _TAG_ONLY.fullmatch(tag):
        return None
    split = _split_name(name)
    return None if split is None else (*split, tag, digest if at else None)


def _split_name(name: str) -> tuple[str, str] | None:
    """Split domain and path; the domain is empty where only the path's grammar holds."""
    first, slash, rest = name.partition("/")
    if slash and _DOMAIN_ONLY.fullmatch(first) and _PATH_ONLY.fullmatch(rest):
        return first, rest
    return ("", name) if _PATH_ONLY.fullmatch(name) else None


def _refusal(text: str, whole: str) -> InvalidReference:
    if _split_reference(_lower(whole)) is not None:
        return InvalidReference(text, Fault.UPPERCASE, "repository name must be lowercase")
    return InvalidReference(text, Fault.MALFORMED, "invalid reference format")


def _digest_fault(digest: str) -> tuple[Fault, str] | None:
    algorithm, _, encoded = digest.partition(":")
    digits = _HEX_DIGITS.get(algorithm)
    if digits is None:
        if algorithm.lower() != algorithm:
            return Fault.DIGEST_MALFORMED, "invalid checksum digest format"
        return Fault.DIGEST_UNSUPPORTED, "unsupported digest algorithm"
    if len(encoded) != digits:
        return Fault.DIGEST_MALFORMED, "invalid checksum digest length"
    if encoded.lower() != encoded:
        return Fault.DIGEST_MALFORMED, "invalid checksum digest format"
    return None


def address_fault(reference: Reference) -> str | None:
    """Tell why the registry's address can never be dialled, or None.

    The grammar bounds neither the port nor the groups of an IPv6 address; Go's
    ``net/url`` and ``net`` refuse them when containerd dials.
    """
    return literal_fault(reference) or port_fault(reference)


def literal_fault(reference: Reference) -> str | None:
    """Tell why the host is no IPv6 address: containerd looks before it looks for mirrors."""
    host, _ = split_port(reference.host)
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            return f"{host} is no IPv6 address"
    return None


def port_fault(reference: Reference) -> str | None:
    """Tell why the port cannot be dialled, or None; a mirror may stand for the host."""
    digits = split_port(reference.host)[1].lstrip("0")
    if _parsed_port(digits) > HIGHEST_PORT:
        return f"port {digits[:12]} is past {HIGHEST_PORT}"
    return None


def dialled_host(host: str) -> str:
    """Return ``host[:port]`` with a port past the highest as Go's ``net`` understands it."""
    name, port = split_port(host)
    digits = port.lstrip("0")
    if len(digits) < len(str(HIGHEST_PORT)):
        return host
    dialled = _parsed_port(digits)
    return f"{name}:{dialled}" if dialled <= HIGHEST_PORT else host


def _parsed_port(digits: str) -> int:
    """Read a port as ``parsePort`` of Go's ``net``, whose 32 bits can run over unseen."""
    port = 0
    for digit in digits:
        if port >= _PORT_CUTOFF:
            return _PORT_CUTOFF
        port = port * 10 % 2**32
        added = (port + int(digit)) % 2**32
        if added < port:
            return _PORT_CUTOFF
        port = added
    return port


def split_port(host: str) -> tuple[str, str]:
    """Split ``host[:port]``; the port is empty where none is written."""
    if host.endswith("]") or ":" not in host:
        return host, ""
    name, _, port = host.rpartition(":")
    return name, port
