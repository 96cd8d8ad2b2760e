"""What ``pullproof check`` says of many manifests, as JSON and as text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webhook.cluster.yamltext import Node
from webhook.images.workloads import Place
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.review.answer import Verdict
from webhook.review.decision import verdict_of
from webhook.review.engine import Judgement
from webhook.review.messages import words
from webhook.review.words import quoted, shown
from webhook.rules.facts import Judged
from webhook.rules.judge import Finding

NAME_LIMIT = 80
SOURCE_LIMIT = 500
TOLD = (Action.DENY, Action.WARN)
"""What a person is told of; the rest is for programs."""
NO_VIEW = (
    "which other secrets and service accounts there are was not known: "
    "--kubeconfig F or --manifests DIR tells"
)

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Checked:
    """One workload of a manifest: ``source`` is its file, ``root`` the object in it."""

    source: str
    root: Node
    judgement: Judgement

    def line(self, finding: Finding) -> int:
        """Return where a finding stands: its field, or else the image that it is about."""
        use = finding.judged.use
        return line_of(self.root, finding.field) or self.image_line(use.field)

    def image_line(self, field: str) -> int:
        """Return the line on which an image stands."""
        return line_of(self.root, field) or self.root.line


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run: every workload in the order of its files, and what was passed over.

    ``has_view``: something told what there is in the cluster besides the manifests.
    """

    checked: Sequence[Checked]
    files: int = 0
    without_pods: int = 0
    has_view: bool = True

    @property
    def findings(self) -> Sequence[Finding]:
        """Return every finding in the order of the files."""
        return [finding for one in self.checked for finding in one.judgement.findings]

    @property
    def images(self) -> Sequence[Judged]:
        """Return every image in the order of the files."""
        return [image for one in self.checked for image in one.judgement.images]

    @property
    def verdict(self) -> Verdict:
        """Return what it all comes to."""
        return verdict_of(self.findings, (image.outcome.pull for image in self.images))

    def count(self, action: Action) -> int:
        """Return how many findings have an action."""
        return sum(finding.action is action for finding in self.findings)


def line_of(root: Node, field: str) -> int | None:
    """Return the line of the value at a path like ``spec.containers[0].image``."""
    node: Node | None = root
    for key, index in _STEP.findall(field):
        node = node.child(key or int(index)) if node is not None else None
    return node.line if node is not None else None


# -- JSON ---------------------------------------------------------------------------------


def as_json(report: Report) -> Mapping[str, Any]:
    """Return the object of ``check --output json``."""
    return {
        "images": [
            _image(one, judged) for one in report.checked for judged in one.judgement.images
        ],
        "findings": [
            _finding(one, finding) for one in report.checked for finding in one.judgement.findings
        ],
        "verdict": report.verdict.value,
    }


def _place(one: Checked, line: int) -> dict[str, Any]:
    workload = one.judgement.workload
    return {
        "source": one.source,
        "line": line,
        "kind": workload.kind,
        "namespace": workload.namespace,
        "name": workload.name,
    }


def _image(one: Checked, judged: Judged) -> Mapping[str, Any]:
    outcome = judged.outcome
    return _place(one, one.image_line(judged.use.field)) | {
        "container": judged.use.container,
        "field": judged.use.field,
        "image": judged.use.written,
        "pull": outcome.pull.value,
        "cause": outcome.cause.value if outcome.cause is not None else None,
        "digest": outcome.digest,
    }


def _finding(one: Checked, finding: Finding) -> Mapping[str, Any]:
    said = words(finding)
    return _place(one, one.line(finding)) | {
        "field": finding.field,
        "image": finding.judged.use.written,
        "rule": finding.rule.value,
        "cause": finding.cause.value,
        "code": finding.cause.code,
        "action": finding.action.value,
        "message": f"{said.what}; {said.mend}",
    }


# -- text ---------------------------------------------------------------------------------


def as_text(report: Report) -> str:
    """Return what a person reads: each object that has a finding, then what it all comes to."""
    told = [paragraphs for one in report.checked if (paragraphs := _object(one))]
    return "\n\n".join([*told, "\n".join(_summary(report))])


def _object(one: Checked) -> str:
    """Tell what is wrong with one object, empty where nothing is."""
    findings = [f for f in one.judgement.findings if f.action in TOLD]
    lines = [line for finding in findings for line in _told(one, finding)]
    said = {finding.judged.use.field for finding in findings}
    for judged in one.judgement.images:
        if judged.outcome.pull is Pull.UNKNOWN and judged.use.field not in said:
            lines += _unknown(one, judged)
    if not lines:
        return ""
    workload = one.judgement.workload
    name = f"{shown(workload.namespace, NAME_LIMIT)}/{shown(workload.name, NAME_LIMIT)}"
    heading = f"{_source(one)}: {shown(workload.kind, NAME_LIMIT)} {name}"
    return "\n".join([heading, *lines])


def _told(one: Checked, finding: Finding) -> Iterator[str]:
    said = words(finding)
    where = f"{_source(one)}:{one.line(finding)}"
    yield f"{where}: {finding.action} {_about(finding)}"
    yield f"  wrong: {said.what} [{finding.cause.code} {finding.cause}]"
    yield f"  known: {said.known}"
    if finding.doubt:
        yield f"  doubt: {shown(finding.doubt)}"
    yield f"  mend:  {said.mend}"


def _about(finding: Finding) -> str:
    if finding.secret:
        return f"{shown(finding.secret)} ({shown(finding.field)})"
    return _use(finding.judged)


def _use(judged: Judged) -> str:
    use = judged.use
    if use.place is Place.VOLUME:
        held = f"volume {quoted(use.container.removeprefix('volume:'), NAME_LIMIT)}"
    else:
        held = f"container {quoted(use.container, NAME_LIMIT)}"
    return f"{shown(use.written)} ({held})"


def _unknown(one: Checked, judged: Judged) -> Iterator[str]:
    """Tell of an image that decides the verdict, and of which no policy wants to hear."""
    yield f"{_source(one)}:{one.image_line(judged.use.field)}: unknown {_use(judged)}"
    yield f"  known: {_why(judged.outcome)}"


def _why(outcome: Outcome) -> str:
    cause = f"{outcome.cause.code} {outcome.cause}" if outcome.cause is not None else "not asked"
    return f"{cause}: {shown(outcome.detail)}" if outcome.detail else cause


def _source(one: Checked) -> str:
    return shown(one.source, SOURCE_LIMIT)


def _summary(report: Report) -> Iterator[str]:
    images = report.images
    pulls = [sum(image.outcome.pull is pull for image in images) for pull in Pull]
    would, fail, unknown = pulls
    yield (
        f"{report.verdict}: {_count(len(images), 'image')} in {_count(report.files, 'file')}: "
        f"{would} would be pulled, {fail} would fail, {unknown} unknown; "
        f"{report.count(Action.DENY)} denied, {_count(report.count(Action.WARN), 'warning')}"
    )
    if audited := report.count(Action.AUDIT):
        yield f"{_count(audited, 'finding')} for the audit alone: --output json lists them"
    if report.without_pods:
        verb = "holds" if report.without_pods == 1 else "hold"
        yield f"{_count(report.without_pods, 'other document')} {verb} no pods"
    if not report.has_view and any(i.outcome.cause is Cause.CLUSTER_UNAVAILABLE for i in images):
        yield NO_VIEW


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
