"""From the findings of one workload to what is answered: a pure function."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Pull
from webhook.review.answer import Verdict
from webhook.review.engine import Judgement
from webhook.review.messages import heading, paragraph, warning
from webhook.rules.judge import Finding

WARNINGS_LIMIT = 4096
"""Characters of all warnings together past which the API server drops the rest."""
MESSAGE_LIMIT = 32_000
"""Characters of a denial; a pod of a thousand images shall not print a book."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered: ``message`` is empty unless the verdict is deny."""

    verdict: Verdict
    message: str
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]


def decide(judgement: Judgement) -> Decision:
    """Weigh the findings: one that denies denies all, the rest is warned of."""
    findings = judgement.findings
    denied = [f for f in findings if f.action is Action.DENY]
    return Decision(
        verdict=verdict_of(findings, (image.outcome.pull for image in judgement.images)),
        message=_message(judgement, denied) if denied else "",
        warnings=_warnings([f for f in findings if f.action is Action.WARN], denied),
        findings=findings,
    )


def verdict_of(findings: Sequence[Finding], pulls: Iterable[Pull]) -> Verdict:
    """Return deny, unknown, warn or allow, the strongest that holds."""
    if any(f.action is Action.DENY for f in findings):
        return Verdict.DENY
    if any(pull is Pull.UNKNOWN for pull in pulls):
        return Verdict.UNKNOWN
    warned = any(f.action is Action.WARN for f in findings)
    return Verdict.WARN if warned else Verdict.ALLOW


def _message(judgement: Judgement, denied: Sequence[Finding]) -> str:
    workload = judgement.workload
    images = len({f.judged.use.field for f in denied})
    parts = [heading(workload.kind, workload.namespace, workload.name, images)]
    size = 0
    for finding in denied:
        part = paragraph(finding)
        size += len(part)
        if size > MESSAGE_LIMIT:
            parts.append(f"… and {len(denied) - len(parts) + 1} more")
            break
        parts.append(part)
    return "\n".join(parts)


def _warnings(warned: Sequence[Finding], denied: Sequence[Finding]) -> tuple[str, ...]:
    """Return the lines, leaving out what a denial of the same image has already said."""
    silent = {f.judged.use.field for f in denied}
    lines: list[str] = []
    size = 0
    for place, finding in enumerate(warned):
        about = finding.judged.use.field
        if about in silent and finding.cause is Cause.SECRET_NO_ENTRY:
            continue
        line = warning(finding)
        if line in lines:
            continue
        if size + len(line) > WARNINGS_LIMIT - 60:
            lines.append(f"and {len(warned) - place} more findings: pullproof check lists them all")
            break
        lines.append(line)
        size += len(line)
    return tuple(lines)
