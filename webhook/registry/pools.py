"""The pool's own sockets: each knows the deadline, the proxy and how Go reads an answer."""

import math
import ssl
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import httpcore

from webhook.registry.egress import Address, Guard
from webhook.registry.heads import Head, HeadReader, MalformedError, TooLargeError
from webhook.registry.names import Names
from webhook.registry.outcome import Cause
from webhook.registry.proxies import ProxyAddress
from webhook.registry.settings import RegistrySettings
from webhook.registry.sockets import (
    CONTAINERD_HEADER_SECONDS,
    CONTAINERD_TLS_SECONDS,
    Pipe,
    TroubledError,
    deadline,
    dial,
    within,
)
from webhook.registry.tls import DistrustError, TlsPipe, leaf_fault
from webhook.registry.wire import Trouble

_CHUNK = 65_536
_SHARE_OF_A_LOOK = 0.25
"""How much of the time a name's look-up may take where the proxy resolves it anyway."""
_PROXY_SPEAKS = ("http", "https")
_OK = 200
_SERVER_ERRORS = 500


@dataclass
class Call:
    """The request of this thread: how it goes, and the connections that it came to use."""

    secure: bool
    context: ssl.SSLContext
    proxy: ProxyAddress | None = None
    dial_seconds: float | None = None
    named: bool = False
    used: "list[Stream]" = field(default_factory=list)


call: ContextVar[Call] = ContextVar("call")
"""What the pool cannot pass on to the sockets that it asks for."""


class Backend(httpcore.NetworkBackend):
    """Resolves, judges and dials, each step inside the deadline."""

    def __init__(self, names: Names, settings: RegistrySettings) -> None:
        self._names = names
        self._settings = settings
        self._guard = Guard(settings)
        # A proxy may stand on loopback and in private ranges, for whoever set it wants it
        # dialled; it is named nowhere, so that metadata and link-local stay refused.
        egress = replace(settings.egress, local=True, private_ranges=True, deny=(), allow=())
        self._guard_of_proxies = Guard(replace(settings, registries=(), egress=egress))

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002  # the deadline rules
        local_address: str | None = None,  # noqa: ARG002  # the system chooses
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002  # none are set
    ) -> httpcore.NetworkStream:
        this = call.get()
        if this.proxy is not None:
            self._judge_beyond(host, port, self._guard_for(host, port, named=this.named))
            pipe = _through(self._to_proxy(this.proxy), this, host, port)
            return Stream(pipe)
        found = self._judged(host, port, self._guard_for(host, port, named=this.named))
        pipe, address = self._first(found, port)
        return Stream(pipe, lambda: self._first((address,), port)[0])

    def _judged(self, host: str, port: int, guard: Guard) -> tuple[Address, ...]:
        addresses = self._names.addresses(host, deadline.get())
        if isinstance(addresses, Trouble):
            raise TroubledError(addresses.cause, addresses.detail)
        _refuse(guard, host, port, addresses.found)
        return addresses.found

    def _first(self, found: Iterable[Address], port: int) -> tuple[Pipe, Address]:
        failure = TroubledError(Cause.DNS_NOT_FOUND, "no such host")
        for address in found:
            try:
                sock = dial(address, port, self._settings.connect, call.get().dial_seconds)
            except TroubledError as error:
                failure = error
            else:
                return Pipe(sock), address
        raise failure

    def _guard_for(self, host: str, port: int, *, named: bool) -> Guard:
        """Return who judges a host, where ``named`` as one that configuration names."""
        if not named:
            return self._guard
        egress = self._settings.egress
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Guard(replace(self._settings, egress=replace(egress, allow=(*egress.allow, shown))))

    def _judge_beyond(self, host: str, port: int, guard: Guard) -> None:
        """Judge a host that the proxy will resolve, as far as it resolves here."""
        addresses = self._names.addresses(host, deadline.get().share(_SHARE_OF_A_LOOK))
        if not isinstance(addresses, Trouble):
            _refuse(guard, host, port, addresses.found)

    def _to_proxy(self, proxy: ProxyAddress) -> Pipe:
        if proxy.scheme not in _PROXY_SPEAKS or not proxy.host or proxy.port is None:
            detail = "its proxy is neither http nor https, and is not gone through"
            raise TroubledError(Cause.EGRESS_REFUSED, detail)
        guard = self._guard_of_proxies
        try:
            found = self._judged(proxy.host, proxy.port, guard)
            pipe = self._first(found, proxy.port)[0]
        except TroubledError as error:
            raise _of_proxy(error, proxy) from error
        if proxy.scheme == "https":
            try:
                return TlsPipe(pipe, call.get().context, proxy.host)
            except TroubledError as error:
                pipe.close()
                raise _of_proxy(error, proxy) from error
            except BaseException:
                pipe.close()
                raise
        return pipe


def _refuse(guard: Guard, host: str, port: int, found: Iterable[Address]) -> None:
    for address in found:
        refusal = guard.refusal(host, port, address)
        if refusal is not None:
            # One refused address is enough: a name that points there is not dialled.
            raise TroubledError(Cause.EGRESS_REFUSED, refusal)


def _of_proxy(error: TroubledError, proxy: ProxyAddress) -> TroubledError:
    trouble = error.trouble
    cause = trouble.cause
    if cause is Cause.DNS_NOT_FOUND:
        # That the proxy has no address says nothing of the registry's name.
        cause = Cause.DNS_FAILING
    if cause is Cause.PLAIN_HTTP:
        cause = Cause.TLS_FAILING
    return TroubledError(cause, f"the proxy {proxy.shown}: {trouble.detail}", ended=trouble.ended)


def _through(pipe: Pipe, this: Call, host: str, port: int) -> Pipe:
    """Have a proxy open a tunnel for https; a plain request is sent to it as it is."""
    proxy = this.proxy
    if not this.secure or proxy is None:
        return pipe
    try:
        _tunnel(pipe, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except BaseException:
        pipe.close()
        raise
    return pipe


def _tunnel(pipe: Pipe, proxy: ProxyAddress, target: str) -> None:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    pipe.write("\r\n".join((*lines, "", "")).encode())
    reader = HeadReader(b"CONNECT")
    while True:
        came = pipe.read(_CHUNK)
        if not came:
            detail = f"the proxy {proxy.shown}: the connection broke off"
            raise TroubledError(Cause.RESET, detail, ended=True)
        try:
            # The server speaks only when spoken to: nothing of worth is behind the head.
            got = reader.feed(came)
        except (MalformedError, TooLargeError) as error:
            detail = f"the proxy {proxy.shown}: what it answers is no HTTP"
            raise TroubledError(Cause.RESET, detail) from error
        if got is not None:
            break
    status = got[0].status
    if status != _OK:
        cause = Cause.SERVER_ERROR if status >= _SERVER_ERRORS else Cause.UNEXPECTED_STATUS
        raise TroubledError(cause, f"the proxy {proxy.shown} answered {status}")


class Stream(httpcore.NetworkStream):
    """A pipe as the pool wants it; the deadline rules, not the pool's timeouts.

    The pool's parser sees no head of a peer: Go's rules read it, and the parser gets one
    of the same framing. ``head`` is what was read for the last request, ``reused`` tells
    whether it was not the connection's first, ``silent`` whether no byte came back.
    """

    def __init__(self, pipe: Pipe, again: Callable[[], Pipe] | None = None) -> None:
        self.head: Head | None = None
        self.reused = False
        self.silent = True
        self.ended = False
        self._pipe = pipe
        self._again = again
        self._reader: HeadReader | None = None
        self._left: float = 0
        self._requests = 0
        self._excess = False

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002  # as above
        if self._reader is None:
            self._requests += 1
            self.reused = self._requests > 1
            self.silent, self.ended, self.head = True, False, None
            self._reader = HeadReader(buffer.partition(b" ")[0])
        call.get().used.append(self)
        self._pipe.write(buffer)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  # as above
        if self._reader is None:
            return self._within(self._pipe.read(max_bytes))
        with within(CONTAINERD_HEADER_SECONDS, "it said nothing", again=False):
            return self._until_head(self._reader, max_bytes)

    def _until_head(self, reader: HeadReader, max_bytes: int) -> bytes:
        while True:
            came = self._pipe.read(max_bytes)
            if not came:
                ended = reader.promising
                raise TroubledError(Cause.RESET, "the connection broke off", ended=ended)
            self.silent = False
            try:
                got = reader.feed(came)
            except MalformedError as error:
                raise TroubledError(Cause.RESET, "what it answers is no HTTP") from error
            except TooLargeError as error:
                detail = "its headers are larger than is read here"
                raise TroubledError(Cause.OVERLOADED, detail) from error
            if got is not None:
                return self._began(*got)

    def _began(self, head: Head, rest: bytes) -> bytes:
        self.head, self._reader = head, None
        self._left = math.inf if head.length is None else head.length
        body = self._within(rest) if rest else b""
        if self._excess:
            head = replace(head, close=True)
        return head.plain + body

    def _within(self, body: bytes) -> bytes:
        """Return what is body; a connection that says more than that is not used again."""
        if not body:
            self.ended = True
        if len(body) > self._left:
            self._excess = True
            body = body[: int(self._left)]
        self._left -= len(body)
        return body

    def close(self) -> None:
        self._pipe.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002  # the pool's own offers ALPN, containerd none
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002  # as above
    ) -> httpcore.NetworkStream:
        name = server_hostname or ""
        try:
            with within(CONTAINERD_TLS_SECONDS, "the TLS handshake stood still", again=True):
                return Stream(TlsPipe(self._pipe, call.get().context, name))
        except DistrustError as error:
            self.close()
            raise self._fault_of_leaf(name) or error from error
        except BaseException:
            self.close()
            raise

    def _fault_of_leaf(self, name: str) -> TroubledError | None:
        if self._again is None:
            return None
        try:
            return leaf_fault(self._again(), name)
        except TroubledError:
            return None

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._excess or self._pipe.is_readable()
        if info == "ssl_object" and isinstance(self._pipe, TlsPipe):
            return self._pipe.tls
        return None
