"""The TLS side: contexts that follow their files, and sockets that wait no longer than told."""

import errno
import logging
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from certs.inspect import UnreadableCertificate, certificate_facts
from webhook.server.settings import CannotStart

log = logging.getLogger(__name__)

SEND_SECONDS = 10.0
RETRY_SECONDS = 1.0

_Stamp = tuple[tuple[int, int, int, int, int], ...]


class BoundedSocket(ssl.SSLSocket):
    """A TLS socket whose blocking reads end at ``read_by`` and whose writes end in 10 s.

    ``read_by`` and ``ready_at`` (when the request was there to be read) are
    moments of the monotonic clock. A peer that is too slow counts as one that
    reset the connection: gunicorn passes over that without a traceback.
    """

    read_by: float = float("inf")
    ready_at: float | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive as any socket does; raises ConnectionResetError past ``read_by``."""
        if self.gettimeout() == 0:
            return super().recv(buflen, flags)
        left = self.read_by - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self.settimeout(min(left, threading.TIMEOUT_MAX))
            return super().recv(buflen, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the peer sent too slowly") from None

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        """Send as any socket does; raises ConnectionResetError when the peer takes nothing."""
        if self.gettimeout() == 0:
            return super().send(data, flags)
        self.settimeout(SEND_SECONDS)
        try:
            return super().send(data, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the peer reads too slowly") from None


@dataclass(frozen=True, slots=True)
class _Loaded:
    stamp: _Stamp
    context: ssl.SSLContext
    not_after: datetime


class Identity:
    """The certificate in force: loaded anew when its files change, with no signal.

    New files that cannot be used (half-written, or of another key) leave what
    was in force, with one line in the log. Safe to use from any thread.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Load the files; raises CannotStart when they cannot be used."""
        self._files = [certificate, key] + ([client_ca] if client_ca else [])
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._lock = threading.Lock()
        self._refused: tuple[_Stamp, float] | None = None
        self._missing = False
        try:
            self._loaded = self._load(_stamp(self._files))
        except _Unusable as error:
            raise CannotStart(str(error)) from None
        except OSError as error:
            raise CannotStart(f"{error.filename}: {error.strerror}") from None

    def wrap(self, sock: socket.socket) -> BoundedSocket:
        """Return the TLS side of an accepted connection, before its handshake.

        It takes over ``sock``. Raises OSError when the peer is gone already.
        """
        self._refresh()
        wrapped = self._loaded.context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
        assert isinstance(wrapped, BoundedSocket)  # noqa: S101  # the context's own class
        return wrapped

    @property
    def not_after(self) -> datetime:
        """Return when the certificate in force expires (UTC)."""
        self._refresh()
        return self._loaded.not_after

    @property
    def expired(self) -> bool:
        """Tell whether the certificate in force has expired."""
        return datetime.now(UTC) > self.not_after

    def _refresh(self) -> None:
        try:
            stamp = _stamp(self._files)
        except OSError as error:
            if not self._missing:
                self._missing = True
                log.warning("certificate not reloaded, the last good one stays: %s", error.strerror)
            return
        self._missing = False
        if stamp == self._loaded.stamp:
            return
        with self._lock:
            if stamp != self._loaded.stamp and not self._refused_lately(stamp):
                self._replace(stamp)

    def _refused_lately(self, stamp: _Stamp) -> bool:
        # Stamps have the granularity of a kernel tick: equal ones are tried again, only later.
        return (
            self._refused is not None
            and self._refused[0] == stamp
            and time.monotonic() < self._refused[1]
        )

    def _replace(self, stamp: _Stamp) -> None:
        try:
            self._loaded = self._load(stamp)
        except (_Unusable, OSError) as error:
            if self._refused is None or self._refused[0] != stamp:
                reason = error.strerror if isinstance(error, OSError) else error
                log.warning("certificate not reloaded, the last good one stays: %s", reason)
            self._refused = (stamp, time.monotonic() + RETRY_SECONDS)
            return
        self._refused = None
        log.info("certificate reloaded, valid until %s", self._loaded.not_after.isoformat())

    def _load(self, stamp: _Stamp) -> _Loaded:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        context.sslsocket_class = BoundedSocket
        try:
            # The password is there so that OpenSSL never asks for one on a terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
            if self._client_ca:
                context.load_verify_locations(cafile=self._client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            facts = certificate_facts(self._certificate.read_bytes())
        except ssl.SSLError as error:
            raise _Unusable(self._reason(error)) from None
        except UnreadableCertificate as error:
            raise _Unusable(f"{self._certificate}: {error}") from None
        return _Loaded(stamp, context, facts.not_after)

    def _reason(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"the key in {self._key} does not belong to {self._certificate}"
        files = ", ".join(str(path) for path in self._files)
        return f"no usable certificate in {files} ({error.reason or 'not PEM'})"


class _Unusable(Exception):  # noqa: N818  # named for what it is
    """The files cannot be used; ``str()`` is a plain reason."""


def _stamp(files: list[Path]) -> _Stamp:
    stats = [path.stat() for path in files]
    return tuple((s.st_dev, s.st_ino, s.st_mtime_ns, s.st_ctime_ns, s.st_size) for s in stats)
