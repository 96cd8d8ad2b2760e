"""The lab's HTTP proxy: CONNECT tunnels, and requests for absolute URIs."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from tests.differential.behaviour import Request, Response
from tests.differential.model import Answer
from tests.differential.sockets import Booth, record, say, target_of


def forward(sock: socket.socket, booth: Booth, request: Request) -> bool:
    """Answer one request to the proxy; tell whether its connection may go on."""
    proxy = booth.server.proxy
    assert proxy is not None
    routed = booth.behaviour.routed(request)
    if routed is not None:
        record(booth, request, routed)
        return say(sock, booth, request, routed)
    if proxy.users:
        given = request.proxy_basic
        if given is None or proxy.users.get(given[0]) != given[1]:
            asked = (("Proxy-Authenticate", 'Basic realm="lab"'),)
            return _refuse(sock, booth, request, Response(407, asked))
    try:
        peer = socket.create_connection(target_of(request), timeout=20)
    except (OSError, ValueError):
        return _refuse(sock, booth, request, Response(502, (), b"no such host\n"))
    record(booth, request, Response(200))
    with peer:
        booth.taken.add(peer)
        if request.method == "CONNECT":
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            peer.sendall(_as_origin_form(request))
        _pump(sock, peer, booth)
        booth.taken.discard(peer)
    return False


def _refuse(sock: socket.socket, booth: Booth, request: Request, response: Response) -> bool:
    record(booth, request, response)
    return say(sock, booth, request, Response(*_fields(response), Answer()))


def _fields(response: Response) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    return response.status, response.headers, response.body


def _as_origin_form(request: Request) -> bytes:
    path = "/" + request.target.split("/", 3)[3] if request.target.count("/") > 2 else "/"
    headers = {k: v for k, v in request.headers.items() if not k.startswith("proxy-")}
    # One request for each connection: the tunnel below does not look inside.
    headers["connection"] = "close"
    lines = [f"{request.method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body


def _pump(left: socket.socket, right: socket.socket, booth: Booth) -> None:
    pairs = {left: right, right: left}
    with suppress(OSError):
        while not booth.over.is_set():
            ready, _, _ = select.select([left, right], [], [], 1)
            for sock in ready:
                data = sock.recv(65536)
                if not data:
                    return
                pairs[sock].sendall(data)
