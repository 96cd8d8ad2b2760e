"""What the webhook said of each object, from the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.harness.webhook import NAME

APPLIER = "node-applier"

POLICY = f"""\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["{APPLIER}"]
  - level: None
"""


@dataclass(frozen=True)
class Found:
    """One finding: `rule` and `cause` as in public-names, `action` deny, warn or audit."""

    rule: str
    cause: str
    action: str
    field: str


@dataclass(frozen=True)
class Reviewed:
    """One review: `verdict` is the webhook's own word, empty where it was not asked."""

    verdict: str
    findings: tuple[Found, ...]

    def of(self, field: str) -> tuple[Found, ...]:
        return of_image(self.findings, field)


def of_image(findings: Sequence[Found], field: str) -> tuple[Found, ...]:
    """Return what was found of one image, what is found of all of them included."""
    mine = [one for one in findings if one.field == field]
    shared = [one for one in findings if not _is_of_an_image(one.field)]
    return (*mine, *shared)


def _is_of_an_image(field: str) -> bool:
    return field.endswith((".image", ".image.reference"))


class Reviews:
    """Reads the log that the API server writes; `flags` make it write one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "reviews.log"
        policy = folder / "reviews-policy.yaml"
        policy.write_text(POLICY, encoding="utf-8")
        self.flags = (f"--audit-policy-file={policy}", f"--audit-log-path={self._log}")

    def all(self) -> dict[str, Reviewed]:
        """Return every review by the audit id of its request."""
        found = {}
        for line in self._log.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            found[event["auditID"]] = _reviewed(event.get("annotations", {}))
        return found


def _reviewed(annotations: Mapping[str, Any]) -> Reviewed:
    verdict = annotations.get(f"{NAME}/verdict", "")
    findings = json.loads(annotations.get(f"{NAME}/findings", "[]"))
    return Reviewed(
        verdict,
        tuple(Found(f["rule"], f["cause"], f["action"], f["field"]) for f in findings),
    )
