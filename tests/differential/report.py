"""The report: counts and figures for each runtime, and every disagreement with both answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.differential.judged import Judged
from tests.differential.ours import Said

EXCEPTIONS = Path(__file__).resolve().parent / "exceptions.yaml"
NEWEST = "2.4"
CAUSE_BAR = 0.99
LEAST_FAILED = 400
MOST_EXCEPTIONS = 15
MOST_WAIVED = 40
LEAST_OF_A_CAUSE = 10
_SHOWN = """
reference-malformed reference-uppercase digest-malformed digest-unsupported address-invalid
manifest-unknown repository-not-found tag-not-found digest-not-found
credentials-missing credentials-rejected permission-denied denied-or-missing
credential-undecodable credentials-expired
media-type-unsupported digest-mismatch manifest-malformed manifest-too-large blob-missing
platform-none
host-misspelled dns-not-found dns-failing refused timeout reset server-error unexpected-status
challenge-unsupported plain-http token-service-failing redirect-loop too-many-requests
certificate-unknown-authority certificate-expired certificate-wrong-name tls-failing
"""


@dataclass(frozen=True)
class Figures:
    """One runtime's. Excepted and waived cases are listed apart, not counted."""

    runtime: str
    cases: int
    pulled: int
    failed: int
    failed_after_parsing: int
    pull_agreed: int
    cause_agreed: int
    false_denials: int

    @property
    def pull_share(self) -> float:
        return self.pull_agreed / self.cases if self.cases else 1.0

    @property
    def cause_share(self) -> float:
        return self.cause_agreed / self.cases if self.cases else 1.0


class Report:
    """`whole`: nothing of the corpus was left out, so that its own bars count too."""

    def __init__(
        self, judged: Sequence[Judged], exceptions: dict[str, str], *, whole: bool = False
    ) -> None:
        self.judged = judged
        self.whole = whole
        self.exceptions = exceptions
        self.runtimes = list(judged[0].real) if judged else []

    def excepted(self, one: Judged) -> bool:
        """An exception may only turn ok or fails into unknown."""
        return (
            one.case.id in self.exceptions and one.said is not None and one.said.pull == "unknown"
        )

    def counted(self) -> list[Judged]:
        return [one for one in self.judged if not one.waived and not self.excepted(one)]

    def figures(self, runtime: str) -> Figures:
        counted = self.counted()
        pulls = Counter(one.real[runtime].pulled.pull for one in self.judged)
        later = sum(
            one.real[runtime].pulled.pull == "fails" and one.real[runtime].pulled.stage == "pull"
            for one in self.judged
        )
        return Figures(
            runtime=runtime,
            cases=len(counted),
            pulled=pulls["ok"],
            failed=pulls["fails"],
            failed_after_parsing=later,
            pull_agreed=sum(one.pull_agrees(runtime) for one in counted),
            cause_agreed=sum(one.cause_agrees(runtime) for one in counted),
            false_denials=sum(bool(one.false_denials(runtime)) for one in self.judged),
        )

    def missed(self) -> list[str]:
        """Return each bar that is not met, for the newest containerd."""
        told = [f"{one.case.id}: {why}" for one in self.judged for why in one.wrong_expectations()]
        if len(self.exceptions) > MOST_EXCEPTIONS:
            told.append(f"{len(self.exceptions)} exceptions, at most {MOST_EXCEPTIONS}")
        waived = sum(one.waived for one in self.judged)
        if waived > MOST_WAIVED:
            told.append(f"{waived} cases are waived by their tag, at most {MOST_WAIVED}")
        untaught = [
            one.case.id
            for one in self.judged
            for real in one.real.values()
            if real.pulled.pull == "fails" and not real.causes
        ]
        if untaught:
            told.append(f"verdict.py knows no cause for {', '.join(sorted(set(untaught)))}")
        if NEWEST in self.runtimes:
            figures = self.figures(NEWEST)
            if figures.pull_agreed < figures.cases:
                told.append(f"pull or no pull: {figures.pull_agreed} of {figures.cases}, not all")
            if figures.cause_share < CAUSE_BAR:
                told.append(f"cause: {figures.cause_share:.2%}, not {CAUSE_BAR:.0%}")
            if self.whole and figures.failed_after_parsing < LEAST_FAILED:
                failed = figures.failed_after_parsing
                told.append(f"{failed} real pulls fail after parsing, not {LEAST_FAILED}")
            if self.whole:
                told += self._causes_shown_too_seldom()
            if figures.false_denials:
                told.append(f"{figures.false_denials} false denials, not 0")
        return told

    def _causes_shown_too_seldom(self) -> Iterator[str]:
        """Count the causes as they came about, where both sides agree on them."""
        agreed = [one for one in self.counted() if one.cause_agrees(NEWEST)]
        causes = Counter(one.said.cause for one in agreed if one.said is not None)
        for cause in _SHOWN.split():
            if causes[cause] < LEAST_OF_A_CAUSE:
                yield f"{cause} came about {causes[cause]} times, not {LEAST_OF_A_CAUSE}"

    def lines(self, *, details: bool = True) -> Iterator[str]:
        """Write the report as text: the disagreements first, the figures last."""
        if details:
            yield from self._disagreements()
        for one in self.judged:
            if one.waived:
                yield f"waived     {one.case.id}: {_ours(one.said)} ({', '.join(one.case.tags)})"
            elif self.excepted(one):
                yield f"excepted   {one.case.id}: {self.exceptions[one.case.id]}"
        for runtime in self.runtimes:
            f = self.figures(runtime)
            yield (
                f"containerd {runtime}: {len(self.judged)} cases, {f.pulled} pulled, {f.failed} "
                f"failed ({f.failed_after_parsing} after parsing); of {f.cases} counted: "
                f"pull or no pull {f.pull_agreed} ({f.pull_share:.2%}), "
                f"cause {f.cause_agreed} ({f.cause_share:.2%}), false denials {f.false_denials}"
            )
        for line in self.missed():
            yield f"MISSED     {line}"

    def _disagreements(self) -> Iterator[str]:
        for one in self.judged:
            apart = [r for r in self.runtimes if not one.cause_agrees(r) or one.false_denials(r)]
            if not apart or one.waived or self.excepted(one):
                continue
            yield from shown(one, apart)

    def as_json(self) -> dict[str, Any]:
        return {
            "runtimes": [vars(self.figures(runtime)) for runtime in self.runtimes],
            "missed": self.missed(),
            "cases": [_case(one, self) for one in self.judged],
        }

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=1)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        (folder / "report.txt").write_text("\n".join(self.lines()) + "\n", encoding="utf-8")


def shown(one: Judged, runtimes: Sequence[str]) -> Iterator[str]:
    """Write one case with all answers and all requests."""
    yield f"--- {one.case.id}: {one.case.title}"
    yield f"    image      {one.case.image}"
    yield f"    ours       {_ours(one.said)}{' (as a process)' if one.as_process else ''}"
    if one.from_pod is not None:
        yield f"    from a pod {_ours(one.from_pod)}"
    for line in one.said.requests if one.said else ():
        yield f"      {line}"
    for line in one.said_heard:
        yield f"      heard {line}"
    for runtime in runtimes:
        real = one.real[runtime]
        what = "ok" if real.pulled.pull == "ok" else f"fails at {real.pulled.stage}"
        yield f"    {runtime}        {what}; right causes: {', '.join(sorted(real.causes)) or '-'}"
        for error in real.pulled.errors:
            yield f"      {error.code}: {error.message}"
        for line in real.heard:
            yield f"      heard {line}"


def _ours(said: Said | None) -> str:
    if said is None:
        return "-"
    trouble = f" [{said.trouble}]" if said.trouble else ""
    return f"{said.pull}{f': {said.cause}' if said.cause else ''}{trouble}"


def _case(one: Judged, report: Report) -> dict[str, Any]:
    said = one.said
    return {
        "id": one.case.id,
        "group": one.case.group,
        "image": one.case.image,
        "ours": {
            "pull": said.pull,
            "cause": said.cause,
            "trouble": said.trouble,
            "seconds": round(said.seconds, 2),
        }
        if said
        else None,
        "from_pod": one.from_pod.pull if one.from_pod else None,
        "waived": one.waived,
        "excepted": report.excepted(one),
        "heard": list(one.said_heard),
        "real": {
            runtime: {
                "pull": real.pulled.pull,
                "stage": real.pulled.stage,
                "errors": [vars(error) for error in real.pulled.errors],
                "causes": sorted(real.causes),
                "heard": list(real.heard),
                "seconds": round(real.pulled.seconds, 2),
                "pull_agrees": one.pull_agrees(runtime),
                "cause_agrees": one.cause_agrees(runtime),
            }
            for runtime, real in one.real.items()
        },
    }


def load_exceptions(path: Path = EXCEPTIONS) -> dict[str, str]:
    """Return the reason of each exception by its case's id."""
    given = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    return {entry["id"]: entry["reason"] for entry in given}
