import logging
import time
from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient

from webhook.deadline import Deadline
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Rule
from webhook.review.answer import Counted, MalformedReview, ReviewAnswer, Verdict
from webhook.server.app import create_app, deadline_from
from webhook.server.metrics import Metrics
from webhook.server.service import Check

LIMIT = 1000
REVIEW = b'{"kind": "AdmissionReview"}'


class FakeService:
    def __init__(self) -> None:
        self.seen: list[tuple[bytes, float]] = []
        self.fails: Exception | None = None

    def review(self, body: bytes, deadline: Deadline) -> ReviewAnswer:
        if self.fails is not None:
            raise self.fails
        self.seen.append((body, deadline.left()))
        counted = Counted(Rule.IMAGE_NOT_FOUND, Cause.TAG_NOT_FOUND, Action.DENY)
        return ReviewAnswer(b'{"answer": true}', Verdict.DENY, (counted,))

    def start(self) -> None: ...

    def checks(self) -> Sequence[Check]:
        return ()

    def close(self) -> None: ...


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(service: FakeService, metrics: Metrics) -> FlaskClient:
    return create_app(service, metrics, max_body=LIMIT).test_client()


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("10s", 8.75),
        ("30s", 28.75),
        ("5s", 3.75),
        ("2s", 0.75),
        ("2.5s", 1.25),
        ("1500ms", 0.5),
        ("1s", 0.5),
        ("500ms", 0.25),
        ("1m", 28.75),
        ("1m30s", 28.75),
        ("0.1m", 4.75),
        ("9h", 28.75),
        (".5s", 0.25),
        ("3.s", 1.75),
        # absent or malformed: 10 s
        (None, 8.75),
        ("", 8.75),
        ("0s", 8.75),
        ("-5s", 8.75),
        ("5", 8.75),
        ("s", 8.75),
        ("five", 8.75),
        ("5s ", 8.75),
        ("5 s", 8.75),
        ("5x", 8.75),
        ("5s5", 8.75),
        ("\u0665s", 8.75),
        ("NaNs", 8.75),
        ("1e9s", 8.75),
        ("9" * 400 + "s", 8.75),
    ],
)
def test_the_plan_is_a_second_and_a_margin_under_the_timeout(
    timeout: str | None, seconds: float
) -> None:
    assert deadline_from(timeout) == pytest.approx(seconds)


def test_a_longer_timeout_never_plans_less() -> None:
    plans = [deadline_from(f"{tenth * 100}ms") for tenth in range(1, 320)]
    assert plans == sorted(plans)


def test_a_review_is_answered_with_the_bytes_of_the_service(
    client: FlaskClient, service: FakeService
) -> None:
    answer = client.post("/validate?timeout=5s", data=REVIEW, content_type="application/json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.data == b'{"answer": true}'
    ((body, left),) = service.seen
    assert body == REVIEW
    assert 3.5 < left <= 3.75


def test_time_spent_in_the_worker_s_queue_counts(client: FlaskClient, service: FakeService) -> None:
    class Waited:
        ready_at = time.monotonic() - 3.0

    client.post(
        "/validate?timeout=10s",
        data=REVIEW,
        content_type="application/json",
        environ_overrides={"gunicorn.socket": Waited()},
    )
    assert 5.5 < service.seen[0][1] <= 5.75


def test_parameters_of_the_content_type_are_allowed(client: FlaskClient) -> None:
    kind = "application/json; charset=utf-8"
    assert client.post("/validate", data=REVIEW, content_type=kind).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("POST", "/validate", "text/plain", REVIEW), 415),
        (("POST", "/validate", "application/jsonx", REVIEW), 415),
        (("POST", "/validate", "", REVIEW), 415),
        (("POST", "/validate", "application/json", b"x" * (LIMIT + 1)), 413),
        (("POST", "/validate/", "application/json", REVIEW), 404),
        (("POST", "//validate", "application/json", REVIEW), 404),
        (("POST", "/", "application/json", REVIEW), 404),
        (("GET", "/validate", "", b""), 405),
        (("OPTIONS", "/validate", "", b""), 405),
        (("PUT", "/validate", "application/json", REVIEW), 405),
    ],
)
def test_a_bad_request_gets_its_status_one_line_and_one_line_in_the_log(
    client: FlaskClient,
    metrics: Metrics,
    caplog: pytest.LogCaptureFixture,
    asked: tuple[str, str, str, bytes],
    status: int,
) -> None:
    method, path, kind, body = asked
    answer = client.open(path, method=method, data=body, content_type=kind)
    assert answer.status_code == status
    assert answer.mimetype == "text/plain"
    assert answer.text.count("\n") == 1
    assert answer.text.endswith("\n")
    assert len(caplog.records) == 1
    assert str(status) in caplog.text
    assert caplog.records[0].exc_info is None
    assert f'pullproof_rejected_requests_total{{status="{status}"}} 1.0' in metrics.text().decode()


def test_a_body_of_exactly_the_limit_is_reviewed(client: FlaskClient) -> None:
    answer = client.post("/validate", data=b"x" * LIMIT, content_type="application/json")
    assert answer.status_code == 200


def test_405_names_the_method_that_is_allowed(client: FlaskClient) -> None:
    assert client.get("/validate").headers["Allow"] == "POST"


def test_what_is_no_review_is_a_400_in_one_safe_line(
    client: FlaskClient, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.fails = MalformedReview("no uid\nin \x1b[31m this" + "x" * 5000)
    answer = client.post("/validate", data=REVIEW, content_type="application/json")
    assert answer.status_code == 400
    assert answer.text.startswith("no uid\\x0ain \\x1b[31m this")
    assert len(answer.text) < 350
    assert len(caplog.records) == 1


def test_a_broken_review_is_a_503_and_its_words_stay_out_of_answer_and_log(
    client: FlaskClient, service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.fails = KeyError("password hunter2")
    answer = client.post("/validate", data=REVIEW, content_type="application/json")
    assert (answer.status_code, answer.text) == (503, "the review failed\n")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "KeyError at test_server_app.py:" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert "Traceback" not in caplog.text


def test_reviews_and_findings_are_counted(client: FlaskClient, metrics: Metrics) -> None:
    for _ in range(3):
        client.post("/validate", data=REVIEW, content_type="application/json")
    text = metrics.text().decode()
    assert 'pullproof_reviews_total{verdict="deny"} 3.0' in text
    assert 'pullproof_reviews_total{verdict="allow"} 0.0' in text
    assert (
        'pullproof_findings_total{action="deny",cause="tag-not-found",rule="image-not-found"} 3.0'
        in text
    )
    assert "pullproof_review_seconds_count 3.0" in text
    assert "pullproof_reviews_in_flight 0.0" in text


def test_every_metric_is_named_for_the_project(metrics: Metrics) -> None:
    lines = metrics.text().decode().splitlines()
    assert all(line.startswith(("pullproof_", "# ")) for line in lines)
