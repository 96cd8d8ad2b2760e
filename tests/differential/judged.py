"""What a case came to on every side, and whether the sides agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.differential.model import Case
from tests.differential.ours import Said
from tests.differential.runtimes import Pulled
from tests.differential.verdict import right_causes

WAIVING_TAGS = ("withheld", "egress")


@dataclass
class Real:
    """One runtime's answer; `heard` is what the case's servers were asked."""

    pulled: Pulled
    heard: Sequence[str]
    causes: frozenset[str]

    @classmethod
    def of(cls, pulled: Pulled, heard: Sequence[str], sent: bool | None) -> Real:
        return cls(pulled, heard, right_causes(pulled, sent, _fetched(heard) if heard else None))


def _fetched(heard: Sequence[str]) -> bool:
    by_digest = (": GET /v2/", "/manifests/sha", "-> 20")
    return any(all(part in one for part in by_digest) for one in heard)


@dataclass
class Judged:
    case: Case
    real: dict[str, Real] = field(default_factory=dict)
    said: Said | None = None
    said_heard: Sequence[str] = ()
    from_pod: Said | None = None
    as_process: bool = False

    @property
    def waived(self) -> bool:
        """Tell whether "unknown" is no disagreement here, by the case's own tag."""
        return (
            self.said is not None
            and self.said.pull == "unknown"
            and any(tag in self.case.tags for tag in WAIVING_TAGS)
        )

    def pull_agrees(self, runtime: str) -> bool:
        assert self.said is not None
        return self.said.pull == self.real[runtime].pulled.pull and not self.said.trouble

    def cause_agrees(self, runtime: str) -> bool:
        """Tell whether the cause is right; where the pull goes through there must be none."""
        assert self.said is not None
        if not self.pull_agrees(runtime):
            return False
        if self.said.pull == "ok":
            return self.said.cause is None
        return self.said.cause in self.real[runtime].causes

    def false_denials(self, runtime: str) -> list[str]:
        if self.real[runtime].pulled.pull != "ok":
            return []
        sides = {"node": self.said, "pod": self.from_pod}
        return [name for name, said in sides.items() if said is not None and said.pull == "fails"]

    def wrong_expectations(self) -> list[str]:
        """Return where the case's author expected something that the real parts do not do."""
        told = []
        expect = self.case.expect
        for runtime, real in self.real.items():
            if expect.pull is not None and real.pulled.pull != expect.pull and runtime == "2.4":
                told.append(f"{runtime}: expected {expect.pull}, it {_does(real.pulled.pull)}")
            if expect.cause is not None and expect.cause not in real.causes and runtime == "2.4":
                told.append(f"{runtime}: expected {expect.cause}, right are {sorted(real.causes)}")
        return told


def _does(pull: str) -> str:
    return "pulls" if pull == "ok" else "fails"
