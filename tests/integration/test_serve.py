"""``pullproof serve`` as a process: how it starts, what it reloads, and how long it may take."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[2]
SERVING = re.compile(r"https://127\.0\.0\.1:(\d+)/validate \(.*http://127\.0\.0\.1:(\d+)\)")
POLICY = """apiVersion: pullproof.dev/v1alpha1
kind: ImagePolicy
metadata: {name: one}
spec:
  rules:
    mutable-tag: %s
"""


def command(folder: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-W", "error", "-m", "webhook", "serve"),
        *("--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"),
        *("--self-signed", str(folder / "tls"), *options),
    ]


def environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PULLPROOF_")}


class Serving:
    """A running server; ``said`` is what it wrote to stderr."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.said: list[str] = []
        self._started = threading.Event()
        self._ports = (0, 0)
        self._context: ssl.SSLContext | None = None
        self._folder = folder
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            found = SERVING.search(line)
            if found:
                self._ports = int(found[1]), int(found[2])
                self._started.set()

    def wait(self) -> None:
        assert self._started.wait(20), "".join(self.said)
        self._context = ssl.create_default_context(cafile=str(self._folder / "tls" / "ca.crt"))
        until(lambda: self.ready()[0] == 200)

    def ended(self) -> None:
        self._reader.join(10)

    def ready(self) -> tuple[int, str]:
        ops = http.client.HTTPConnection("127.0.0.1", self._ports[1], timeout=5)
        try:
            ops.request("GET", "/readyz")
            answer = ops.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            ops.close()

    def post(
        self, body: bytes, content_type: str = "application/json", query: str = "?timeout=10s"
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._ports[0], context=self._context, timeout=30
        )
        try:
            connection.request("POST", f"/validate{query}", body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def review(self, image: str, query: str = "?timeout=10s") -> dict[str, Any]:
        status, body = self.post(json.dumps(review(image)).encode(), query=query)
        assert status == 200, body
        response: dict[str, Any] = json.loads(body)["response"]
        return response


def until(holds: Callable[[], bool], seconds: float = 6) -> float:
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < seconds, "it never came to hold"
        time.sleep(0.05)
    return time.monotonic() - start


def review(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "operation": "CREATE",
            "namespace": "shop",
            "name": "web",
            "object": {"spec": {"containers": [{"name": "app", "image": image}]}},
        },
    }


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Serving]:
    (folder / "cluster").mkdir(exist_ok=True)
    view = () if "--manifests" in options else ("--manifests", str(folder / "cluster"))
    with subprocess.Popen(
        command(folder, *view, *options),
        cwd=REPO,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        server = Serving(process, folder)
        try:
            server.wait()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            server.ended()


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options),
        cwd=REPO,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_broken_policy_stops_the_start_and_names_its_place(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY % "perhaps" + "    imge-not-found: deny\n")
    done = start(tmp_path, "--manifests", str(tmp_path), "--policy", str(policy))
    assert done.returncode == 1
    assert f"{policy}:6:18: error: " in done.stderr
    assert f"{policy}:7:5: error: " in done.stderr
    assert "image-not-found" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_policy_that_is_no_yaml_is_named_by_its_place_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("kind: [\n")
    done = start(tmp_path, "--manifests", str(tmp_path), "--policy", str(policy))
    assert done.returncode == 1
    assert re.search(rf"{re.escape(str(policy))}:\d+:\d+: error: ", done.stderr)


def test_manifests_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    gone = start(tmp_path, "--manifests", str(tmp_path / "gone"))
    assert gone.returncode == 1
    assert gone.stderr == f"pullproof: --manifests: {tmp_path / 'gone'} is no folder\n"
    (tmp_path / "bad.yaml").write_text("a: [\n")
    bad = start(tmp_path, "--manifests", str(tmp_path))
    assert bad.returncode == 1
    assert f"{tmp_path / 'bad.yaml'}:" in bad.stderr
    assert "Traceback" not in bad.stderr


BAD = "ghcr.io/acme/App:latest"


def test_a_policys_change_counts_without_a_restart_and_a_broken_one_does_not(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY % "warn" + "    invalid-reference: deny\n")
    with serving(tmp_path, "--policy", str(policy)) as server:
        assert server.review(BAD)["allowed"] is False

        policy.write_text(POLICY % "warn" + "    invalid-reference: warn\n")
        assert until(lambda: server.review(BAD)["allowed"]) < 4
        in_force = server.review(BAD)["auditAnnotations"]["policy"]

        policy.write_text(POLICY % "nonsense")
        until(lambda: f"{policy}:6:18" in server.ready()[1])
        assert server.ready()[0] == 200, "the last good set serves on"
        answer = server.review(BAD)
        assert answer["allowed"] is True
        assert answer["auditAnnotations"]["policy"] == in_force

        policy.write_text(POLICY % "warn" + "    invalid-reference: deny\n")
        until(lambda: not server.review(BAD)["allowed"])
        assert str(policy) not in server.ready()[1]


def test_a_request_that_is_no_review_is_answered_with_a_status_and_one_line(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        for body, content_type, status in (
            (b"{", "application/json", 400),
            (b"[]", "application/json", 400),
            (json.dumps(review("x") | {"kind": "Pod"}).encode(), "application/json", 400),
            (b"[" * 100_000, "application/json", 400),
            (b"{}", "text/plain", 415),
        ):
            got, words = server.post(body, content_type)
            assert got == status
            assert words.count(b"\n") == 1
            assert words.endswith(b"\n")
        deep = json.dumps(review("nginx:1")).replace(
            '"containers"', '"nodeSelector": ' + '{"a":' * 950 + "1" + "}" * 950 + ', "containers"'
        )
        assert server.post(deep.encode())[0] in (200, 400)
        assert server.review("Bad")["allowed"] is False, "it serves on"


class Dripping:
    """A registry that sends a byte of its answer's headers now and then, for ever."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> "Dripping":
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._server.settimeout(0.2)
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                continue
            self._start(self._drip, connection)

    def _drip(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not self._closing.wait(0.1):
                    connection.sendall(b"x")
            except OSError:
                return


CONFIG = """apiVersion: pullproof.dev/v1alpha1
kind: RegistryConfig
metadata: {name: nodes}
spec:
  egress: {allow: ["localhost:%(port)d", "127.0.0.1:%(port)d"]}
  registries:
    - match: "localhost:%(port)d"
      plainHTTP: true
"""


def test_a_registry_that_drips_does_not_hold_a_review_past_its_time(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    with Dripping() as registry:
        policy.write_text(CONFIG % {"port": registry.port})
        with serving(tmp_path, "--policy", str(policy)) as server:
            before = time.monotonic()
            answer = server.review(f"localhost:{registry.port}/a/b:1", "?timeout=3s")
            assert time.monotonic() - before < 3
            assert answer["allowed"] is True
            assert answer["auditAnnotations"]["verdict"] == "unknown"
            assert "[PP-601]" in answer["warnings"][0]


def test_a_change_of_the_registries_does_not_break_reviews_under_way(tmp_path: Path) -> None:
    # The old resolver's threads must outlive the reviews that still wait on them.
    policy = tmp_path / "policy.yaml"
    with Dripping() as registry:
        text = CONFIG % {"port": registry.port}
        policy.write_text(text)
        with serving(tmp_path, "--policy", str(policy)) as server:
            image = f"localhost:{registry.port}/a/b:1"
            failures: list[Any] = []
            changed = threading.Event()

            def keep_asking() -> None:
                while not changed.is_set():
                    status, body = server.post(
                        json.dumps(review(image)).encode(), query="?timeout=3s"
                    )
                    if status != 200:
                        failures.append(body)

            threads = [threading.Thread(target=keep_asking) for _ in range(4)]
            for thread in threads:
                thread.start()
            before = server.review("Bad")["auditAnnotations"]["policy"]
            policy.write_text(text.replace("spec:", "spec:\n  defaults: {total: 4s}"))
            until(lambda: server.review("Bad")["auditAnnotations"]["policy"] != before)
            time.sleep(0.5)
            changed.set()
            for thread in threads:
                thread.join(15)
            assert failures == []


def test_the_timeout_of_the_view_bounds_a_review_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    with Dripping() as registry:
        policy.write_text(CONFIG % {"port": registry.port})
        with serving(tmp_path, "--policy", str(policy), "--timeout", "0.5") as server:
            before = time.monotonic()
            answer = server.review(f"localhost:{registry.port}/a/b:1", "?timeout=10s")
            assert time.monotonic() - before < 2
            assert answer["auditAnnotations"]["verdict"] == "unknown"
