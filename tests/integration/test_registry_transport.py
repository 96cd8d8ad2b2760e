"""The transport against real sockets: deadlines, hostile peers, TLS, reuse, the guard."""

from __future__ import annotations

import datetime as dt
import gc
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.harness.pki import Authority, Identity
from tests.scripted.server import Talk, Talker, answer, serve_forever, serving
from tests.scripted.values import BODY, DIGEST, image, play
from webhook.deadline import Deadline
from webhook.registry.endpoint import registry_for
from webhook.registry.exchange import Target
from webhook.registry.manifest import OCI_MANIFEST
from webhook.registry.outcome import Cause, Pull
from webhook.registry.settings import Depth, Egress, RegistryEntry, RegistrySettings
from webhook.registry.transport import Transport
from webhook.registry.wire import Ask, Reply, Trouble, Trust

LOCAL = RegistrySettings(connect=5.0, egress=Egress(local=True))
GOOD = answer("200 OK", b"", "Content-Type: x/y")
SOON = 5.0
CUT = 0.5
SLACK = 0.35


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


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(LOCAL)
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def context_of(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert, identity.key)
    return context


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> ssl.SSLContext:
    return context_of(authority.server("reg", ("127.0.0.1", "localhost", "::1")))


def cause_of(got: Reply | Trouble) -> Cause | None:
    return got.cause if isinstance(got, Trouble) else None


def get(
    transport: Transport,
    url: str,
    seconds: float = SOON,
    *,
    ca: Path | None = None,
    verify: bool = True,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply | Trouble:
    trust = Trust(verify, (ca,) if ca is not None else ())
    asked = Ask("GET", url, headers, limit=1000, trust=trust)
    return transport.send(asked, Deadline.after(seconds))


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# -- no peer holds a thread past the deadline ------------------------------------------------


def saying(first: bytes, then: Callable[[Talker], None]) -> Callable[[Talker], None]:
    def talk(one: Talker) -> None:
        one.say(first)
        then(one)

    return talk


def after_request(then: Callable[[Talker], None]) -> Talk:
    def talk(one: Talker) -> None:
        one.hear()
        then(one)

    return talk


HEAD = b"HTTP/1.1 200 OK\r\n"
STALLS: dict[str, Talk] = {
    "drips its header": after_request(lambda t: t.drip(HEAD + b"X: " + b"a" * 500, 0.3)),
    "drips fast": after_request(lambda t: t.drip(HEAD + b"X: " + b"a" * 90_000, 0.005)),
    "drips its body": after_request(
        saying(HEAD + b"Content-Length: 900\r\n\r\n", lambda t: t.drip(b"a" * 900, 0.3))
    ),
    "drips chunk sizes": after_request(
        saying(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", lambda t: t.drip(b"0" * 500, 0.3))
    ),
    "never answers": after_request(lambda t: t.hold()),
    "never even reads": lambda t: t.hold(),
    "stops after its headers": after_request(
        saying(HEAD + b"Content-Length: 9\r\n\r\n", Talker.hold)
    ),
    "drips 1xx": after_request(lambda t: t.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0.02)),
}


@pytest.mark.parametrize("stall", STALLS)
def test_a_registry_holds_no_thread_past_the_deadline(transport: Transport, stall: str) -> None:
    with serving(STALLS[stall]) as server:
        began = time.monotonic()
        got = get(transport, server.url(), CUT)
        took = time.monotonic() - began
    assert cause_of(got) is Cause.DEADLINE
    assert CUT - 0.01 <= took <= CUT + SLACK


@pytest.mark.parametrize("stall", ["nothing", "a byte now and then", "half a record"])
def test_no_tls_handshake_holds_a_thread_past_the_deadline(
    transport: Transport, stall: str
) -> None:
    def talk(one: Talker) -> None:
        one.sock.recv(65536)
        if stall == "nothing":
            one.hold()
        one.say(b"\x16\x03\x03\x10\x00" if stall == "half a record" else b"\x16")
        one.drip(b"\x03\x03\x3f\xff" + b"\x02" * 500, 0.3)

    with serving(talk) as server:
        began = time.monotonic()
        got = get(transport, server.url(scheme="https"), CUT)
        took = time.monotonic() - began
    assert cause_of(got) is Cause.DEADLINE
    assert took <= CUT + SLACK


def test_a_body_over_tls_that_drips_is_cut(
    transport: Transport, trusted: ssl.SSLContext, authority: Authority
) -> None:
    with serving(STALLS["drips its body"], trusted) as server:
        began = time.monotonic()
        got = get(transport, server.url(scheme="https"), CUT, ca=authority.bundle)
        assert time.monotonic() - began <= CUT + SLACK
    assert cause_of(got) is Cause.DEADLINE


def test_a_peer_that_takes_no_request_is_cut_while_writing(transport: Transport) -> None:
    with serving(lambda t: t.hold()) as server:
        ask = Ask("POST", server.url(), body=b"x" * 20_000_000)
        began = time.monotonic()
        got = transport.send(ask, Deadline.after(CUT))
        assert time.monotonic() - began <= CUT + SLACK
    assert cause_of(got) is Cause.DEADLINE


def test_a_peer_that_takes_the_request_by_small_bites_is_cut_while_writing(
    transport: Transport,
) -> None:
    def talk(one: Talker) -> None:
        while not one.over.wait(0.05) and one.sock.recv(1_000_000):
            pass

    with serving(talk) as server:
        ask = Ask("POST", server.url(), body=b"x" * 80_000_000)
        began = time.monotonic()
        got = transport.send(ask, Deadline.after(CUT))
        assert time.monotonic() - began <= CUT + SLACK
    assert cause_of(got) is Cause.DEADLINE


def test_a_peer_that_accepts_no_connection_is_cut_and_proves_nothing() -> None:
    hurried = Transport(RegistrySettings(connect=0.3, egress=Egress(local=True)))
    with serving(lambda t: t.hold(), backlog=0, accepts=False) as server:
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", server.port))
        time.sleep(0.05)
        began = time.monotonic()
        got = get(hurried, server.url())
        took = time.monotonic() - began
        for one in filling:
            one.close()
    hurried.close()
    assert cause_of(got) is Cause.DEADLINE
    assert 0.25 <= took <= 0.3 + SLACK


# -- hostile answers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        (after_request(lambda t: t.flood(b"X: " + b"a" * 1000 + b"\r\n")), Cause.RESET),
        (after_request(lambda t: t.flood(HEAD + b"X: a\r\n" * 1000)), Cause.OVERLOADED),
        (after_request(lambda t: t.flood(b"HTTP/1.1 103 E\r\n\r\n" * 50)), Cause.OVERLOADED),
        (after_request(lambda t: t.say(b"\x00\xff garbage \r\n\r\n")), Cause.RESET),
        (after_request(lambda t: t.say(b"SSH-2.0-OpenSSH_9\r\n")), Cause.RESET),
        (after_request(lambda t: t.say(b"HTTP/1.1 99999 X\r\n\r\n")), Cause.RESET),
        (after_request(lambda t: t.say(HEAD + b"Content-Length: x\r\n\r\n")), Cause.RESET),
        (after_request(lambda _: None), Cause.RESET),
        (lambda _: None, Cause.RESET),
    ],
)
def test_what_is_no_answer_is_told_as_a_broken_connection(
    transport: Transport, talk: Talk, cause: Cause
) -> None:
    with serving(talk) as server:
        assert cause_of(get(transport, server.url(), 2.0)) is cause


def test_a_body_that_was_cut_short_is_told_with_what_came(transport: Transport) -> None:
    """``io.ErrUnexpectedEOF`` of the body; gzip's own end counts as one too."""
    half = gzip.compress(b"hello" * 1000)[:20]
    for reply, body in (
        (HEAD + b"Content-Length: 9\r\n\r\nab", b"ab"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab", b"ab"),
        (answer("200 OK", half, "Content-Encoding: gzip"), None),
    ):
        with serving(after_request(lambda t, reply=reply: t.say(reply))) as server:  # type: ignore[misc]  # bound at once
            got = get(transport, server.url())
        assert isinstance(got, Reply)
        assert got.cut
        assert body is None or got.body == body


def test_a_fresh_connection_that_breaks_off_is_not_tried_again(transport: Transport) -> None:
    """Go repeats a request only where a kept connection turned out to be closed."""
    with serving(after_request(lambda _: None)) as server:
        got = get(transport, server.url())
        assert server.connections == 1
    assert isinstance(got, Trouble)
    assert (got.cause, got.ended) == (Cause.RESET, True)


def test_a_reset_is_told_as_one(transport: Transport) -> None:
    def talk(one: Talker) -> None:
        one.hear()
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with serving(talk) as server:
        assert cause_of(get(transport, server.url(), 2.0)) is Cause.RESET


def test_an_endless_body_is_read_up_to_the_limit(transport: Transport) -> None:
    endless = after_request(saying(HEAD + b"\r\n", lambda t: t.flood(b"a" * 10_000)))
    with serving(endless) as server:
        got = get(transport, server.url(), 2.0)
    assert isinstance(got, Reply)
    assert (got.body, got.truncated) == (b"a" * 1000, True)


def test_a_bomb_is_unpacked_up_to_the_limit(transport: Transport) -> None:
    bomb = gzip.compress(b"a" * 50_000_000)
    with serving(serve_forever(answer("200 OK", bomb, "Content-Encoding: gzip"))) as server:
        began = time.monotonic()
        got = get(transport, server.url(), 2.0)
        assert time.monotonic() - began < 1
    assert isinstance(got, Reply)
    assert (got.body, got.truncated) == (b"a" * 1000, True)


def test_what_was_packed_unasked_is_unpacked_as_go_does(transport: Transport) -> None:
    packed = answer("200 OK", gzip.compress(b"hello"), "Content-Encoding: GZIP")
    broken = answer("200 OK", b"no gzip", "Content-Encoding: gzip")
    with serving(serve_forever(packed, broken)) as server:
        got = get(transport, server.url())
        assert isinstance(got, Reply)
        assert (got.body, got.truncated, got.header("content-length")) == (b"hello", False, "")
        assert cause_of(get(transport, server.url())) is Cause.UNEXPECTED_STATUS


def test_the_length_of_a_head_stays_whatever_the_encoding(transport: Transport) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\nContent-Encoding: gzip\r\n\r\n"
    with serving(serve_forever(reply)) as server:
        got = transport.send(Ask("HEAD", server.url()), Deadline.after(SOON))
    assert isinstance(got, Reply)
    assert got.header("content-length") == "77"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda b: HEAD + b)))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    """Never raises for a peer."""
    made = Transport(LOCAL)
    with serving(after_request(lambda t: t.say(raw))) as server:
        got = get(made, server.url(), 1.0)
    made.close()
    assert isinstance(got, Reply | Trouble)


def test_after_many_cuts_the_pool_is_clean_and_good_requests_work(transport: Transport) -> None:
    def talk(one: Talker) -> None:
        while request := one.hear():
            if b"/slow" in request:
                one.say(HEAD[:7])
                one.hold()
            one.say(GOOD)

    with serving(talk, backlog=512) as server:
        assert isinstance(get(transport, server.url("/ok")), Reply)
        before = open_files()

        def cut() -> None:
            for _ in range(10):
                got = get(transport, server.url("/slow"), 0.04)
                assert cause_of(got) is Cause.DEADLINE

        threads = [threading.Thread(target=cut) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        (client,) = transport._clients._kept.values()
        pool = client.http._transport._pool  # type: ignore[attr-defined]
        assert all(connection.is_idle() for connection in pool.connections)
        assert not pool._requests
        assert isinstance(get(transport, server.url("/ok")), Reply)
    # The server's own ends of the cut connections live in this process too.
    deadline = time.monotonic() + SOON
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert open_files() <= before


def test_failed_handshakes_leak_no_socket(transport: Transport) -> None:
    def talk(one: Talker) -> None:
        one.sock.recv(65536)
        one.say(b"no tls here, sorry")

    with serving(talk) as server:
        get(transport, server.url(scheme="https"))
        gc.disable()
        try:
            before = len(list(Path("/proc/self/fd").iterdir()))
            for _ in range(30):
                assert cause_of(get(transport, server.url(scheme="https"))) is Cause.TLS_FAILING
            time.sleep(0.2)
            assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
        finally:
            gc.enable()


# -- what cannot be reached ------------------------------------------------------------------


def test_a_closed_port_refuses(transport: Transport) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert cause_of(get(transport, f"http://127.0.0.1:{port}/")) is Cause.REFUSED


@pytest.mark.parametrize(
    ("host", "cause"),
    [
        ("nothing.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING}),
        ("reg_1.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING}),
        ("UPPER.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING}),
        ("xn--bcher-kva.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING}),
        ("a" * 64 + ".invalid", {Cause.DNS_NOT_FOUND}),
        ("2130706433", {Cause.DNS_NOT_FOUND}),
        ("0x7f.1", {Cause.DNS_NOT_FOUND, Cause.UNEXPECTED_STATUS}),
        ("-.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING, Cause.UNEXPECTED_STATUS}),
        ("a..b.invalid", {Cause.DNS_NOT_FOUND, Cause.UNEXPECTED_STATUS}),
        ("bücher.invalid", {Cause.DNS_NOT_FOUND, Cause.DNS_FAILING}),
        ("[::1", {Cause.UNEXPECTED_STATUS}),
        ("a b", {Cause.UNEXPECTED_STATUS, Cause.DNS_NOT_FOUND}),
        ("\x00", {Cause.UNEXPECTED_STATUS}),
    ],
)
def test_no_host_makes_it_raise(transport: Transport, host: str, cause: set[Cause]) -> None:
    assert cause_of(get(transport, f"https://{host}/v2/", 3.0)) in cause


@pytest.mark.parametrize("location", ["/a b", "/é", "/\\x", "/%zz", "/?a=b c", "/" + "a" * 70_000])
def test_no_path_makes_it_raise(transport: Transport, location: str) -> None:
    with serving(serve_forever(GOOD)) as server:
        got = get(transport, server.url(location))
    assert isinstance(got, Reply) or got.cause is Cause.UNEXPECTED_STATUS


# -- TLS -----------------------------------------------------------------------------------------


def test_a_certificate_is_judged_as_go_judges_it(
    transport: Transport, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    cases = {
        "good": (authority.server("a"), authority.bundle, None),
        "unknown": (stranger.server("b"), authority.bundle, Cause.CERTIFICATE_UNKNOWN_AUTHORITY),
        "no ca": (stranger.server("b"), None, Cause.CERTIFICATE_UNKNOWN_AUTHORITY),
        "expired": (
            authority.server("c", lasts=-dt.timedelta(hours=1)),
            authority.bundle,
            Cause.CERTIFICATE_EXPIRED,
        ),
        "wrong ip": (
            authority.server("d", ("10.9.9.9",)),
            authority.bundle,
            Cause.CERTIFICATE_WRONG_NAME,
        ),
        "wrong name": (
            authority.server("e", ("other.example",)),
            authority.bundle,
            Cause.CERTIFICATE_WRONG_NAME,
        ),
    }
    for identity, ca, cause in cases.values():
        with serving(serve_forever(GOOD), context_of(identity)) as server:
            host = "localhost" if cause is Cause.CERTIFICATE_WRONG_NAME else ""
            assert cause_of(get(transport, server.url(scheme="https", host=host), ca=ca)) is cause
            unlooked = get(transport, server.url(scheme="https"), verify=False)
            assert isinstance(unlooked, Reply)


def test_a_leaf_that_is_trusted_itself_is_an_anchor(
    transport: Transport, authority: Authority
) -> None:
    leaf = authority.server("leaf")
    with serving(serve_forever(GOOD), context_of(leaf)) as server:
        assert isinstance(get(transport, server.url(scheme="https"), ca=leaf.cert), Reply)


def test_a_ca_file_that_cannot_be_read_proves_nothing(transport: Transport, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for ca in (bad, tmp_path / "missing.pem"):
        assert cause_of(get(transport, "https://127.0.0.1:1/", ca=ca)) is Cause.EGRESS_REFUSED


def test_a_plain_http_server_behind_https_is_told_from_garbage(transport: Transport) -> None:
    def http(one: Talker) -> None:
        one.sock.recv(65536)
        one.say(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    def garbage(one: Talker) -> None:
        one.sock.recv(65536)
        one.say(b"HELO mail.example\r\n")

    def closes(one: Talker) -> None:
        one.sock.recv(65536)

    for talk, cause in (
        (http, Cause.PLAIN_HTTP),
        (garbage, Cause.TLS_FAILING),
        (closes, Cause.RESET),
    ):
        with serving(talk) as server:
            assert cause_of(get(transport, server.url(scheme="https"), 2.0)) is cause


def test_a_client_certificate_that_is_wanted_is_told_as_a_fault_of_tls(
    transport: Transport, authority: Authority
) -> None:
    context = context_of(authority.server("mtls"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.bundle)
    with serving(serve_forever(GOOD), context) as server:
        got = get(transport, server.url(scheme="https"), 2.0, ca=authority.bundle)
    assert cause_of(got) in (Cause.TLS_FAILING, Cause.RESET)


def test_a_loopback_registry_is_pulled_from_over_tls_and_over_plain_http(
    transport: Transport, trusted: ssl.SSLContext
) -> None:
    headers = (f"Content-Type: {OCI_MANIFEST}", f"Docker-Content-Digest: {DIGEST}")
    good = answer("200 OK", BODY, *headers)
    head = answer("200 OK", b"", *headers).replace(b": 0", f": {len(BODY)}".encode(), 1)

    def talk(one: Talker) -> None:
        while request := one.hear():
            one.say(head if request.startswith(b"HEAD") else good)

    for context in (None, trusted):
        with serving(talk, context) as server:
            reference = image(f"127.0.0.1:{server.port}/acme/app:1")
            where = Target(reference, registry_for(reference, LOCAL), Depth.PLATFORM)
            played = play(lambda ask: transport.send(ask, Deadline.after(2.0)), where)
        assert played.outcome.pull is Pull.OK
        # containerd's fetcher has a client of its own, which has to fall back anew.
        asked = ["https", "https"] if context else ["https", "http", "https", "http"]
        assert [ask.url.partition(":")[0] for ask in played.asks] == asked


# -- reuse and what is sent ----------------------------------------------------------------------


def test_a_connection_is_used_again(
    transport: Transport, trusted: ssl.SSLContext, authority: Authority
) -> None:
    for context in (None, trusted):
        scheme = "https" if context else "http"
        with serving(serve_forever(GOOD), context) as server:
            for _ in range(5):
                got = get(transport, server.url(scheme=scheme), ca=authority.bundle)
                assert isinstance(got, Reply)
            assert server.connections == 1


def test_an_idle_connection_that_the_server_closed_is_not_used_again(transport: Transport) -> None:
    def once(one: Talker) -> None:
        one.hear()
        one.say(GOOD)

    with serving(once) as server:
        for _ in range(5):
            assert isinstance(get(transport, server.url()), Reply)
            time.sleep(0.02)


def test_a_connection_that_breaks_under_the_second_request_is_tried_once_more(
    transport: Transport,
) -> None:
    def once(one: Talker) -> None:
        one.hear()
        one.say(GOOD)
        one.hear()

    with serving(once) as server:
        for _ in range(4):
            assert isinstance(get(transport, server.url()), Reply)
        assert server.connections == 4
        post = Ask("POST", server.url(), body=b"password=x")
        assert cause_of(transport.send(post, Deadline.after(2.0))) is Cause.RESET
    assert sum(request.startswith(b"POST") for request in server.requests) == 1


def test_nothing_goes_along_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No cookie, no proxy for loopback, no netrc, no user of a URL; a name of our own."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fresh = Transport(LOCAL)
    good = answer("200 OK", b"", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d; Max-Age=99")
    with serving(serve_forever(good)) as server:
        for _ in range(3):
            assert isinstance(get(fresh, server.url(), headers=(("accept", "x/y"),)), Reply)
    fresh.close()
    for request in server.requests:
        sent = request.decode().lower()
        assert "user-agent: pullproof\r\n" in sent
        assert "accept: x/y\r\n" in sent
        for name in ("cookie", "authorization", "proxy"):
            assert f"{name}:" not in sent


def test_ipv6_loopback_works(transport: Transport, trusted: ssl.SSLContext) -> None:
    try:
        manager = serving(serve_forever(GOOD), trusted, family=socket.AF_INET6)
        with manager as server:
            got = get(transport, server.url(scheme="https", host="[::1]"), verify=False)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert isinstance(got, Reply)


def test_no_log_line_tells_a_url(transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), serving(serve_forever(GOOD)) as server:
        get(transport, server.url("/secret"))
    assert "secret" not in caplog.text


# -- the guard --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0",
     "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[fe80::1]", "224.0.0.1"],
)  # fmt: skip
def test_a_pod_makes_nobody_dial_what_is_no_registry(
    nothing_leaves_this_machine: list[str], host: str
) -> None:
    guarded = Transport(RegistrySettings())
    with serving(serve_forever(GOOD)) as server:
        got = get(guarded, f"http://{host}:{server.port}/", 2.0)
        assert server.connections == 0
    guarded.close()
    assert cause_of(got) is Cause.EGRESS_REFUSED
    assert nothing_leaves_this_machine == []


def test_what_configuration_names_is_dialled_and_serves_nobody_else() -> None:
    """A connection that was opened for a named host is used for no other request."""
    guarded = Transport(RegistrySettings(egress=Egress(private_ranges=False)))
    with serving(serve_forever(GOOD)) as server:
        for _ in range(2):
            named = guarded.send(Ask("GET", server.url(), named=True), Deadline.after(SOON))
            assert isinstance(named, Reply)
            assert cause_of(get(guarded, server.url())) is Cause.EGRESS_REFUSED
        assert server.connections == 1
    guarded.close()


def test_redirects_and_realms_are_judged_like_the_first_request() -> None:
    with serving(serve_forever(GOOD)) as inner:

        def talk(one: Talker) -> None:
            location = f"Location: {inner.url()}"
            realm = f'WWW-Authenticate: Bearer realm="{inner.url()}"'
            while request := one.hear():
                redirects = b"/redirects/" in request
                one.say(answer("302 F" if redirects else "401 U", b"", location, realm))

        with serving(talk) as outer:
            host = f"localhost:{outer.port}"
            entries = (RegistryEntry(host, plain_http=True),)
            named = RegistrySettings(registries=entries)
            guarded = Transport(named)
            for repository in ("redirects/app", "realm/app"):
                reference = image(f"{host}/{repository}:1")
                where = Target(reference, registry_for(reference, named), Depth.EXISTS)
                played = play(lambda ask: guarded.send(ask, Deadline.after(2.0)), where)
                assert played.outcome.cause is Cause.EGRESS_REFUSED
                assert played.outcome.pull is Pull.UNKNOWN
                assert len(played.asks) == 2
            guarded.close()
        assert inner.connections == 0


def test_the_address_that_was_judged_is_the_one_that_is_dialled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Resolve, check and pin, so that DNS cannot change between check and connect."""
    answers = iter(["127.0.0.1", "169.254.169.254"])
    real = socket.getaddrinfo

    def rebinding(host: str, *rest: object, **named: object) -> object:
        if host == "rebind.example":
            host = next(answers)
        return real(host, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    made = Transport(LOCAL)
    with serving(serve_forever(GOOD)) as server:
        assert isinstance(get(made, server.url(host="rebind.example")), Reply)
        assert server.connections == 1
        assert b"Host: rebind.example" in server.requests[0]
        elsewhere = f"http://rebind.example:{server.port + 1}/"
        assert cause_of(get(made, elsewhere)) is Cause.EGRESS_REFUSED
    made.close()


# -- the end ---------------------------------------------------------------------------------


def test_closing_while_a_request_is_under_way_ends_it_without_an_exception() -> None:
    made = Transport(LOCAL)
    got: list[Reply | Trouble] = []
    with serving(after_request(lambda t: t.hold())) as server:
        threads = [
            threading.Thread(target=lambda: got.append(get(made, server.url(), 1.0)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        while len(server.requests) < 8:
            time.sleep(0.01)
        made.close()
        for thread in threads:
            thread.join(SOON)
    assert len(got) == 8
    assert {cause_of(one) for one in got} <= {Cause.RESET, Cause.OVERLOADED, Cause.DEADLINE}
    assert cause_of(get(made, "http://127.0.0.1:1/")) is Cause.OVERLOADED


# -- containerd's own limits -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "scheme", "again"),
    [("CONTAINERD_TLS_SECONDS", "https", True), ("CONTAINERD_HEADER_SECONDS", "http", False)],
)
def test_a_silence_past_containerds_own_limit_is_a_timeout_and_a_shorter_one_is_not(
    limit: str, scheme: str, *, again: bool, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``TLSHandshakeTimeout`` and ``ResponseHeaderTimeout``; the first alone is transient."""
    monkeypatch.setattr(f"webhook.registry.pools.{limit}", 0.3)
    with serving(lambda one: one.hold()) as server:
        past = get(transport, server.url(scheme=scheme), 5.0)
        assert isinstance(past, Trouble)
        assert (past.cause, past.ended) == (Cause.TIMEOUT, again)
        assert cause_of(get(transport, server.url(scheme=scheme), 0.1)) is Cause.DEADLINE
