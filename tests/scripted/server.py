"""The half on real sockets: a server whose every connection runs a function of the test."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Peer = socket.socket
Talk = Callable[["Talker"], None]


@dataclass
class Talker:
    """One connection: what came in, and words to answer with."""

    sock: Peer
    over: threading.Event
    requests: list[bytes]

    def hear(self) -> bytes:
        """Read one request with its body; empty where the client has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                return b""
            data += more
            if data.startswith(b"\x16"):  # a TLS hello, to a server that speaks plain HTTP
                self.say(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                return b""
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length:
            body += self.sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """Send one byte after the other until the test is over or the client has gone."""
        for byte in data:
            if self.over.wait(every):
                return
            self.sock.sendall(bytes([byte]))

    def flood(self, data: bytes) -> None:
        while not self.over.is_set():
            self.sock.sendall(data)

    def hold(self) -> None:
        """Say nothing until the test is over."""
        self.over.wait(30)


@dataclass
class Server:
    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str = "/v2/a/manifests/1", scheme: str = "http", host: str = "") -> str:
        return f"{scheme}://{host or '127.0.0.1'}:{self.port}{path}"


def answer(status: str = "200 OK", body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def serve_forever(*replies: bytes) -> Talk:
    """Answer each request of a connection in turn, the last reply for ever."""

    def talk(one: Talker) -> None:
        left = list(replies)
        while one.hear():
            one.say(left.pop(0) if len(left) > 1 else left[0])

    return talk


@contextmanager
def serving(
    talk: Talk,
    context: ssl.SSLContext | None = None,
    *,
    family: socket.AddressFamily = socket.AF_INET,
    backlog: int = 128,
    accepts: bool = True,
) -> Iterator[Server]:
    """Serve ``talk`` on loopback; with ``context`` each connection shakes hands first."""
    over = threading.Event()
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen(backlog)
    listener.settimeout(0.1)
    server = Server(listener.getsockname()[1])
    talks: list[threading.Thread] = []
    taken: list[Peer] = []

    def one(sock: Peer) -> None:
        with sock, suppress(OSError):
            sock.settimeout(20)
            spoken: Peer = sock
            taken.append(sock)
            if context is not None:
                spoken = context.wrap_socket(sock, server_side=True)
            taken.append(spoken)
            with spoken:
                talk(Talker(spoken, over, server.requests))

    def accept() -> None:
        while not over.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                continue
            server.connections += 1
            talks.append(threading.Thread(target=one, args=(sock,), daemon=True))
            talks[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    if accepts:
        accepting.start()
    try:
        yield server
    finally:
        over.set()
        listener.close()
        if accepts:
            accepting.join(5)
        for sock in taken:  # wakes whoever waits for the client's next word
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        end = time.monotonic() + 2
        for thread in talks:
            thread.join(max(0.0, end - time.monotonic()))
