"""What the server counts, in a registry of its own; every name begins with ``pullproof_``."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from webhook.review.answer import ReviewAnswer, Verdict

# Cached answers take milliseconds, cold ones a registry's round trips, and the API
# server waits 30 s at most.
BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 10, 15, 20, 30)


class Metrics:
    """The server's counters and gauges. Safe to use from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace="pullproof", registry=self.registry)
        self._reviews = Counter(
            "pullproof_reviews",
            "Reviews that were answered, by verdict.",
            ["verdict"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "pullproof_review_seconds",
            "Seconds from a request's arrival to its answer.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._findings = Counter(
            "pullproof_findings",
            "Findings in answers, by rule, cause and the action taken.",
            ["rule", "cause", "action"],
            registry=self.registry,
        )
        self._rejected = Counter(
            "pullproof_rejected_requests",
            "Requests that were no review, or whose review failed, by HTTP status.",
            ["status"],
            registry=self.registry,
        )
        self._handshakes = Counter(
            "pullproof_failed_handshakes",
            "TLS handshakes that failed or took too long.",
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "pullproof_reviews_in_flight",
            "Reviews that are being answered now.",
            registry=self.registry,
        )
        self.certificate_expiry = Gauge(
            "pullproof_certificate_expiry_timestamp_seconds",
            "When the serving certificate in force expires, in seconds since 1970.",
            registry=self.registry,
        )
        for verdict in Verdict:
            self._reviews.labels(verdict.value)

    def answered(self, answer: ReviewAnswer, seconds: float) -> None:
        """Count one answered review and its findings."""
        self._reviews.labels(answer.verdict.value).inc()
        self._seconds.observe(seconds)
        for finding in answer.findings:
            self._findings.labels(
                finding.rule.value, finding.cause.value, finding.action.value
            ).inc()

    def rejected(self, status: int) -> None:
        """Count one request that got ``status`` instead of an answer."""
        self._rejected.labels(str(status)).inc()

    def handshake_failed(self) -> None:
        """Count one TLS handshake that came to nothing."""
        self._handshakes.inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
