"""gunicorn's gthread worker, changed where a silent peer would cost others their answer.

The original gives a thread to each new connection, lets it wait there for the
first byte, the handshake and the request, and closes connections on the main
loop while it waits up to 2 s for the peer. Here a connection that waits for its
peer is *parked* in the poller, at no thread's cost, with a time to leave:

    accepted ─▶ handshake, step by step ─▶ idle ─▶ head of a request ─▶ a thread:
    body (bounded), review, answer ─▶ idle again, or part: wait for the peer's end

Only a body that is still on its way holds a thread, at most ``read_seconds``.
"""

import contextlib
import errno
import logging
import selectors
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from gunicorn import http, util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from webhook.server.logs import fault, one_line
from webhook.server.settings import CannotStart, ServerSettings
from webhook.server.tls import BoundedSocket, Identity

log = logging.getLogger(__name__)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
HEAD_END = b"\r\n\r\n"
LONGEST_HEAD = 64 * 1024
BOOT_BEGUN, BOOT_SERVED, BOOT_TOLD = 0, 1, 2
SWEEP_SECONDS = 0.25
STOP_SECONDS = 1.0
PART_SECONDS = 2.0
MOST_DRAINED = 16 * 1024 * 1024

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_STATUS: dict[type[Exception], tuple[int, str]] = {
    errors.LimitRequestLine: (414, "URI Too Long"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented"),
    errors.ExpectationFailed: (417, "Expectation Failed"),
}


@dataclass(frozen=True, slots=True)
class Wait:
    """What ``handle`` returns for a connection that has to wait for its peer."""

    event: int
    until: float | None = None


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """One peer's connection; what it does never blocks until a request's head is there."""

    sock: socket.socket
    timeout: float
    drained = 0
    gone = False
    head_by: float | None = None

    def greet(self, identity: Identity) -> int | None:
        """Take the handshake a step further; return the event to wait for, None when done."""
        if not isinstance(self.sock, BoundedSocket):
            self.sock = identity.wrap(self.sock)
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.initialized = True
        return None

    def gather(self) -> int | None:
        """Read what is there; return the event to wait for, None once a request's head is whole.

        Raises ConnectionError when the peer has ended, LimitRequestHeaders past 64 KiB.
        """
        held = self.parser.unreader.take_buffered()
        event: int | None = None
        while event is None and HEAD_END not in held:
            if len(held) > LONGEST_HEAD:
                raise errors.LimitRequestHeaders("the head of the request is too long")
            try:
                data = self.sock.recv(8192)
            except ssl.SSLWantReadError:
                event = READ
            except ssl.SSLWantWriteError:
                event = WRITE
            else:
                if not data:
                    raise ConnectionResetError(errno.ECONNRESET, "the peer has ended")
                held += data
        self.parser.unreader.unread(held)
        return event

    @property
    def tls(self) -> BoundedSocket:
        """Return the TLS socket that ``greet`` made."""
        assert isinstance(self.sock, BoundedSocket)  # noqa: S101  # greet ran before
        return self.sock

    @property
    def has_more(self) -> bool:
        """Tell whether bytes were read already, of which the poller would say nothing."""
        return bool(self.parser.unreader.buf.getvalue() or self.tls.pending())


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker behind ``POST /validate``; ``app`` is a ``process.Application``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings: ServerSettings = self.app.settings
        self.parked: dict[Connection, None] = {}
        self.stop_by = float("inf")
        self.next_sweep = 0.0

    # -- the process ---------------------------------------------------------

    def init_signals(self) -> None:
        """Let the first Ctrl-C, which reaches the whole group, stop as gently as SIGTERM."""
        super().init_signals()
        signal.signal(signal.SIGINT, self.handle_exit)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: readiness ends first."""
        self.app.drain()
        super().handle_exit(sig, frame)

    def notify(self) -> None:
        """Tell that the loop turns."""
        super().notify()
        self.app.turned_at = time.monotonic()

    def load_wsgi(self) -> None:
        """Make the application; exits with one line on stderr when that fails."""
        try:
            super().load_wsgi()
        except Exception as error:  # noqa: BLE001  # the first line of a container that fails
            reason = str(error) if isinstance(error, CannotStart) else fault(error)
            print(f"pullproof: cannot start: {one_line(reason)}", file=sys.stderr)  # noqa: T201
            self.app.boot[0] = BOOT_TOLD
            sys.exit(0)

    def run(self) -> None:
        """Serve until told to stop; then answer what was accepted."""
        self.app.boot[0] = BOOT_SERVED
        self.app.serving()
        try:
            super().run()
        except Exception as error:  # noqa: BLE001  # the arbiter would print its words
            log.error("the worker broke (%s)", fault(error))
            sys.exit(1)
        finally:
            self.app.stop()

    # -- accepting -----------------------------------------------------------

    def accept(self, listener: Any) -> bool:
        """Accept one connection and park it; return whether there was one."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                log.error("cannot accept a connection: %s", error.strerror)
                self._make_room()
            return False
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        conn.timeout = time.monotonic() + self.settings.handshake_seconds
        self._park(conn, READ)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """As the original; at the end, take what the kernel accepted and refuse the rest."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            listener.setblocking(False)
            while self.nr_conns < self.worker_connections and self.accept(listener):
                pass
            listener.close()

    # -- parked connections (main loop only) ---------------------------------

    def _park(
        self, conn: Connection, event: int, then: Callable[[Connection], None] | None = None
    ) -> None:
        conn.timeout = min(conn.timeout, self.stop_by)
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, event, partial(self._wake, conn, then or self._dispatch))
        self.parked[conn] = None

    def _wake(self, conn: Connection, then: Callable[[Connection], None], _sock: Any) -> None:
        self.poller.unregister(conn.sock)
        del self.parked[conn]
        try:
            then(conn)
        except Exception as error:  # noqa: BLE001  # one connection never ends the loop
            log.error("a connection was dropped (%s)", fault(error))
            self._drop(conn)

    def _dispatch(self, conn: Connection) -> None:
        if isinstance(conn.sock, BoundedSocket):
            conn.sock.ready_at = time.monotonic()
        self.enqueue_req(conn)

    def _drop(self, conn: Connection) -> None:
        if conn in self.parked:
            del self.parked[conn]
            with contextlib.suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)
        if conn.gone:
            return
        conn.gone = True
        self.nr_conns -= 1
        if not conn.initialized:
            self.app.metrics.handshake_failed()
        conn.close()

    def _make_room(self) -> None:
        """Drop the longest parked tenth: peers that are at work are never parked for long."""
        for conn in list(self.parked)[: 1 + len(self.parked) // 10]:
            self._drop(conn)

    def murder_pending(self) -> None:
        """Drop parked connections whose time is over."""
        now = time.monotonic()
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        if now < self.next_sweep and self.alive:
            return
        self.next_sweep = now + SWEEP_SECONDS
        for conn in [conn for conn in self.parked if conn.timeout <= now]:
            self._drop(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Give all that wait a moment more, in which a review on its way arrives."""
        self.stop_by = min(deadline, time.monotonic() + STOP_SECONDS)
        for conn in self.parked:
            conn.timeout = min(conn.timeout, self.stop_by)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """As the original, with an eye on the clock once the end is near."""
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, 0.05))

    # -- one step of a connection (a thread of the pool) ----------------------

    def handle(self, conn: Connection) -> Wait | bool:
        """Take a connection as far as it goes without its peer; say what comes next."""
        try:
            if not conn.initialized and (event := conn.greet(self.app.identity)):
                return Wait(event, conn.timeout)
            if event := conn.gather():
                return self._until_head(conn, event)
        except (OSError, ValueError) as error:
            self._note(conn, error)
            return False
        except errors.ParseException as error:
            conn.sock.setblocking(True)
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        conn.head_by = None
        conn.tls.read_by = time.monotonic() + self.settings.read_seconds
        return bool(super().handle(conn))

    def _until_head(self, conn: Connection, event: int) -> Wait:
        now = time.monotonic()
        if not conn.parser.unreader.buf.getvalue():
            return Wait(event, now + self.settings.keepalive_seconds)
        conn.head_by = conn.head_by or now + self.settings.read_seconds
        return Wait(event, conn.head_by)

    def _note(self, conn: Connection, error: Exception) -> None:
        """Log what an operator can mend: a peer that distrusts us, or that speaks no TLS."""
        if isinstance(error, ssl.SSLError) and error.reason:
            words = error.reason.lower().replace("_", " ")
            log.warning("TLS with %s failed: %s", conn.client[0], one_line(words, 100))

    def finish_request(self, conn: Connection, fs: "Future[Wait | bool]") -> None:
        """Do what the step asks for: park, go on, or part. Runs on the main loop."""
        try:
            result = fs.result() if not fs.cancelled() else False
            if isinstance(result, Wait):
                conn.timeout = result.until or float("inf")
                self._park(conn, result.event)
            elif not result:
                self._part(conn)
            elif conn.has_more:
                self._dispatch(conn)
            else:
                conn.set_timeout()
                self._park(conn, READ)
        except Exception as error:  # noqa: BLE001  # one connection never ends the loop
            log.error("a connection was dropped (%s)", fault(error))
            self._drop(conn)

    # -- the end of a connection (RFC 9112 section 9.6) ------------------------

    def _part(self, conn: Connection) -> None:
        """Say goodbye and wait, parked, for the peer's end: else it may miss the answer."""
        if not conn.initialized:
            self.app.metrics.handshake_failed()
            conn.initialized = True
        try:
            conn.sock.setblocking(False)
            if isinstance(conn.sock, ssl.SSLSocket):
                with contextlib.suppress(OSError, ValueError):
                    conn.sock.unwrap()
            conn.sock.shutdown(socket.SHUT_WR)
            conn.timeout = time.monotonic() + PART_SECONDS
            self._park(conn, READ, self._drain)
        except (OSError, ValueError, KeyError):
            self._drop(conn)

    def _drain(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(64 * 1024)
        except BlockingIOError:
            data = None
        except OSError:
            data = b""
        conn.drained += len(data or b"")
        if data == b"" or conn.drained > MOST_DRAINED:
            self._drop(conn)
        else:
            self._park(conn, READ, self._drain)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer what is no HTTP with one plain line; log one. ``req`` is not looked at."""
        del req
        if isinstance(exc, ssl.SSLError):
            return
        status, reason = 503, "Service Unavailable"
        if isinstance(exc, errors.ParseException):
            status, reason = _STATUS.get(type(exc), (400, "Bad Request"))
        self.app.metrics.rejected(status)
        log.warning("refused a request from %s: %d (%s)", addr[0], status, fault(exc))
        body = f"{reason}\n"
        head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: text/plain\r\n"
        with contextlib.suppress(OSError):
            util.write(client, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
