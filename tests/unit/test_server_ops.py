import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from certs.authority import issue, new_authority
from certs.files import write_identity
from webhook.server.metrics import Metrics
from webhook.server.ops import Readiness, create_ops_app
from webhook.server.service import Check
from webhook.server.tls import Identity

Write = Callable[..., Identity]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(lifetime: timedelta = timedelta(days=1)) -> Identity:
        authority = new_authority()
        pair = issue(authority, ["localhost"], lifetime=lifetime)
        paths = write_identity(tmp_path, authority.certificate, pair)
        return Identity(paths.certificate, paths.key)

    return write


class Checks:
    """Checks of a service that a test can turn."""

    def __init__(self) -> None:
        self.policies = self.cluster = True
        self.nodes = True
        self.broken = False

    def __call__(self) -> list[Check]:
        if self.broken:
            raise RuntimeError("password hunter2")
        return [
            Check("policies", self.policies, "p"),
            Check("cluster", self.cluster, "c"),
            Check("nodes", self.nodes, "n", gates=False),
        ]


@pytest.fixture
def checks() -> Checks:
    return Checks()


@pytest.fixture
def readiness(checks: Checks, write: Write) -> Readiness:
    return Readiness(checks, write())


@pytest.fixture
def client(readiness: Readiness) -> FlaskClient:
    return create_ops_app(readiness, Metrics(), lambda: True).test_client()


def ready(client: FlaskClient) -> tuple[int, dict[str, bool]]:
    answer = client.get("/readyz")
    body = json.loads(answer.data)
    assert body["ready"] is (answer.status_code == 200)
    assert all(set(check) == {"name", "ok", "reason"} for check in body["checks"])
    return answer.status_code, {check["name"]: check["ok"] for check in body["checks"]}


def test_the_start_waits_for_every_gating_check_and_no_other(
    client: FlaskClient, checks: Checks
) -> None:
    checks.cluster = checks.nodes = False
    assert ready(client)[0] == 503
    checks.cluster = True
    status, stands = ready(client)
    assert status == 200
    assert stands["nodes"] is False


def test_each_gating_check_needs_to_be_in_order_once(client: FlaskClient, checks: Checks) -> None:
    checks.cluster = False
    assert ready(client)[0] == 503
    checks.cluster, checks.policies = True, False
    assert ready(client)[0] == 200


def test_after_the_start_a_failing_check_is_told_and_takes_nothing_out_of_service(
    client: FlaskClient, checks: Checks
) -> None:
    assert ready(client)[0] == 200
    checks.cluster = False
    status, stands = ready(client)
    assert status == 200
    assert stands["cluster"] is False


def test_readiness_ends_when_a_stop_begins(client: FlaskClient, readiness: Readiness) -> None:
    assert ready(client)[0] == 200
    readiness.draining = True
    status, stands = ready(client)
    assert status == 503
    assert stands["serving"] is False
    assert client.get("/healthz").status_code == 200


def test_readiness_ends_with_the_certificate(checks: Checks, write: Write) -> None:
    identity = write()
    client = create_ops_app(Readiness(checks, identity), Metrics(), lambda: True).test_client()
    assert ready(client)[0] == 200
    write(timedelta(seconds=-1))
    status, stands = ready(client)
    assert status == 503
    assert stands["certificate"] is False
    write()
    assert ready(client)[0] == 200


def test_checks_that_break_are_a_check_that_fails(
    client: FlaskClient, checks: Checks, caplog: pytest.LogCaptureFixture
) -> None:
    checks.broken = True
    status, stands = ready(client)
    assert status == 503
    assert stands["service"] is False
    assert "hunter2" not in caplog.text


def test_health_ends_when_the_loop_no_longer_turns(readiness: Readiness) -> None:
    client = create_ops_app(readiness, Metrics(), lambda: False).test_client()
    assert client.get("/healthz").status_code == 503


def test_metrics_tell_when_the_certificate_expires(
    client: FlaskClient, readiness: Readiness
) -> None:
    text = client.get("/metrics").text
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("pullproof_certificate_expiry_timestamp_seconds ")
    ]
    expires = datetime.fromtimestamp(float(line.split()[1]), UTC)
    assert expires == readiness.identity.not_after


def test_other_paths_are_a_plain_404(client: FlaskClient) -> None:
    answer = client.get("/validate")
    assert (answer.status_code, answer.text) == (404, "Not Found\n")
