"""What goes to a registry and what comes back, as values."""

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

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
    ``named``: the node's configuration names this very host and port, so that it may be
    dialled wherever it is. ``explains``: it decides nothing and only makes a message
    better, so that nobody should wait long for it. ``unpacks`` are the encodings of the
    body that are undone, as Go's client does it unless it is told otherwise.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    limit: int = 0
    user: str | None = None
    trust: Trust = DEFAULT_TRUST
    named: bool = False
    explains: bool = False
    unpacks: tuple[str, ...] = ("gzip",)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; names of headers are in lower case. ``truncated``: there was more body.

    ``cut``: the connection ended before the body did, which is Go's ``ErrUnexpectedEOF``.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    truncated: bool = False
    cut: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a header, empty where it is missing."""
        return next((value for key, value in self.headers if key == name), "")

    def headers_named(self, name: str) -> tuple[str, ...]:
        """Return every value of a header, in order."""
        return tuple(value for key, value in self.headers if key == name)


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer came. ``detail`` is our own phrase, never the peer's.

    ``ended``: the peer closed an orderly connection without a word, which containerd
    takes for passing and asks the last host again (``isTransientTransportErr``).
    """

    cause: Cause
    detail: str = ""
    ended: bool = False


Steps = Generator[Ask, Reply | Trouble, T]
"""A conversation: yields what to send, is sent what came back, returns its result."""
