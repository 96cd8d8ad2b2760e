"""The demo's driver against a server that speaks the same line; run as a script, this is it."""

import ipaddress
import json
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from webhook.cli.demo import driver, samples
from webhook.cli.demo.process import Server, ServerTrouble
from webhook.policy.action import Action
from webhook.registry.outcome import Cause

FINDING = {"rule": "mutable-tag", "cause": "tag-latest", "code": "PP-801", "action": "warn"}
REVIEW = {"request": {"uid": "7"}}
REPO = Path(__file__).parents[2]


class Ops(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Hook(Ops):
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": True, "path": self.path}
        body = json.dumps(
            {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stub")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def serve(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    certify(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.crt", folder / "tls.key")
    hook = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    hook.socket = context.wrap_socket(hook.socket, server_side=True)
    ops = ThreadingHTTPServer(("127.0.0.1", 0), Ops)
    threading.Thread(target=ops.serve_forever, daemon=True).start()
    (folder / "pid").write_text(str(os.getpid()))
    print("something else first", file=sys.stderr)
    print(
        f"pullproof: serving on https://127.0.0.1:{hook.server_port}/validate"
        f" (health and metrics on http://127.0.0.1:{ops.server_port})",
        file=sys.stderr,
        flush=True,
    )
    hook.serve_forever()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.unit.test_demo_driver", str(tmp_path)]
    with Server(command, tmp_path / "ca.crt") as running:
        yield running


@pytest.fixture(autouse=True)
def _at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPO)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_review_is_asked_over_verified_tls_with_a_timeout(server: Server) -> None:
    for _ in range(2):
        answer = server.ask(REVIEW)
        assert (answer["uid"], answer["path"]) == ("7", "/validate?timeout=10s")


def test_leaving_stops_the_process(server: Server, tmp_path: Path) -> None:
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    server.stop()
    assert not alive(pid)


def test_every_sample_is_shown_and_what_differs_is_told(server: Server, tmp_path: Path) -> None:
    stage = driver.set_stage(tmp_path, "localhost:5000")
    out = StringIO()
    failures = driver.show(stage, server, out)
    text = out.getvalue()
    assert "$ kubectl apply -f samples/01-public.yaml\ndeployment.apps/web created\n\n" in text
    assert (
        "$ kubectl apply -f samples/05-deleted-tag.yaml\ndeployment.apps/web-old created\n"
        "  NOT AS DECLARED: deny tag-not-found was not found\n"
    ) in text
    total = len(samples.load(samples.FOLDER))
    assert text.endswith(f"{total} samples, {total - failures} answered as declared\n")
    assert failures == sum(bool(sample.expects) for sample in samples.load(samples.FOLDER))


def test_a_server_that_does_not_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such policy')"]
    trouble = pytest.raises(ServerTrouble, match=r"did not start; it said:\n +no such policy")
    with trouble, Server(command, tmp_path / "ca.crt"):
        pass


def test_a_person_s_own_flags_do_not_reach_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULLPROOF_POLICY", "/elsewhere")
    program = "import os, sys; sys.exit(str([k for k in os.environ if k.startswith('PULLPROOF')]))"
    trouble = pytest.raises(ServerTrouble, match=r"\n +\[\]$")
    with trouble, Server([sys.executable, "-c", program], tmp_path / "ca.crt"):
        pass


def test_a_connection_that_breaks_is_trouble(server: Server) -> None:
    with pytest.raises(ServerTrouble, match="gave no answer"):
        server._connection = _Broken()  # type: ignore[assignment]
        server.ask(REVIEW)


class _Broken:
    def request(self, *_: Any, **__: Any) -> None:
        raise ConnectionResetError("gone")

    def close(self) -> None:
        pass


LATEST = samples.Expected(Action.WARN, Cause.TAG_LATEST)
MISSING = samples.Expected(Action.DENY, Cause.TAG_NOT_FOUND)


def response(*findings: dict[str, str], allowed: bool = True, message: str = "") -> dict[str, Any]:
    return {
        "allowed": allowed,
        "auditAnnotations": {"findings": json.dumps(findings)},
        "warnings": ["mind latest [PP-801]"],
        "status": {"message": message},
    }


def test_findings_as_declared_have_no_fault() -> None:
    assert driver.compare(frozenset({LATEST}), [response(FINDING)]) == []


def test_a_finding_too_many_and_one_too_few_are_told() -> None:
    assert driver.compare(frozenset({MISSING}), [response(FINDING)]) == [
        "deny tag-not-found was not found",
        "warn tag-latest was found too",
    ]


def test_a_denial_without_a_finding_that_denies_is_told() -> None:
    faults = driver.compare(frozenset({LATEST}), [response(FINDING, allowed=False)])
    assert faults == ["allowed is false, the findings say otherwise"]


def test_a_code_that_nobody_can_read_is_told() -> None:
    missing = {"cause": "tag-not-found", "action": "deny"}
    answer = response(missing, allowed=False, message="no")
    assert driver.compare(frozenset({MISSING}), [answer]) == [
        "PP-103 of deny tag-not-found is not told"
    ]


def test_findings_that_are_only_for_the_audit_log_count_for_nothing() -> None:
    audited = FINDING | {"action": "audit"}
    assert driver.compare(frozenset(), [response(audited)]) == []


def test_without_the_annotation_causes_and_codes_are_read() -> None:
    answer = {
        "allowed": False,
        "warnings": ["mind latest [PP-801]"],
        "status": {
            "message": "no [PP-103]",
            "details": {"causes": [{"reason": "tag-not-found", "message": "x"}]},
        },
    }
    assert driver.compare(frozenset({LATEST, MISSING}), [answer]) == []


def test_the_server_is_started_with_what_the_stage_holds(tmp_path: Path) -> None:
    stage = driver.set_stage(tmp_path, "localhost:41234")
    command = stage.serve(tmp_path / "no-such-policy.yaml")
    assert command[:4] == [sys.executable, "-m", "webhook", "serve"]
    assert command.count("--policy") == 1
    assert 'match: "localhost:41234"' in stage.registry_config.read_text()


def test_the_whole_demo_fails_where_answers_are_not_as_declared_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stub(stage: driver.Stage) -> list[str]:
        return [sys.executable, "-m", "tests.unit.test_demo_driver", str(stage.certificates)]

    monkeypatch.setattr(driver.Stage, "serve", stub)
    monkeypatch.setattr(driver, "_stop_on_signals", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert driver.main([]) == 1
    assert capsys.readouterr().out.endswith("answered as declared\n")
    assert list(tmp_path.iterdir()) == []


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
