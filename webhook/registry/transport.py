"""The one file that speaks HTTP: httpx over a pool whose every socket knows the deadline.

httpx counts a timeout anew for each read, so a registry that drips single bytes
holds a thread as long as it likes. Here the network backend under the pool caps
each connect, read, write and TLS step at what is left of an absolute deadline; a
cut is then an ordinary timeout that the pool cleans up after. The same seam
resolves names, asks the guard, and dials the very address that was judged.
"""

import logging
import os
import ssl
import zlib
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any

import httpcore
import httpx

from webhook.deadline import Deadline
from webhook.registry.clients import Client, Clients
from webhook.registry.names import Names
from webhook.registry.outcome import Cause
from webhook.registry.pools import Backend, Call, Stream, call
from webhook.registry.proxies import proxy_for, proxy_of_environment
from webhook.registry.settings import RegistrySettings
from webhook.registry.sockets import TroubledError
from webhook.registry.sockets import deadline as deadline_of_thread
from webhook.registry.wire import Ask, Reply, Trouble

MAX_CONNECTIONS = 256
IDLE_SECONDS = 30.0
USER_AGENT = "pullproof"

# httpx tells every URL at level INFO; a token service's can hold what nobody should read.
logging.getLogger("httpx").setLevel(logging.WARNING)

_PACKED = {"gzip": 31, "deflate": -15}
"""Encodings that containerd unpacks unasked, with zlib's word for each."""


class Transport:
    """Sends one :class:`Ask` at a time and returns what came back; never raises for a peer.

    The environment's proxies are read here and once, where the settings name none.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._names = Names()
        self._proxy = settings.proxy or proxy_of_environment(os.environ)
        backend = Backend(self._names, settings)
        self._clients = Clients(lambda: _new_client(backend))

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        """Send ``ask``; where a kept connection turns out to be closed, by another one.

        Rule: ``persistConn.shouldRetryRequest`` of ``net/http``: no byte came back over
        a connection that had served before, and the request can be repeated.
        """
        while True:
            used: list[Stream] = []
            answer = self._send_once(ask, deadline, used)
            if not isinstance(answer, Trouble) or answer.cause is not Cause.RESET:
                return answer
            if ask.body is not None or not used or not (used[-1].reused and used[-1].silent):
                return answer

    def _send_once(self, ask: Ask, deadline: Deadline, used: list[Stream]) -> Reply | Trouble:
        token = deadline_of_thread.set(deadline)
        try:
            proxy = proxy_for(ask.url, self._proxy)
            with self._clients.lent(ask.trust, named=ask.named) as client:
                this = Call(
                    ask.url.startswith("https:"),
                    client.context,
                    proxy,
                    ask.trust.dial_seconds,
                    ask.named,
                    used,
                )
                return _exchanged(client, ask, this)
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
            if not self._clients.closed:
                raise
            return Trouble(Cause.OVERLOADED, "it is being closed")
        finally:
            deadline_of_thread.reset(token)

    def close(self) -> None:
        """Close every connection; what is under way ends as one that broke off."""
        self._clients.close()
        self._names.close()


def _exchanged(client: Client, ask: Ask, this: Call) -> Reply:
    token = call.set(this)
    try:
        return _answer(client, ask, this)
    finally:
        call.reset(token)


def _answer(client: Client, ask: Ask, this: Call) -> Reply:
    with client.http.stream(
        ask.method, ask.url, headers=list(ask.headers), content=ask.body
    ) as response:
        stream = this.used[-1]
        # Once the body has ended, the connection may serve another thread's request.
        head = stream.head
        if head is None:
            # The parser had bytes left over from before: whose answer they are, nobody knows.
            raise TroubledError(Cause.RESET, "it says more than it was asked")
        headers = head.headers
        encoding = _value(headers, "content-encoding").strip().lower()
        chunks = _until_cut(response.iter_raw(), stream)
        if encoding in ask.unpacks and encoding in _PACKED and ask.method != "HEAD":
            # As in Go, the length of what was packed is no length any more.
            headers = tuple(header for header in headers if header[0] != "content-length")
            chunks = _unpacked(chunks, _PACKED[encoding], ask.limit)
        body, truncated, cut = _read(chunks, ask.limit)
        return Reply(head.status, headers, body, truncated, cut)


class _CutError(Exception):
    """The body ended before it was whole."""


def _value(headers: tuple[tuple[str, str], ...], name: str) -> str:
    return next((value for key, value in headers if key == name), "")


def _until_cut(chunks: Iterator[bytes], stream: Stream) -> Iterator[bytes]:
    try:
        yield from chunks
    except httpcore.RemoteProtocolError as error:
        if stream.ended:
            raise _CutError from error
        raise


def _read(chunks: Iterator[bytes], limit: int) -> tuple[bytes, bool, bool]:
    """Return the body up to ``limit``, whether there was more, whether it was cut."""
    body = bytearray()
    try:
        for chunk in chunks:
            body += chunk
            if len(body) > limit:
                return bytes(body[:limit]), True, False
    except _CutError:
        return bytes(body), False, True
    return bytes(body), False, False


def _unpacked(chunks: Iterator[bytes], wbits: int, limit: int) -> Iterator[bytes]:
    """Unpack no more than ``_read`` looks at: a few bytes can stand for gigabytes."""
    unpacking = zlib.decompressobj(wbits)
    left = limit + 1
    came = False
    for chunk in chunks:
        came = True
        while chunk and left > 0 and not unpacking.eof:
            piece = unpacking.decompress(chunk, left)
            chunk = unpacking.unconsumed_tail  # noqa: PLW2901  # what did not fit
            left -= len(piece)
            yield piece
    if came and left > 0 and not unpacking.eof:
        raise _CutError


class _NoCookies(CookieJar):
    """A cookie of one tenant's registry would travel with the next tenant's request."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Take none."""

    def add_cookie_header(self, request: Any) -> None:
        """Send none."""


def _new_client(backend: httpcore.NetworkBackend) -> httpx.Client:
    client = httpx.Client(
        transport=_PoolTransport(backend),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
    )
    client.cookies.jar = _NoCookies()
    return client


class _PoolTransport(httpx.BaseTransport):
    """``httpx.HTTPTransport`` without its own backend: the seam that httpx has no option for."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._pool = httpcore.ConnectionPool(
            # The pool's to play with; our streams take the context of the call.
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target, headers = request.url.raw_path, list(request.headers.raw)
        proxy = call.get().proxy
        if proxy is not None and request.url.scheme == "http":
            target = b"http://" + request.url.netloc + target
            if proxy.authorization is not None:
                headers.append((b"Proxy-Authorization", proxy.authorization.encode()))
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=target,
        )
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=url,
                headers=headers,
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
