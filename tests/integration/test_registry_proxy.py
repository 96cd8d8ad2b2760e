"""Requests through proxies, on real sockets: tunnels, plain requests, and what can go wrong."""

from __future__ import annotations

import base64
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest

from tests.e2e.harness.pki import Authority, Identity
from tests.scripted.server import Server, Talk, Talker, answer, serve_forever, serving
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause
from webhook.registry.settings import Egress, Proxy, RegistrySettings
from webhook.registry.transport import Transport
from webhook.registry.wire import Ask, Reply, Trouble, Trust

GOOD = answer("200 OK", b"good")
SOON = 5.0
CUT = 0.5
SLACK = 0.35
HOST = "registry.example"
SECRET = "hunter2"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def context_of(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert, identity.key)
    return context


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Refuse and note every dial beyond loopback: a guard that fails must harm nobody."""
    real, beyond = socket.create_connection, list[str]()

    def dial(address: tuple[str, int], *rest: Any, **named: Any) -> socket.socket:
        if not ip_address(address[0]).is_loopback:
            beyond.append(address[0])
            raise ConnectionRefusedError
        return real(address, *rest, **named)

    monkeypatch.setattr(socket, "create_connection", dial)
    return beyond


@pytest.fixture(autouse=True)
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here knows the registry's name: only the proxy does."""
    real = socket.getaddrinfo

    def lookup(host: str, *rest: Any, **named: Any) -> object:
        if host.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def tunnelling(target: Callable[[], int]) -> Talk:
    """A proxy that connects every CONNECT to one port of loopback."""

    def talk(one: Talker) -> None:
        if not one.hear():
            return
        with closing(socket.create_connection(("127.0.0.1", target()))) as other:
            one.say(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            relay(one.sock, other)

    return talk


def relay(one: socket.socket, other: socket.socket) -> None:
    one.settimeout(0.05)
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            pending = isinstance(one, ssl.SSLSocket) and one.pending()
            ready = [(one, other)] if pending else [
                (key.fileobj, key.data) for key, _ in selector.select(5)
            ]  # fmt: skip
            if not ready:
                return
            for source, sink in ready:
                assert isinstance(source, socket.socket)
                try:
                    data = source.recv(65536)
                except (TimeoutError, ssl.SSLWantReadError):
                    continue
                if not data:
                    return
                sink.sendall(data)


def through(server: Server, scheme: str = "http", user: str = "", no_proxy: str = "") -> Transport:
    address = f"{scheme}://{user}127.0.0.1:{server.port}"
    return Transport(RegistrySettings(connect=5.0, proxy=Proxy(address, address, no_proxy)))


def get(
    transport: Transport, url: str, seconds: float = SOON, trust: Trust | None = None
) -> Reply | Trouble:
    ask = Ask("GET", url, limit=1000, trust=trust or Trust())
    return transport.send(ask, Deadline.after(seconds))


def trouble(got: Reply | Trouble) -> Trouble:
    assert isinstance(got, Trouble)
    return got


@pytest.fixture
def registry(authority: Authority) -> Iterator[Server]:
    with serving(serve_forever(GOOD), context_of(authority.server("r", (HOST,)))) as server:
        yield server


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_https_goes_through_a_tunnel_and_trusts_the_target_alone(
    authority: Authority, registry: Server, scheme: str
) -> None:
    own = context_of(authority.server("proxy")) if scheme == "https" else None
    trust = Trust(cas=(authority.bundle,))
    with (
        serving(tunnelling(lambda: registry.port), own) as proxy,
        closing(through(proxy, scheme, f"u:{SECRET}%21@")) as transport,
    ):
        for _ in range(3):
            got = get(transport, f"https://{HOST}/v2/", trust=trust)
            assert isinstance(got, Reply), got
            assert got.body == b"good"
        other = get(transport, "https://other.example/v2/", trust=trust)
        assert trouble(other).cause is Cause.CERTIFICATE_WRONG_NAME
        unknown = get(transport, f"https://{HOST}/v2/")
        assert trouble(unknown).cause is Cause.CERTIFICATE_UNKNOWN_AUTHORITY
    basic = base64.b64encode(f"u:{SECRET}!".encode()).decode()
    lines = [f"CONNECT {HOST}:443 HTTP/1.1", f"Host: {HOST}:443"]
    lines += [f"Proxy-Authorization: Basic {basic}", "", ""]
    assert proxy.requests[0].decode() == "\r\n".join(lines)
    # One tunnel served three requests, and the registry never saw the proxy's password.
    assert sum(HOST.encode() in request for request in proxy.requests) in (1, 2)
    assert len(registry.requests) == 3
    assert b"authorization" not in b"".join(registry.requests).lower()


def test_http_is_sent_to_the_proxy_as_it_is() -> None:
    with (
        serving(serve_forever(GOOD)) as proxy,
        closing(through(proxy, user=f"u:{SECRET}@")) as transport,
    ):
        for port in ("", ":5000"):
            assert isinstance(get(transport, f"http://{HOST}{port}/v2/a?b=c"), Reply)
    first, second = (request.decode() for request in proxy.requests)
    assert first.startswith(f"GET http://{HOST}/v2/a?b=c HTTP/1.1\r\nHost: {HOST}\r\n")
    assert second.startswith(f"GET http://{HOST}:5000/v2/a?b=c HTTP/1.1\r\nHost: {HOST}:5000\r\n")
    basic = base64.b64encode(f"u:{SECRET}".encode()).decode()
    assert f"Proxy-Authorization: Basic {basic}\r\n" in first


def test_a_proxys_own_certificate_is_looked_at(authority: Authority) -> None:
    own = context_of(authority.server("proxy"))
    with serving(serve_forever(GOOD), own) as proxy, closing(through(proxy, "https")) as transport:
        got = trouble(get(transport, f"http://{HOST}/v2/"))
    assert got.cause is Cause.CERTIFICATE_UNKNOWN_AUTHORITY
    assert f"the proxy 127.0.0.1:{proxy.port}" in got.detail


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ("407 Proxy Authentication Required", Cause.UNEXPECTED_STATUS),
        ("403 Forbidden", Cause.UNEXPECTED_STATUS),
        ("201 Created", Cause.UNEXPECTED_STATUS),
        ("301 Moved", Cause.UNEXPECTED_STATUS),
        ("502 Bad Gateway", Cause.SERVER_ERROR),
        ("504 Gateway Timeout", Cause.SERVER_ERROR),
    ],
)
def test_a_tunnel_that_is_refused_is_told_of_the_proxy(status: str, cause: Cause) -> None:
    """Anything but 200 to CONNECT is an error (``net/http`` dialConn)."""
    with (
        serving(serve_forever(answer(status, b"no"))) as proxy,
        closing(through(proxy, user=f"u:{SECRET}@")) as transport,
    ):
        got = trouble(get(transport, f"https://{HOST}/v2/"))
    assert got.cause is cause
    assert got.detail == f"the proxy 127.0.0.1:{proxy.port} answered {status[:3]}"


def test_after_many_failures_the_pool_is_clean(authority: Authority, registry: Server) -> None:
    """Refused tunnels, failing handshakes and cuts take no place of a connection for good."""
    trust = Trust(cas=(authority.bundle,))
    count = iter(range(10_000))

    def talk(one: Talker) -> None:
        turn = next(count) % 3
        if turn == 0:
            one.hear()
            one.say(answer("502 Bad Gateway"))
        elif turn == 1:
            one.hear()
            one.say(b"HTTP/1.1 200 OK\r\n\r\n")
            one.sock.recv(65536)
            one.say(b"no TLS")
        else:
            tunnelling(lambda: registry.port)(one)

    with serving(talk) as proxy, closing(through(proxy)) as transport:
        for number in range(60):
            # Each its own host, so that no tunnel is used again.
            get(transport, f"https://a{number}.example/v2/", trust=trust)
        pools = [
            client.http._transport._pool  # type: ignore[attr-defined]  # the pool is what is looked at
            for client in transport._clients._kept.values()
        ]
        assert [pool.connections for pool in pools] == [[]]
        assert not any(pool._requests for pool in pools)


@pytest.mark.parametrize(
    "talk",
    [
        lambda one: one.hold(),
        lambda one: one.drip(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 500, 0.1),
        lambda one: one.flood(b"HTTP/1.1 100 C\r\n\r\n"),
    ],
)
def test_no_proxy_holds_a_thread_past_the_deadline(talk: Callable[[Talker], None]) -> None:
    def heard(one: Talker) -> None:
        one.hear()
        talk(one)

    with serving(heard) as proxy, closing(through(proxy)) as transport:
        began = time.monotonic()
        got = trouble(get(transport, f"https://{HOST}/v2/", CUT))
        assert time.monotonic() - began <= CUT + SLACK
    assert got.cause in (Cause.DEADLINE, Cause.RESET)


@pytest.mark.parametrize(
    ("address", "cause", "says"),
    [
        ("http://127.0.0.1:{free}", Cause.REFUSED, "connection refused"),
        ("127.0.0.1:{free}", Cause.REFUSED, "connection refused"),
        (
            "http://u:hunter2@proxy.example:1",
            Cause.DNS_FAILING,
            "the proxy proxy.example:1: no such",
        ),
        ("socks5://u:hunter2@127.0.0.1:1", Cause.EGRESS_REFUSED, "neither http nor https"),
        ("ftp://127.0.0.1:1", Cause.EGRESS_REFUSED, "neither http nor https"),
        ("http://127.0.0.1:99999", Cause.EGRESS_REFUSED, ""),
        ("http://169.254.169.254:80", Cause.EGRESS_REFUSED, "metadata"),
        ("http://[fe80::1]:80", Cause.EGRESS_REFUSED, "link-local"),
    ],
)
def test_a_proxy_that_cannot_be_reached_is_named(
    nothing_leaves_this_machine: list[str], address: str, cause: Cause, says: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = address.replace("{free}", str(port))
    with closing(Transport(RegistrySettings(proxy=Proxy(address, address)))) as transport:
        for scheme in ("https", "http"):
            got = trouble(get(transport, f"{scheme}://{HOST}/v2/"))
            assert got.cause is cause
            assert says in got.detail
            assert SECRET not in repr(got)
    assert nothing_leaves_this_machine == []


def test_a_proxy_may_be_anywhere_that_was_named() -> None:
    """Private ranges and loopback are no hindrance for what configuration names."""
    egress = Egress(private_ranges=False)
    with serving(serve_forever(GOOD)) as server:
        proxy = Proxy(http=f"http://127.0.0.1:{server.port}")
        with closing(Transport(RegistrySettings(egress=egress, proxy=proxy))) as transport:
            assert isinstance(get(transport, f"http://{HOST}/v2/"), Reply)


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "0.0.0.0"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_no_way_round_the_guard(
    nothing_leaves_this_machine: list[str], host: str, scheme: str
) -> None:
    egress = Egress(private_ranges=False)
    with serving(serve_forever(GOOD)) as server:
        address = f"http://127.0.0.1:{server.port}"
        settings = RegistrySettings(egress=egress, proxy=Proxy(address, address))
        with closing(Transport(settings)) as transport:
            got = trouble(get(transport, f"{scheme}://{host}/v2/"))
        assert server.connections == 0
    assert got.cause is Cause.EGRESS_REFUSED
    assert nothing_leaves_this_machine == []


def test_a_name_that_resolves_here_is_judged_though_the_proxy_resolves_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = socket.getaddrinfo

    def lookup(host: str, *rest: Any, **named: Any) -> object:
        return real("169.254.169.254" if host == "inside.test" else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with serving(serve_forever(GOOD)) as server, closing(through(server)) as transport:
        got = trouble(get(transport, "http://inside.test/v2/"))
        assert server.connections == 0
    assert got.cause is Cause.EGRESS_REFUSED


def test_loopback_and_what_no_proxy_names_is_reached_directly() -> None:
    with serving(serve_forever(GOOD)) as registry, serving(serve_forever(GOOD)) as server:
        local = Egress(local=True)
        proxy = Proxy(http=f"127.0.0.1:{server.port}", no_proxy=".direct.example")
        with closing(Transport(RegistrySettings(egress=local, proxy=proxy))) as transport:
            for host in ("127.0.0.1", "localhost"):
                assert isinstance(get(transport, registry.url(host=host)), Reply)
            direct = get(transport, "http://a.direct.example/v2/")
        assert server.connections == 0
    assert trouble(direct).cause is Cause.DNS_NOT_FOUND


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_the_environment_says_where_no_configuration_does(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Read once at start; a RegistryConfig's own takes its place altogether."""
    with serving(serve_forever(GOOD)) as server:
        monkeypatch.setenv(name, f"127.0.0.1:{server.port}")
        with (
            closing(Transport(RegistrySettings())) as environments,
            closing(Transport(RegistrySettings(proxy=Proxy()))) as own,
        ):
            monkeypatch.delenv(name)
            assert isinstance(get(environments, f"http://{HOST}/v2/"), Reply)
            assert trouble(get(own, f"http://{HOST}/v2/")).cause is Cause.DNS_NOT_FOUND
        monkeypatch.setenv(name, f"127.0.0.1:{server.port}")
        monkeypatch.setenv("NO_PROXY", HOST)
        with closing(Transport(RegistrySettings())) as excepted:
            assert trouble(get(excepted, f"http://{HOST}/v2/")).cause is Cause.DNS_NOT_FOUND


def test_a_proxys_password_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = f"http://u:{SECRET}@127.0.0.1:1"
    settings = RegistrySettings(proxy=Proxy(secret, secret))
    assert SECRET not in repr(settings)
    with caplog.at_level("DEBUG"), closing(Transport(settings)) as transport:
        for scheme in ("http", "https"):
            get(transport, f"{scheme}://{HOST}/v2/")
    assert SECRET not in caplog.text
