"""What the API server was asked, and by whom: its own audit log."""

from __future__ import annotations

import json
from pathlib import Path

POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  # Controllers and kubectl ask much; only the accounts of namespaces are of interest.
  - level: None
    userGroups: ["system:masters", "system:serviceaccounts:kube-system"]
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
  - level: None
"""


class AuditLog:
    """The audit log of one API server; `flags` make it write one."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "audit.log"
        policy = folder / "audit-policy.yaml"
        policy.write_text(POLICY)
        self.flags = [f"--audit-policy-file={policy}", f"--audit-log-path={self._log}"]

    def requests_of(self, namespace: str, account: str) -> list[str]:
        """Return what a service account asked so far: `get /api/v1/…`, in order."""
        user = f"system:serviceaccount:{namespace}:{account}"
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        events = [json.loads(line) for line in lines]
        return [f"{e['verb']} {e['requestURI']}" for e in events if e["user"]["username"] == user]
