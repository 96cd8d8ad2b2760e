"""The server process at work: requests good and bad, silent and slow peers."""

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certs.files import ensure_self_signed
from tests.integration.server_process import JSON, ServerProcess, post

MIB = 1024 * 1024
Serve = Callable[..., ServerProcess]


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("identity")
    ensure_self_signed(directory, ["localhost", "127.0.0.1"])
    return directory


@pytest.fixture(scope="module")
def server(identity: Path) -> Iterator[ServerProcess]:
    with ServerProcess(identity) as server:
        yield server


@pytest.fixture
def serve(identity: Path) -> Iterator[Serve]:
    """Start servers that a test may stop."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(ServerProcess(identity, *options))


def raw(server: ServerProcess, *sent: bytes) -> bytes:
    """Send bytes over TLS and return all that comes until the server ends."""
    with server.tls() as tls:
        for piece in sent:
            tls.sendall(piece)
        received = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while data := tls.recv(65536):
                received += data
        return received


# -- requests ------------------------------------------------------------------


def test_a_review_gets_its_answer_and_its_deadline(server: ServerProcess) -> None:
    status, answer = server.review(kind="AdmissionReview")
    assert status == 200
    assert 8.0 < answer["left"] <= 8.75


def test_one_connection_serves_many_reviews(server: ServerProcess) -> None:
    with server.connected() as connection:
        post(connection)
        ours = connection.sock
        for _ in range(20):
            assert post(connection)[0] == 200
        assert connection.sock is ours


def test_a_body_of_seven_mebibytes_is_reviewed(server: ServerProcess) -> None:
    assert server.review(padding="x" * 7 * MIB)[1]["size"] > 7 * MIB


@pytest.mark.parametrize("encode_chunked", [False, True])
def test_a_body_past_the_limit_is_a_413(server: ServerProcess, encode_chunked: bool) -> None:
    with server.connected() as connection:
        body: object = [b"x" * MIB] * 9 if encode_chunked else b"x" * 9 * MIB
        connection.request(
            "POST",
            "/validate",
            body,  # type: ignore[arg-type]
            JSON,
            encode_chunked=encode_chunked,
        )
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (413, b"the body is larger than any review\n")


def test_a_chunked_body_within_the_limit_is_reviewed(server: ServerProcess) -> None:
    with server.connected() as connection:
        connection.request("POST", "/validate", iter([b'{"a"', b": 1}"]), JSON, encode_chunked=True)
        assert json.loads(connection.getresponse().read())["size"] == 8


def test_bad_requests_are_one_plain_line_each_and_the_connection_lives_on(
    server: ServerProcess,
) -> None:
    cases = [
        ("GET", "/validate", b"", {}, 405),
        ("POST", "/other", b"{}", JSON, 404),
        ("POST", "/validate", b"{}", {"Content-Type": "text/yaml"}, 415),
        ("POST", "/validate", b"no json", JSON, 400),
        ("POST", "/validate", b"[]", JSON, 400),
        ("POST", "/validate", b"", JSON, 400),
        ("POST", "/validate", b'{"break": true}', JSON, 503),
    ]
    with server.connected() as connection:
        for method, path, body, headers, status in cases:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == status
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert text.count(b"\n") == 1
        assert post(connection)[0] == 200
    assert "hunter2" not in server.said
    assert "Traceback" not in server.said


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /validate HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70000, 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (
            b"POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
        ),
    ],
)
def test_what_is_no_http_is_a_plain_line_and_the_end(
    server: ServerProcess, sent: bytes, status: int
) -> None:
    received = raw(server, sent)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"text/plain" in head
    assert body.count(b"\n") == 1


def test_two_requests_sent_at_once_are_both_answered(server: ServerProcess) -> None:
    one = b"POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s"
    one += b"Content-Length: 2\r\n\r\n{}"
    received = raw(server, one % b"" + one % b"Connection: close\r\n")
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_only_http_1_1_is_negotiated_and_nothing_below_tls_1_2(server: ServerProcess) -> None:
    context = server.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(server.tcp(), server_hostname="localhost") as tls:
        assert tls.selected_alpn_protocol() == "http/1.1"
    context = server.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with context.wrap_socket(server.tcp(), server_hostname="localhost") as tls:
        assert tls.version() == "TLSv1.2"


def test_probes_and_metrics_are_on_the_plain_listener(server: ServerProcess) -> None:
    server.review()
    assert server.ops("/healthz") == (200, "ok\n")
    assert server.ops("/readyz")[0] == 200
    status, text = server.ops("/metrics")
    assert status == 200
    assert 'pullproof_reviews_total{verdict="warn"}' in text
    assert 'pullproof_findings_total{action="warn",cause="tag-latest",rule="mutable-tag"}' in text
    assert server.ops("/validate")[0] == 404


# -- silent and slow peers -------------------------------------------------------


def test_silent_peers_hold_no_thread(serve: Serve) -> None:
    server = serve("--threads", "8")
    server.review()
    with contextlib.ExitStack() as peers:
        for _ in range(40):
            peers.enter_context(server.tcp())
            peers.enter_context(server.tls())
        for _ in range(40):
            peers.enter_context(server.tcp()).sendall(b"\x16")
            peers.enter_context(server.tls()).sendall(b"POST /validate HTTP/1.1\r\n")
        start = time.monotonic()
        for _ in range(5):
            assert server.review()[0] == 200
        assert time.monotonic() - start < 1.0


def test_peers_that_never_finish_are_dropped(serve: Serve) -> None:
    server = serve("--handshake", "0.5", "--read", "0.5", "--keepalive", "1")
    head = b"POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    with (
        server.tcp() as silent,
        server.tcp() as half,
        server.tls() as idle,
        server.tls() as headless,
        server.tls() as bodiless,
    ):
        half.sendall(b"\x16\x03")
        headless.sendall(head)
        bodiless.sendall(head + b"Content-Length: 10\r\n\r\n{")
        start = time.monotonic()
        assert bodiless.recv(65536).startswith(b"HTTP/1.1 408 ")
        for peer in (silent, half, idle, headless):
            peer.settimeout(5)
            with contextlib.suppress(ConnectionResetError, ssl.SSLEOFError):
                assert peer.recv(100) == b""
        assert time.monotonic() - start < 3.0
    assert server.review()[0] == 200
    assert "pullproof_failed_handshakes_total 2.0" in server.ops("/metrics")[1]


def test_peers_that_do_not_hang_up_after_an_error_delay_nobody(server: ServerProcess) -> None:
    with contextlib.ExitStack() as peers:
        for _ in range(20):
            peers.enter_context(server.tls()).sendall(b"nonsense\r\n\r\n")
        start = time.monotonic()
        assert server.review()[0] == 200
        assert time.monotonic() - start < 1.0
