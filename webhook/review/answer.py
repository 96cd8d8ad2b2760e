"""What one review came to: the bytes for the API server, and facts for metrics."""

from dataclasses import dataclass
from enum import StrEnum

from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Rule


class Verdict(StrEnum):
    """What a whole review or file came to."""

    DENY = "deny"
    UNKNOWN = "unknown"
    WARN = "warn"
    ALLOW = "allow"


class MalformedReview(Exception):  # noqa: N818  # named for what it is, as werkzeug's are
    """The body is no AdmissionReview that can be answered; ``str()`` is one plain line."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One finding as the metrics count it."""

    rule: Rule
    cause: Cause
    action: Action


@dataclass(frozen=True, slots=True)
class ReviewAnswer:
    """The encoded AdmissionReview, its verdict, and its findings for the metrics."""

    body: bytes
    verdict: Verdict
    findings: tuple[Counted, ...] = ()
