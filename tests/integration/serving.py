"""A server process with a made-up service: ``python -m tests.integration.serving OPTIONS``.

The fake answers ``{"sleep": SECONDS}`` after that time; ``{"break": true}`` breaks it.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from webhook.deadline import Deadline
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Rule
from webhook.review.answer import Counted, MalformedReview, ReviewAnswer, Verdict
from webhook.server.run import run
from webhook.server.service import Check
from webhook.server.settings import CannotStart, ServerSettings, parse_address


@dataclass
class FakeService:
    """Answers what it is asked; its cluster check hangs on a file."""

    cluster: Path | None = None
    closed: list[bool] = field(default_factory=list)

    def review(self, body: bytes, deadline: Deadline) -> ReviewAnswer:
        try:
            asked = json.loads(body)
        except ValueError:
            raise MalformedReview("the body is no JSON") from None
        if not isinstance(asked, dict):
            raise MalformedReview("the body is no AdmissionReview")
        if asked.get("break"):
            raise RuntimeError("password hunter2")
        time.sleep(asked.get("sleep", 0))
        answer = {"left": deadline.left(), "size": len(body), "pid": os.getpid()}
        counted = Counted(Rule.MUTABLE_TAG, Cause.TAG_LATEST, Action.WARN)
        return ReviewAnswer(json.dumps(answer).encode(), Verdict.WARN, (counted,))

    def start(self) -> None:
        pass

    def checks(self) -> Sequence[Check]:
        there = self.cluster is None or self.cluster.exists()
        return [
            Check("policies", ok=True, reason="1 policy"),
            Check("cluster", ok=there, reason="reached" if there else "not reached yet"),
        ]

    def close(self) -> None:
        self.closed.append(True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--ops-listen", default="127.0.0.1:0")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--keepalive", type=int, default=100)
    parser.add_argument("--handshake", type=float, default=5.0)
    parser.add_argument("--read", type=float, default=10.0)
    parser.add_argument("--client-ca", type=Path)
    parser.add_argument("--cluster", type=Path)
    parser.add_argument("--boot", choices=["fine", "told", "broken", "killed"], default="fine")
    asked = parser.parse_args()

    def make_service() -> FakeService:
        match asked.boot:
            case "told":
                raise CannotStart("no policy could be read")
            case "broken":
                raise RuntimeError("password hunter2")
            case "killed":
                os.kill(os.getpid(), 9)
        return FakeService(asked.cluster)

    settings = ServerSettings(
        tls_cert=asked.directory / "tls.crt",
        tls_key=asked.directory / "tls.key",
        client_ca=asked.client_ca,
        listen=parse_address(asked.listen),
        ops_listen=parse_address(asked.ops_listen),
        threads=asked.threads,
        keepalive_seconds=asked.keepalive,
        handshake_seconds=asked.handshake,
        read_seconds=asked.read,
    )
    return run(settings, make_service)


if __name__ == "__main__":
    raise SystemExit(main())
