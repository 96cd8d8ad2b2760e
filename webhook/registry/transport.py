"""The one file that speaks HTTP: httpx over a pool whose every socket knows the deadline.

httpx counts a timeout anew for each read, so a registry that drips single bytes
holds a thread as long as it likes. Here the network backend under the pool caps
each connect, read, write and TLS step at what is left of an absolute deadline; a
cut is then an ordinary timeout that the pool cleans up after. The same seam
resolves names, asks the guard, and dials the very address that was judged.
"""

import logging
import ssl
import zlib
from collections.abc import Iterable, Iterator
from http.cookiejar import CookieJar
from threading import Lock
from typing import Any

import httpcore
import httpx

from webhook.deadline import Deadline
from webhook.registry.egress import Guard
from webhook.registry.names import Names
from webhook.registry.outcome import Cause
from webhook.registry.settings import RegistrySettings
from webhook.registry.sockets import Pipe, TroubledError, dial
from webhook.registry.sockets import deadline as deadline_of_thread
from webhook.registry.tls import TlsPipe, tls_context
from webhook.registry.wire import Ask, Reply, Trouble, Trust

MAX_CONNECTIONS = 256
IDLE_SECONDS = 30.0
USER_AGENT = "pullproof"

# httpx tells every URL at level INFO; a token service's can hold what nobody should read.
logging.getLogger("httpx").setLevel(logging.WARNING)

_CHUNK = 65_536
_PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Encodings that Go unpacks unasked, with zlib's word for each."""


class Transport:
    """Sends one :class:`Ask` at a time and returns what came back; never raises for a peer."""

    def __init__(self, settings: RegistrySettings) -> None:
        self._names = Names()
        self._backend = _Backend(self._names, Guard(settings), settings.connect)
        self._clients: dict[Trust, httpx.Client] = {}
        self._closed = False
        self._lock = Lock()

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        """Send ``ask``; a connection that broke off is tried once more, as Go does."""
        answer = self._send_once(ask, deadline)
        if isinstance(answer, Trouble) and answer.cause is Cause.RESET and ask.body is None:
            return self._send_once(ask, deadline)
        return answer

    def _send_once(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        token = deadline_of_thread.set(deadline)
        try:
            client = self._client(ask.trust)
            with client.stream(
                ask.method, ask.url, headers=list(ask.headers), content=ask.body
            ) as response:
                encoding = response.headers.get("content-encoding", "").strip().lower()
                chunks = response.iter_raw(_CHUNK)
                if encoding in _PACKED and ask.method != "HEAD":
                    # As in Go, the length of what was packed is no length any more.
                    response.headers.pop("content-length", None)
                    chunks = _unpacked(chunks, _PACKED[encoding], ask.limit)
                body, truncated = _read(chunks, ask.limit)
                headers = tuple((k.lower(), v) for k, v in response.headers.multi_items())
                return Reply(response.status_code, headers, body, truncated)
        except TroubledError as error:
            return error.trouble
        except httpcore.TimeoutException:
            return Trouble(Cause.DEADLINE, "no answer in time")
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return Trouble(Cause.RESET, "the connection broke off")
        except zlib.error:
            return Trouble(Cause.UNEXPECTED_STATUS, "what it sent cannot be unpacked")
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol, ValueError):
            return Trouble(Cause.UNEXPECTED_STATUS, "no request can be made of that address")
        except RuntimeError:
            if not self._closed:
                raise
            return Trouble(Cause.OVERLOADED, "it is being closed")
        finally:
            deadline_of_thread.reset(token)

    def _client(self, trust: Trust) -> httpx.Client:
        with self._lock:
            client = self._clients.get(trust)
            if self._closed:
                raise TroubledError(Cause.OVERLOADED, "it is being closed")
            if client is None:
                client = _new_client(tls_context(trust), self._backend)
                self._clients[trust] = client
            return client

    def close(self) -> None:
        """Close every connection; what is under way ends as one that broke off."""
        with self._lock:
            self._closed = True
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


def _unpacked(chunks: Iterator[bytes], wbits: int, limit: int) -> Iterator[bytes]:
    """Unpack no more than ``_read`` looks at: a few bytes can stand for gigabytes."""
    unpacking = zlib.decompressobj(wbits)
    left = limit + 1
    for chunk in chunks:
        while chunk and left > 0 and not unpacking.eof:
            piece = unpacking.decompress(chunk, left)
            chunk = unpacking.unconsumed_tail  # noqa: PLW2901  # what did not fit
            left -= len(piece)
            yield piece


class _NoCookies(CookieJar):
    """A cookie of one tenant's registry would travel with the next tenant's request."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Take none."""

    def add_cookie_header(self, request: Any) -> None:
        """Send none."""


def _new_client(context: ssl.SSLContext, backend: httpcore.NetworkBackend) -> httpx.Client:
    client = httpx.Client(
        transport=_PoolTransport(context, backend),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
    )
    client.cookies.jar = _NoCookies()
    return client


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
                extensions={"timeout": {"pool": deadline_of_thread.get().left()}},
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
        addresses = self._names.addresses(host, deadline_of_thread.get())
        if isinstance(addresses, Trouble):
            raise TroubledError(addresses.cause, addresses.detail)
        failure = TroubledError(Cause.DNS_NOT_FOUND, "no such host")
        for address in addresses.found:
            refusal = self._guard.refusal(host, port, address)
            if refusal is not None:
                # One refused address is enough: a name that points there is not dialled.
                raise TroubledError(Cause.EGRESS_REFUSED, refusal)
        for address in addresses.found:
            try:
                return _Stream(Pipe(dial(address, port, self._connect)))
            except TroubledError as error:
                failure = error
        raise failure


class _Stream(httpcore.NetworkStream):
    """A pipe as the pool wants it; the deadline rules, not the pool's timeouts."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._pipe.read(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._pipe.write(buffer)

    def close(self) -> None:
        self._pipe.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        try:
            return _Stream(TlsPipe(self._pipe, ssl_context, server_hostname))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._pipe.is_readable()
        if info == "ssl_object" and isinstance(self._pipe, TlsPipe):
            return self._pipe.tls
        return None
