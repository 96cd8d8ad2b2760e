"""The one file that speaks HTTP: httpx over a pool whose every socket knows the deadline.

httpx counts a timeout anew for each read, so a registry that drips single bytes
holds a thread as long as it likes. Here the network backend under the pool caps
each connect, read, write and TLS step at what is left of an absolute deadline; a
cut is then an ordinary timeout that the pool cleans up after. The same seam
resolves names, asks the guard, and dials the very address that was judged.
"""

import errno
import logging
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from threading import Lock
from typing import Any

import httpcore
import httpx

from webhook.deadline import Deadline
from webhook.registry.egress import Address, Guard
from webhook.registry.names import Names
from webhook.registry.outcome import Cause
from webhook.registry.settings import RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble

MAX_CONNECTIONS = 256
IDLE_SECONDS = 30.0
CONTAINERD_DIAL_SECONDS = 30.0
"""After so long containerd itself gives up; a shorter wait of ours proves nothing."""
USER_AGENT = "pullproof"

# httpx tells every URL at level INFO; a token service's can hold what nobody should read.
logging.getLogger("httpx").setLevel(logging.WARNING)

_deadline: ContextVar[Deadline] = ContextVar("deadline")
_CHUNK = 65_536
_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})
_EXPIRED = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_WRONG_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


class _TroubledError(httpcore.NetworkError):
    """Carries a named trouble through the pool, which closes the connection for it."""

    def __init__(self, cause: Cause, detail: str = "") -> None:
        super().__init__(detail)
        self.trouble = Trouble(cause, detail)


class Transport:
    """Sends one :class:`Ask` at a time and returns what came back; never raises for a peer."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._names = Names()
        self._backend = _Backend(self._names, Guard(settings), settings.connect)
        self._clients: dict[tuple[bool, Path | None], httpx.Client] = {}
        self._lock = Lock()

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        """Send ``ask``; a connection that broke off is tried once more, as Go does."""
        answer = self._send_once(ask, deadline)
        if isinstance(answer, Trouble) and answer.cause is Cause.RESET and ask.body is None:
            return self._send_once(ask, deadline)
        return answer

    def _send_once(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        token = _deadline.set(deadline)
        try:
            client = self._client(ask.verify, ask.ca)
            with client.stream(
                ask.method, ask.url, headers=list(ask.headers), content=ask.body
            ) as response:
                body, truncated = _read(response.iter_raw(_CHUNK), ask.limit)
                headers = tuple((k.lower(), v) for k, v in response.headers.multi_items())
                return Reply(response.status_code, headers, body, truncated)
        except _TroubledError as error:
            return error.trouble
        except httpcore.TimeoutException:
            return Trouble(Cause.DEADLINE, "no answer in time")
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return Trouble(Cause.RESET, "the connection broke off")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError):
            return Trouble(Cause.UNEXPECTED_STATUS, "no request can be made of that address")
        finally:
            _deadline.reset(token)

    def _client(self, verify: bool, ca: Path | None) -> httpx.Client:
        with self._lock:
            client = self._clients.get((verify, ca))
            if client is None:
                client = _new_client(_tls_context(verify, ca), self._backend)
                self._clients[verify, ca] = client
            return client

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for client in self._clients.values():
                client.close()
        self._names.close()


def _read(chunks: Iterator[bytes], limit: int) -> tuple[bytes, bool]:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > limit:
            return bytes(body[:limit]), True
    return bytes(body), False


def _new_client(context: ssl.SSLContext, backend: httpcore.NetworkBackend) -> httpx.Client:
    client = httpx.Client(
        transport=_PoolTransport(context, backend),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
    )
    # A cookie of one tenant's registry would travel with the next tenant's request.
    client.cookies = httpx.Cookies()
    client.cookies.jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return client


def _tls_context(verify: bool, ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts what Go's default trusts: the system, and ``ca`` beside."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go takes any trusted certificate for an anchor, and has no strict mode.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:
            raise _TroubledError(Cause.EGRESS_REFUSED, "its CA file cannot be read") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _PoolTransport(httpx.BaseTransport):
    """``httpx.HTTPTransport`` without its own backend: the seam that httpx has no option for."""

    def __init__(self, context: ssl.SSLContext, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions={"timeout": {"pool": _deadline.get().left()}},
            )
        )
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_ResponseStream(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _ResponseStream(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Backend(httpcore.NetworkBackend):
    """Resolves, judges and dials, each step inside the deadline."""

    def __init__(self, names: Names, guard: Guard, connect: float) -> None:
        self._names = names
        self._guard = guard
        self._connect = connect

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # the deadline rules
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        addresses = self._names.addresses(host, _deadline.get())
        if isinstance(addresses, Trouble):
            raise _TroubledError(addresses.cause, addresses.detail)
        failure = _TroubledError(Cause.DNS_NOT_FOUND, "no such host")
        for address in addresses.found:
            refusal = self._guard.refusal(host, port, address)
            if refusal is not None:
                # One refused address is enough: a name that points there is not dialled.
                raise _TroubledError(Cause.EGRESS_REFUSED, refusal)
        for address in addresses.found:
            try:
                return _Stream(self._dial(address, port))
            except _TroubledError as error:
                failure = error
        raise failure

    def _dial(self, address: Address, port: int) -> socket.socket:
        limit = min(self._connect, _time_left())
        try:
            dialled = socket.create_connection((str(address), port), timeout=limit)
        except TimeoutError as error:
            if error.errno == errno.ETIMEDOUT or limit >= CONTAINERD_DIAL_SECONDS:
                raise _TroubledError(Cause.TIMEOUT, "no connection came about") from error
            raise _TroubledError(Cause.DEADLINE, f"no connection within {limit:.1f} s") from error
        except ConnectionRefusedError as error:
            raise _TroubledError(Cause.REFUSED, "connection refused") from error
        except OSError as error:
            if error.errno in _NO_ROUTE:
                raise _TroubledError(Cause.REFUSED, "no route to host") from error
            raise _TroubledError(Cause.RESET, "the connection broke off") from error
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return dialled


def _time_left() -> float:
    left = _deadline.get().left()
    if left <= 0:
        raise _TroubledError(Cause.DEADLINE, "no answer in time")
    return left


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends at the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        try:
            self._sock.settimeout(_time_left())
            return self._sock.recv(max_bytes)
        except TimeoutError as error:
            raise _TroubledError(Cause.DEADLINE, "no answer in time") from error
        except OSError as error:
            raise _TroubledError(Cause.RESET, "the connection broke off") from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        try:
            self._sock.settimeout(_time_left())
            self._sock.sendall(buffer)
        except TimeoutError as error:
            raise _TroubledError(Cause.DEADLINE, "it took no request in time") from error
        except OSError as error:
            raise _TroubledError(Cause.RESET, "the connection broke off") from error

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            return _Stream(_handshake(self._sock, ssl_context, server_hostname))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return _is_readable(self._sock)
        if info == "ssl_object" and isinstance(self._sock, ssl.SSLSocket):
            return self._sock
        return None


def _is_readable(sock: socket.socket) -> bool:
    """Tell whether an idle connection has something to say: then it was closed."""
    try:
        sock.settimeout(0)
        return bool(socket.socket.recv(sock, 1, socket.MSG_PEEK) or True)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _handshake(sock: socket.socket, context: ssl.SSLContext, name: str | None) -> ssl.SSLSocket:
    """Shake hands within the deadline, and tell a plain HTTP server from a broken one."""
    try:
        sock.settimeout(_time_left())
        tls = context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        tls.setblocking(False)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            tls.settimeout(_time_left())
            # An HTTP server answers the hello in its own language; containerd looks at this too.
            if socket.socket.recv(tls, 5, socket.MSG_PEEK) == b"HTTP/":
                raise _TroubledError(Cause.PLAIN_HTTP, "it answers in plain HTTP") from None
        tls.settimeout(_time_left())
        tls.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise _distrust(error) from error
    except TimeoutError as error:
        raise _TroubledError(Cause.DEADLINE, "no TLS handshake in time") from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError) as error:
        raise _TroubledError(Cause.RESET, "the TLS handshake broke off") from error
    except (OSError, ValueError) as error:
        raise _TroubledError(Cause.TLS_FAILING, "the TLS handshake failed") from error
    return tls


def _distrust(error: ssl.SSLCertVerificationError) -> _TroubledError:
    if error.verify_code in _EXPIRED:
        return _TroubledError(Cause.CERTIFICATE_EXPIRED, "its certificate is out of its time")
    if error.verify_code in _WRONG_NAME:
        return _TroubledError(Cause.CERTIFICATE_WRONG_NAME, "its certificate names other hosts")
    return _TroubledError(
        Cause.CERTIFICATE_UNKNOWN_AUTHORITY, "its certificate is of an unknown authority"
    )
