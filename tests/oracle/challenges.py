"""How containerd reads ``WWW-Authenticate``, told by its own package.

The answers come from `tests/parts/containerd/challengeoracle`, a Go program that asks
`core/remotes/docker/auth`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from tests.oracle import Program

Read = tuple[str, dict[bytes, bytes]]
"""A challenge: its scheme in capitals, and its parameters."""


class ChallengeOracle(Program):
    """``auth.ParseAuthHeader``; to be used from one thread at a time."""

    part = "challengeoracle"

    def challenges(self, lines: Sequence[bytes]) -> list[Read]:
        """Tell which challenges the header's lines hold, in the order of preference."""
        got = self.ask({"lines": [base64.b64encode(line).decode() for line in lines]})
        return [
            (
                one["scheme"],
                {
                    base64.b64decode(p["name"]): base64.b64decode(p["value"])
                    for p in one["parameters"]
                },
            )
            for one in got["challenges"]
        ]
