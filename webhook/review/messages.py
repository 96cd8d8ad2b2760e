"""Every word that a person reads of a finding is put together here.

A finding is told in three parts: what is wrong, how we know, and what mends it.
A denial prints all three; a warning has one line, so it says what is wrong, what
could not be known, and what mends it where there is room.
"""

from dataclasses import dataclass

from webhook.images.workloads import Place
from webhook.registry.outcome import Cause, Rule
from webhook.review.evidence import known
from webhook.review.sentences import SENTENCES
from webhook.review.subject import Subject
from webhook.review.words import quoted, shown
from webhook.rules.judge import Finding

WARNING_LIMIT = 256
"""Characters past which the API server may cut a warning."""
DOUBT_LIMIT = 110
_IMAGE_IN_WARNING = 100
_IMAGE_AT_LEAST = 24
_CONTAINER_LIMIT = 63


@dataclass(frozen=True, slots=True)
class Words:
    """One finding in words, each a sentence without its full stop."""

    what: str
    known: str
    mend: str


def words(finding: Finding) -> Words:
    """Say one finding."""
    subject = Subject(finding)
    said = SENTENCES[finding.cause]
    return Words(said.what(subject), known(subject), said.mend(subject))


def is_said(cause: Cause) -> bool:
    """Tell whether there are words for a cause."""
    return cause in SENTENCES


def warning(finding: Finding) -> str:
    """Say one finding on one line of at most :data:`WARNING_LIMIT` characters.

    What does not fit is left out in this order: the mend, the end of the image,
    the end of the sentence. The field, the doubt and the code always stand.
    """
    subject = Subject(finding)
    said = SENTENCES[finding.cause]
    # What is undecided says in its own words that it could not be known.
    doubted = finding.doubt and finding.rule is not Rule.UNDECIDED
    doubt = f"; not certain: {shown(finding.doubt, DOUBT_LIMIT)}" if doubted else ""
    code = f" [{finding.cause.code}]"
    what, quick = f": {said.brief(subject)}", said.quick(subject)
    mend = f"; {quick}" if quick else ""
    written = finding.judged.use.written
    image = "" if finding.secret else f" {shown(written, _IMAGE_IN_WARNING)}"
    head = finding.field
    for tail in (f"{doubt}{mend}{code}", f"{doubt}{code}"):
        if len(head + image + what + tail) <= WARNING_LIMIT:
            return head + image + what + tail
    room = WARNING_LIMIT - len(head + what + tail) - 1
    if image:
        image = f" {shown(written, max(_IMAGE_AT_LEAST, room))}"
    return shown(head + image + what, WARNING_LIMIT - len(tail)) + tail


def heading(kind: str, namespace: str, name: str, count: int) -> str:
    """Return the first line of a denial."""
    images = "1 image" if count == 1 else f"{count} images"
    where = f"{shown(namespace)}/{shown(name)}" if name else f"in namespace {shown(namespace)}"
    return f"{images} of {shown(kind)} {where} cannot be used"


def paragraph(finding: Finding) -> str:
    """Say one finding in full, on lines of its own."""
    said = words(finding)
    lines = [
        f"{finding.field}: {_subject_line(finding)}",
        f"  wrong: {said.what} [{finding.cause.code} {finding.cause}]",
        f"  known: {said.known}",
        f"  mend:  {said.mend}",
    ]
    return "\n".join(lines)


def _subject_line(finding: Finding) -> str:
    use = finding.judged.use
    if finding.secret:
        return shown(finding.secret)
    if use.place is Place.VOLUME:
        name = use.container.removeprefix("volume:")
        return f"{shown(use.written)} (volume {quoted(name, _CONTAINER_LIMIT)})"
    return f"{shown(use.written)} (container {quoted(use.container, _CONTAINER_LIMIT)})"
