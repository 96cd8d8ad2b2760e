import base64
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from webhook.cluster import flights
from webhook.cluster.live import MAX_KEPT_DATA, ClusterConfigError, LiveView
from webhook.cluster.view import Absent, ClusterView, ServiceAccount, Unreadable
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

SECRET = "/api/v1/namespaces/shop/secrets/regcred"
Answer = tuple[int, Any]


class ApiServer:
    """Answers each path as it was told, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        self.unknown: Answer = (404, status(404, "NotFound"))
        self.asked: list[str] = []
        self.headers: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append(self.headers.get("Authorization"))
                answer = outer.answers.get(self.path, outer.unknown)
                code, body = answer if isinstance(answer, tuple) else answer()
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                if 300 <= code < 400:
                    self.send_header("Location", SECRET)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def status(code: int, reason: str, name: str | None = None) -> dict[str, Any]:
    details = {} if name is None else {"details": {"name": name, "kind": "secrets"}}
    return {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason} | details


def secret_json(password: str = "hunter2") -> dict[str, Any]:
    return {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "regcred", "namespace": "shop", "uid": "u1"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(password.encode()).decode(), "bad": "!"},
    }


def kubeconfig(folder: Path, server: str, extra: str = "") -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        f"clusters: [{{name: c, cluster: {{server: '{server}'{extra}}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        "users: [{name: u, user: {token: t0ken}}]\n"
    )
    return file


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def view(api: ApiServer, tmp_path: Path) -> Iterator[LiveView]:
    live = LiveView(kubeconfig(tmp_path, api.url))
    yield live
    live.close()


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


def test_a_secret_is_read_by_name_with_the_kubeconfigs_token(
    api: ApiServer, view: LiveView
) -> None:
    api.answers[SECRET] = 200, secret_json()
    found = view.secret("shop", "regcred", soon())
    assert isinstance(found, Secret)
    assert (found.namespace, found.name, found.uid) == ("shop", "regcred", "u1")
    assert found.data == {".dockerconfigjson": b"hunter2", "bad": b""}
    assert "hunter2" not in repr(found)
    assert api.asked == [SECRET]
    assert api.headers == ["Bearer t0ken"]


def test_an_account_is_read_with_its_secrets_in_order(api: ApiServer, view: LiveView) -> None:
    api.answers["/api/v1/namespaces/shop/serviceaccounts/bot"] = (
        200,
        {
            "kind": "ServiceAccount",
            "metadata": {"name": "bot", "namespace": "shop"},
            "imagePullSecrets": [{"name": "b"}, {"name": "a"}],
        },
    )
    found = view.service_account("shop", "bot", soon())
    assert found == ServiceAccount("shop", "bot", ("b", "a"))


def test_labels_of_a_namespace_are_read(api: ApiServer, view: LiveView) -> None:
    body = {"kind": "Namespace", "metadata": {"name": "shop", "labels": {"tier": "a"}}}
    api.answers["/api/v1/namespaces/shop"] = 200, body
    assert view.namespace_labels("shop", soon()) == {"tier": "a"}
    assert isinstance(view.namespace_labels("other", soon()), Unreadable)


def test_answers_are_kept_and_fresh_ones_replace_them(api: ApiServer, view: LiveView) -> None:
    api.answers[SECRET] = 200, secret_json("old")
    view.secret("shop", "regcred", soon())
    api.answers[SECRET] = 200, secret_json("new")
    kept = view.secret("shop", "regcred", soon())
    fresh = view.secret("shop", "regcred", soon(), fresh=True)
    after = view.secret("shop", "regcred", soon())
    passwords = [
        found.data[".dockerconfigjson"]
        for found in (kept, fresh, after)
        if isinstance(found, Secret)
    ]
    assert passwords == [b"old", b"new", b"new"]
    assert len(api.asked) == 2


def test_answers_are_kept_no_longer_than_their_time(
    api: ApiServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answers[SECRET] = 200, secret_json()
    view.secret("shop", "regcred", soon())
    monkeypatch.setattr(flights, "KEPT_SECONDS", 0.0)
    view.secret("shop", "regcred", soon())
    assert len(api.asked) == 2


def test_the_oldest_answers_make_room(
    api: ApiServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "KEPT_ANSWERS", 1)
    api.answers[SECRET] = 200, secret_json()
    other = secret_json() | {"metadata": {"name": "other", "namespace": "shop"}}
    api.answers["/api/v1/namespaces/shop/secrets/other"] = 200, other
    for name in ("regcred", "other", "other", "regcred"):
        view.secret("shop", name, soon())
    assert len(api.asked) == 3


def test_a_large_secret_is_not_kept(api: ApiServer, view: LiveView) -> None:
    api.answers[SECRET] = 200, secret_json("x" * (MAX_KEPT_DATA + 1))
    for _ in range(2):
        assert isinstance(view.secret("shop", "regcred", soon()), Secret)
    assert len(api.asked) == 2


@pytest.mark.parametrize("named", ["regcred", None])
def test_only_the_api_servers_own_not_found_means_absent(
    api: ApiServer, view: LiveView, named: str | None
) -> None:
    api.answers[SECRET] = 404, status(404, "NotFound", named)
    assert view.secret("shop", "regcred", soon()) == Absent()
    assert view.secret("shop", "regcred", soon()) == Absent()
    assert len(api.asked) == 2, "what is absent is never kept"


def test_a_secret_that_went_away_is_not_remembered(api: ApiServer, view: LiveView) -> None:
    api.answers[SECRET] = 200, secret_json()
    view.secret("shop", "regcred", soon())
    api.answers[SECRET] = 404, status(404, "NotFound", "regcred")
    assert view.secret("shop", "regcred", soon(), fresh=True) == Absent()
    assert view.secret("shop", "regcred", soon()) == Absent()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ((403, status(403, "Forbidden")), Cause.SECRET_UNREADABLE),
        ((401, status(401, "Unauthorized")), Cause.SECRET_UNREADABLE),
        ((404, b"404 page not found"), Cause.CLUSTER_UNAVAILABLE),
        ((404, {"kind": "Other", "reason": "NotFound"}), Cause.CLUSTER_UNAVAILABLE),
        ((404, status(404, "NotFound", "another")), Cause.CLUSTER_UNAVAILABLE),
        ((500, status(500, "InternalError")), Cause.CLUSTER_UNAVAILABLE),
        ((429, status(429, "TooManyRequests")), Cause.CLUSTER_UNAVAILABLE),
        ((302, b""), Cause.CLUSTER_UNAVAILABLE),
        ((200, b"<html>"), Cause.CLUSTER_UNAVAILABLE),
        ((200, []), Cause.CLUSTER_UNAVAILABLE),
        ((200, {"kind": "Secret"}), Cause.CLUSTER_UNAVAILABLE),
        ((200, {"kind": "ConfigMap", "metadata": {}}), Cause.CLUSTER_UNAVAILABLE),
        ((200, {"kind": "Secret", "metadata": [], "data": 5}), Cause.CLUSTER_UNAVAILABLE),
    ],
)
def test_any_other_answer_proves_nothing_and_is_not_kept(
    api: ApiServer, view: LiveView, answer: Answer, cause: Cause
) -> None:
    api.answers[SECRET] = answer
    found = view.secret("shop", "regcred", soon())
    assert isinstance(found, Unreadable), found
    assert found.cause is cause
    assert 'get secrets "regcred" in namespace "shop"' in found.why
    assert "\n" not in found.why
    assert len(api.asked) == 1, "nothing is tried twice, no redirect is followed"
    api.answers[SECRET] = 200, secret_json()
    assert isinstance(view.secret("shop", "regcred", soon()), Secret)


def test_a_silent_server_is_left_at_the_deadline(api: ApiServer, view: LiveView) -> None:
    release = threading.Event()

    def wait() -> Answer:
        release.wait(10)
        return 200, secret_json()

    api.answers[SECRET] = wait
    began = time.monotonic()
    found = view.secret("shop", "regcred", soon(0.2))
    assert time.monotonic() - began < 2
    release.set()
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.CLUSTER_UNAVAILABLE
    assert "in time" in found.why


def test_a_server_that_drips_is_left_at_the_deadline(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    live = LiveView(kubeconfig(tmp_path, f"http://127.0.0.1:{listener.getsockname()[1]}"))
    began = time.monotonic()
    found = live.secret("shop", "regcred", soon(0.3))
    assert time.monotonic() - began < 2
    assert isinstance(found, Unreadable)
    thread.join(5)
    assert not thread.is_alive(), "the connection was given up as well"
    stop.set()
    listener.close()
    live.close()


def test_a_refused_connection_is_an_unavailable_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    live = LiveView(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"))
    found = live.secret("shop", "regcred", soon())
    assert isinstance(found, Unreadable)
    assert found.cause is Cause.CLUSTER_UNAVAILABLE
    assert not live.reached()
    assert live.probe(soon()) is not None
    live.close()


def test_reads_at_once_share_one_request(api: ApiServer, view: LiveView) -> None:
    asked = threading.Event()
    release = threading.Event()

    def wait() -> Answer:
        asked.set()
        release.wait(10)
        return 200, secret_json()

    api.answers[SECRET] = wait
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(view.secret, "shop", "regcred", soon()) for _ in range(8)]
        assert asked.wait(10)
        time.sleep(0.1)
        release.set()
        assert all(isinstance(read.result(), Secret) for read in reads)
    assert len(api.asked) == 1


def test_whoever_has_time_left_outlives_the_deadline_of_another(
    api: ApiServer, view: LiveView
) -> None:
    def slow() -> Answer:
        time.sleep(0.5 if len(api.asked) == 1 else 0)
        return 200, secret_json()

    api.answers[SECRET] = slow
    with ThreadPoolExecutor(1) as pool:
        hasty = pool.submit(view.secret, "shop", "regcred", soon(0.2))
        time.sleep(0.05)
        assert isinstance(view.secret("shop", "regcred", soon()), Secret)
        assert isinstance(hasty.result(), Unreadable)


def test_a_passed_deadline_asks_nobody(api: ApiServer, view: LiveView) -> None:
    assert isinstance(view.secret("shop", "regcred", soon(-1)), Unreadable)
    assert api.asked == []


@pytest.mark.parametrize("name", ["..", "a/b", "", "A", "x\r\ny", "a" * 300])
def test_a_name_that_no_object_can_have_is_absent_unasked(
    api: ApiServer, view: LiveView, name: str
) -> None:
    assert view.secret("shop", name, soon()) == Absent()
    assert api.asked == []


def test_the_environments_proxy_is_not_for_the_api_server(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    api.answers[SECRET] = 200, secret_json()
    live = LiveView(kubeconfig(tmp_path, api.url))
    assert isinstance(live.secret("shop", "regcred", soon()), Secret)
    live.close()


@pytest.mark.parametrize(
    ("server", "addresses"),
    [
        ("https://localhost:6443", {"localhost:6443", "127.0.0.1:6443"}),
        ("https://127.0.0.1", {"127.0.0.1:443"}),
        ("https://[::1]:6443", {"::1:6443"}),
        ("https://absent.invalid", {"absent.invalid:443"}),
    ],
)
def test_where_the_api_server_is_reached_is_known_by_name_and_address(
    server: str, addresses: set[str], tmp_path: Path
) -> None:
    live = LiveView(kubeconfig(tmp_path, server))
    assert addresses <= live.addresses()
    live.close()


def test_the_kubeconfigs_own_proxy_is_used(api: ApiServer, tmp_path: Path) -> None:
    url = "http://api.example"
    api.answers[f"{url}{SECRET}"] = 200, secret_json()
    live = LiveView(kubeconfig(tmp_path, url, f", proxy-url: '{api.url}'"))
    assert isinstance(live.secret("shop", "regcred", soon()), Secret)
    live.close()


def test_readiness_asks_for_the_version(api: ApiServer, view: LiveView) -> None:
    assert not view.reached()
    api.answers["/version/"] = 500, status(500, "InternalError")
    assert view.probe(soon()) == "the API server answers 500 to its version"
    assert not view.reached()
    api.answers["/version/"] = 200, {"major": "1", "minor": "37"}
    assert view.probe(soon()) is None
    assert view.reached()


def test_a_kubeconfig_that_does_not_serve_is_told_without_its_content(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    for text in ("users: [{token: hunter2", "token: hunter2", "- hunter2", ""):
        file.write_text(text)
        with pytest.raises(ClusterConfigError) as caught:
            LiveView(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_outside_a_cluster_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterConfigError, match="in-cluster: Service host/port is not set"):
        LiveView()


def test_the_client_is_imported_only_where_it_is_used() -> None:
    code = "import sys, webhook.cluster.live; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_live_view_is_a_cluster_view(view: LiveView) -> None:
    as_view: ClusterView = view
    assert as_view.service_account("shop", "bot", soon()) == Absent()
