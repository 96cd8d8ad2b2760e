"""What goes to a registry and what comes back, as values."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from webhook.registry.outcome import Cause

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Trust:
    """How one host is dialled: whom its certificate must please, and who we are.

    ``verify`` is False where containerd does not look at the certificate; ``cas`` are
    trusted beside the system's authorities; ``clients`` are our own certificates, each
    with its key (None: in the same file). ``dial_seconds`` bounds a connect, None:
    as configured.
    """

    verify: bool = True
    cas: tuple[Path, ...] = ()
    clients: tuple[tuple[Path, Path | None], ...] = ()
    dial_seconds: float | None = None


DEFAULT_TRUST = Trust()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. ``limit`` is how many bytes of the answer's body are wanted at most.

    ``user`` is the name whose credential or token goes along, for the evidence.
    ``explains``: it decides nothing and only makes a message better, so that nobody
    should wait long for it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    limit: int = 0
    user: str | None = None
    trust: Trust = DEFAULT_TRUST
    explains: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; names of headers are in lower case. ``truncated``: there was more body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    truncated: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a header, empty where it is missing."""
        return next((value for key, value in self.headers if key == name), "")

    def headers_named(self, name: str) -> tuple[str, ...]:
        """Return every value of a header, in order."""
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer came. ``detail`` is our own phrase, never the peer's."""

    cause: Cause
    detail: str = ""


Steps = Generator[Ask, Reply | Trouble, T]
"""A conversation: yields what to send, is sent what came back, returns its result."""


def shown_url(url: str, *, own: bool) -> str:
    """Return ``url`` as it may be shown: what stands behind ``?`` can be a signature."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = "" if not parts.query else parts.query if own else "…"
    return urlunsplit((parts.scheme, host, parts.path, query, ""))
