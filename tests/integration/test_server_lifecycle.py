"""The server process over its life: certificates, start, stop."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certs.authority import issue, new_authority
from certs.files import ensure_self_signed, write_identity
from tests.integration.server_process import ServerProcess, post

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


def in_thread(work: Callable[[], object]) -> Callable[[], object]:
    """Start ``work``; return what waits for its result."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()

    def result() -> object:
        thread.join(40)
        return results[0] if results else None

    return result


# -- certificates ----------------------------------------------------------------


def test_a_certificate_is_reloaded_under_load_and_no_connection_is_lost(tmp_path: Path) -> None:
    authority = new_authority()
    names = ["localhost"]
    write_identity(tmp_path, authority.certificate, issue(authority, names))
    failures: list[str] = []
    done, serials = threading.Event(), set()

    def load(server: ServerProcess) -> None:
        context = server.trusting()
        while not done.is_set():
            try:
                with server.connected(context) as connection:
                    connection.connect()
                    assert isinstance(connection.sock, ssl.SSLSocket)
                    serials.add((connection.sock.getpeercert() or {}).get("serialNumber"))
                    assert post(connection)[0] == 200
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(repr(error))

    with ServerProcess(tmp_path) as server:
        threads = [threading.Thread(target=load, args=(server,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            pair = issue(authority, names)
            # Not atomic on purpose: a moment of half a pair, each time.
            (tmp_path / "tls.crt").write_bytes(pair.certificate)
            time.sleep(0.1)
            (tmp_path / "tls.key").write_bytes(pair.key)
            time.sleep(0.1)
        done.set()
        for thread in threads:
            thread.join(20)
        assert failures == []
        assert len(serials) > 5
        assert "the last good one stays" in server.said


def test_client_certificates_are_asked_for_when_their_authority_is_given(tmp_path: Path) -> None:
    identity = tmp_path / "server"
    ensure_self_signed(identity, ["localhost"])
    clients = new_authority("clients")
    pair = issue(clients, ["api"], for_client=True)
    paths = write_identity(tmp_path / "client", clients.certificate, pair)
    with ServerProcess(identity, "--client-ca", str(paths.ca)) as server:
        with pytest.raises(OSError):  # an alert or a reset, as the race goes
            server.review()
        server.wait_for("TLS with 127.0.0.1 failed: peer did not return a certificate")
        context = server.trusting()
        context.load_cert_chain(paths.certificate, paths.key)
        with server.connected(context) as connection:
            assert post(connection)[0] == 200


# -- start and stop --------------------------------------------------------------


def test_readiness_waits_for_the_start_and_then_for_nothing_more(
    serve: Serve, tmp_path: Path
) -> None:
    cluster = tmp_path / "cluster"
    server = serve("--cluster", str(cluster))
    status, body = server.ops("/readyz")
    assert status == 503
    assert {"name": "cluster", "ok": False, "reason": "not reached yet"} in json.loads(body)[
        "checks"
    ]
    assert server.review()[0] == 200
    cluster.touch()
    assert server.ops("/readyz")[0] == 200
    cluster.unlink()
    assert server.ops("/readyz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once_with_exit_code_0(serve: Serve, number: int) -> None:
    server = serve()
    with server.connected() as connection, server.tcp(), server.tls():
        post(connection)
        code, seconds = server.stop(number)
    assert code == 0
    assert seconds < 2.0
    assert "Traceback" not in server.said


def test_a_stop_answers_what_was_accepted_and_readiness_ends(serve: Serve) -> None:
    server = serve()
    with server.connected() as kept:
        post(kept)
        slow = in_thread(lambda: server.review(sleep=2))
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.ops("/readyz")[0] == 503
        assert server.ops("/healthz")[0] == 200
        # A review that comes at the last moment on a connection that was kept.
        assert post(kept)[0] == 200
        with pytest.raises(ConnectionRefusedError):
            server.tcp()
    answer = slow()
    assert isinstance(answer, tuple)
    assert answer[0] == 200
    assert server.ended()[0] == 0


def test_a_burst_at_the_moment_of_the_stop_is_answered_or_refused_never_cut(serve: Serve) -> None:
    server = serve("--threads", "4")
    context = server.trusting()

    def one() -> str:
        try:
            sock = server.tcp()
        except ConnectionRefusedError:
            return "refused"
        with sock, context.wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(
                b"POST /validate HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Content-Length: 15\r\n\r\n" + b'{"sleep": 0.05}'
            )
            return tls.recv(100)[:15].decode()

    waiting = [in_thread(one) for _ in range(20)]
    server.process.send_signal(signal.SIGTERM)
    assert {result() for result in waiting} <= {"HTTP/1.1 200 OK", "refused"}
    assert server.ended()[0] == 0


@pytest.mark.parametrize(
    ("boot", "said"),
    [
        ("told", "pullproof: cannot start: no policy could be read\n"),
        ("broken", "pullproof: cannot start: RuntimeError at serving.py:"),
        ("killed", "stopping: the worker did not start"),
    ],
)
def test_a_worker_that_dies_at_boot_is_not_started_again(
    identity: Path, boot: str, said: str
) -> None:
    process = ServerProcess(identity, "--boot", boot)
    try:
        code, all_said = process.ended()
    finally:
        process.__exit__(None, None, None)
    assert code == 1
    assert said in all_said
    assert all_said.count("\n") == (2 if boot == "killed" else 1)
    assert "hunter2" not in all_said


def test_a_port_in_use_is_said_in_one_line(server: ServerProcess, identity: Path) -> None:
    process = ServerProcess(identity, "--listen", f"127.0.0.1:{server.port}")
    try:
        assert process.ended() == (
            1,
            "pullproof: cannot start: cannot listen on "
            f"127.0.0.1:{server.port}: Address already in use\n",
        )
    finally:
        process.__exit__(None, None, None)


def test_a_certificate_without_its_key_is_said_in_one_line(tmp_path: Path) -> None:
    authority = new_authority()
    paths = write_identity(tmp_path, authority.certificate, issue(authority, ["localhost"]))
    paths.key.write_bytes(issue(authority, ["localhost"]).key)
    process = ServerProcess(tmp_path)
    try:
        code, said = process.ended()
    finally:
        process.__exit__(None, None, None)
    assert code == 1
    assert said.count("\n") == 1
    assert "does not belong to" in said


def test_the_environment_of_gunicorn_and_signals_of_its_arbiter_change_nothing(
    identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--bind 127.0.0.1:1 --workers 3")
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.setenv("GUNICORN_PID", "1")
    monkeypatch.setenv("GUNICORN_FD", "0")
    monkeypatch.setenv("SCRIPT_NAME", "/x")
    with ServerProcess(identity) as server:
        before = server.review()[1]["pid"]
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN):
            server.process.send_signal(number)
        time.sleep(0.5)
        assert server.review()[1]["pid"] == before
        assert server.stop()[0] == 0


def test_a_worker_that_is_killed_later_is_replaced(serve: Serve) -> None:
    server = serve()
    worker = server.review()[1]["pid"]
    os.kill(worker, signal.SIGKILL)
    server.wait_for(r"serving on(?s:.)*serving on")
    assert server.review()[1]["pid"] != worker
    assert server.ops("/readyz")[0] == 200


def test_an_ipv6_address_is_served(identity: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    process = ServerProcess(identity, "--listen", "[::1]:0")
    try:
        found = process.wait_for(r"serving on https://\[::1\]:(\d+)/validate|cannot listen")
        if found[1]:
            socket.create_connection(("::1", int(found[1])), 5).close()
    finally:
        process.__exit__(None, None, None)
