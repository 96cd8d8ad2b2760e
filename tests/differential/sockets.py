"""The lab's listening sockets: many addresses and ports at once, a thread for each connection."""

from __future__ import annotations

import errno
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from tests.differential.behaviour import Behaviour, Request, Response
from tests.differential.model import Server

_TLS_HELLO = b"\x16"
# Longer than any limit of containerd; then the connection ends.
_SILENCE = 75
_PATIENCE = 20

_IPV6_FREEBIND = 78  # include/uapi/linux/in6.h


@dataclass
class Recorded:
    """One request that reached a server of a case, and what it was told."""

    server: str
    method: str
    target: str
    auth: str
    user: str | None
    status: int | None

    def __str__(self) -> str:
        user = f" {self.user}" if self.user else ""
        auth = f" ({self.auth}{user})" if self.auth != "none" or user else ""
        status = "no answer" if self.status is None else self.status
        return f"{self.server}: {self.method} {self.target}{auth} -> {status}"


@dataclass(eq=False)
class Booth:
    """One server that is open now, with the connections it has."""

    server: Server
    behaviour: Behaviour
    context: ssl.SSLContext | None
    record: Callable[[Recorded], None]
    over: threading.Event = field(default_factory=threading.Event)
    taken: set[socket.socket] = field(default_factory=set)
    listeners: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        self.over.set()
        for sock in list(self.taken):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _bind(listener: socket.socket, address: str, port: int) -> None:
    """Wait for a client's passing use of the port: the lab's clients take ports by chance."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > until:
                error.add_note(f"{address} port {port}")
                raise
            time.sleep(0.1)
        else:
            return


class Street:
    """Accepts for every open booth on one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closing: list[socket.socket] = []
        self._opening: list[tuple[socket.socket, Booth]] = []
        threading.Thread(target=self._accept, daemon=True, name="street").start()

    def open(self, booth: Booth, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # The lab's route makes an address of IPv4 local enough to be bound, not one of IPv6.
            listener.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        _bind(listener, address, port)
        listener.listen(64)
        listener.setblocking(False)
        booth.listeners.append(listener)
        with self._lock:
            self._opening.append((listener, booth))
        self._wake.send(b"x")

    def close(self, booth: Booth) -> None:
        booth.close()
        with self._lock:
            self._closing.extend(booth.listeners)
        self._wake.send(b"x")
        for listener in booth.listeners:
            # The address must be free again when this returns: shutdown frees it at once.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._change()
                    continue
                listener = key.fileobj
                assert isinstance(listener, socket.socket)
                with suppress(OSError):
                    sock, _ = listener.accept()
                    booth = key.data
                    booth.taken.add(sock)
                    threading.Thread(
                        target=_serve, args=(sock, booth), daemon=True, name=booth.server.as_
                    ).start()

    def _change(self) -> None:
        with self._lock:
            opening, self._opening = self._opening, []
            closing, self._closing = self._closing, []
        for listener, booth in opening:
            self._selector.register(listener, selectors.EVENT_READ, booth)
        for listener in closing:
            with suppress(KeyError, ValueError):
                self._selector.unregister(listener)
            listener.close()


def _serve(sock: socket.socket, booth: Booth) -> None:
    spoken: socket.socket = sock
    try:
        sock.settimeout(120)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not _misbehaves(sock, booth):
            tls = _says_hello(sock)
            if tls and booth.context is None:
                sock.sendall(_plain_answer("Client sent an HTTPS request to an HTTP server."))
                return
            if booth.context is not None:
                if not tls:
                    _hear(sock, b"")
                    sock.sendall(_plain_answer("Client sent an HTTP request to an HTTPS server."))
                    return
                # By hand: a handshake that fails inside would close with words unsaid.
                spoken = booth.context.wrap_socket(
                    sock, server_side=True, do_handshake_on_connect=False
                )
                booth.taken.add(spoken)
                spoken.do_handshake()
            _talk(spoken, booth)
    except (OSError, ssl.SSLError, ValueError):
        pass
    finally:
        booth.taken.discard(sock)
        booth.taken.discard(spoken)
        _hang_up(spoken)
        _hang_up(sock)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(0.2)
            sock.unwrap()
    with suppress(OSError):
        # What is unread at a close makes it a reset, and our last words may be lost with it.
        socket.socket.shutdown(sock, socket.SHUT_WR)
        sock.settimeout(1)
        while socket.socket.recv(sock, 65536):
            pass
    with suppress(OSError):
        sock.close()


def _misbehaves(sock: socket.socket, booth: Booth) -> bool:
    kind = booth.server.transport
    if kind == "silent":
        booth.over.wait(_SILENCE)
    elif kind == "hang-up":
        sock.recv(4096)
    elif kind == "reset":
        sock.recv(4096)
        _reset(sock)
    elif kind == "garbage":
        sock.recv(4096)
        sock.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
    else:
        return False
    return True


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket.socket.close(sock)


def _says_hello(sock: socket.socket) -> bool:
    return sock.recv(1, socket.MSG_PEEK) == _TLS_HELLO


def _plain_answer(text: str) -> bytes:
    return f"HTTP/1.0 400 Bad Request\r\n\r\n{text}\n".encode()


def _hear(sock: socket.socket, data: bytes) -> tuple[Request, bytes] | None:
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        more = sock.recv(65536)
        if not more:
            return None
        rest += more
    return Request(method, target, headers, rest[:length]), rest[length:]


def _talk(sock: socket.socket, booth: Booth) -> None:
    left = b""
    while not booth.over.is_set():
        heard = _hear(sock, left)
        if heard is None:
            return
        request, left = heard
        if booth.server.proxy is not None:
            from tests.differential.forwarding import forward  # noqa: PLC0415 - it imports us

            if not forward(sock, booth, request):
                return
            continue
        response = booth.behaviour.answer(request)
        record(booth, request, response)
        if not say(sock, booth, request, response):
            return


def record(booth: Booth, request: Request, response: Response) -> None:
    answer = response.answer
    told = None if answer.cut == "at-once" or answer.reset or answer.hold else response.status
    auth = request.scheme
    if auth == "none" and request.body:
        auth = "form"
    booth.record(
        Recorded(booth.server.as_, request.method, request.target, auth, request.user, told)
    )


def say(sock: socket.socket, booth: Booth, request: Request, response: Response) -> bool:
    """Send the answer as its case wants it; tell whether the connection may go on."""
    answer = response.answer
    if answer.delay and booth.over.wait(answer.delay):
        return False
    if answer.hold:
        booth.over.wait(_SILENCE)
        return False
    if answer.reset:
        _reset(sock)
        return False
    if answer.cut == "at-once":
        return False
    if answer.raw is not None:
        sock.sendall(answer.raw.encode())
        return False
    head, keeps = _head(request, response)
    if answer.drip:
        _drip(sock, booth, head + _body(request, response), answer.drip)
        return keeps
    sock.sendall(head)
    if answer.cut == "after-head":
        return False
    body = _body(request, response)
    if answer.truncate is not None:
        sock.sendall(body[: answer.truncate])
        return False
    sock.sendall(body)
    return keeps


def _drip(sock: socket.socket, booth: Booth, data: bytes, every: float) -> None:
    end = time.monotonic() + 120
    for byte in data:
        if booth.over.wait(every) or time.monotonic() > end:
            return
        sock.sendall(bytes([byte]))


def _head(request: Request, response: Response) -> tuple[bytes, bool]:
    answer = response.answer
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = ""
    reason = answer.reason if answer.reason is not None else reason
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    named = {name.lower() for name, _ in response.headers}
    absent = {name.lower() for name, value in response.headers if value == "\0absent"}
    lines += [f"{name}: {value}" for name, value in response.headers if value != "\0absent"]
    keeps = True
    if answer.chunked:
        lines.append("Transfer-Encoding: chunked")
    elif "content-length" not in named:
        lines.append(f"Content-Length: {len(response.body)}")
    elif "content-length" in absent and request.method != "HEAD":
        keeps = False
    if not keeps:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"), keeps


def _body(request: Request, response: Response) -> bytes:
    if request.method == "HEAD" or response.status in (204, 304):
        return b""
    if response.answer.chunked:
        body = response.body
        return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n" if body else b"0\r\n\r\n"
    return response.body


def target_of(request: Request) -> tuple[str, int]:
    """Return the host and port that a proxy is asked for."""
    if request.method == "CONNECT":
        host, _, port = request.target.rpartition(":")
        return host.strip("[]"), int(port)
    parts = urlsplit(request.target)
    return parts.hostname or "", parts.port or 80
