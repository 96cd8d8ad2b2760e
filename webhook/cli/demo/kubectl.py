"""What ``kubectl apply -f FILE`` prints for the answers of an admission webhook.

Pure. Follows Kubernetes 1.37 where the words are made: the API server's
``admission/plugin/webhook/errors/statuserror.go`` and ``endpoints/filters/warning.go``,
client-go's ``rest/warnings.go``, kubectl's ``cmd/apply/apply.go`` and
``cmd/util/helpers.go``. As on any stderr that is no terminal, there is no colour;
kubectl never wraps these lines.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WEBHOOK = "images.pullproof.dev"
"""The webhook's name in its ValidatingWebhookConfiguration."""

MAX_WARNING_RUNES = 4096
MAX_TRUNCATED_RUNES = 256


@dataclass(frozen=True, slots=True)
class Answered:
    """One object of the file, and the ``response`` of the AdmissionReview about it."""

    document: Mapping[str, Any]
    response: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Printed:
    """What kubectl printed; ``transcript`` is what a terminal shows: both, in their order."""

    stdout: str
    stderr: str
    transcript: str
    status: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The Status of a refused request, as the client gets to see it."""

    reason: str
    message: str
    details: Mapping[str, Any] | None = None


def apply(file: str, answers: Iterable[Answered], *, webhook: str = WEBHOOK) -> Printed:
    """Return what ``kubectl apply -f FILE`` prints when each object is new.

    ``file`` is the path as the user typed it. kubectl goes on after a refusal and
    tells all of them at the end.
    """
    out: list[str] = []
    err: list[str] = []
    transcript: list[str] = []
    warned: set[str] = set()
    refusals: list[Refusal] = []
    for answer in answers:
        for text in surviving(answer.response.get("warnings") or ()):
            if text not in warned:
                warned.add(text)
                err.append(f"Warning: {text}\n")
                transcript.append(err[-1])
        if answer.response.get("allowed") is True:
            out.append(f"{_resource(answer.document)} created\n")
            transcript.append(out[-1])
        else:
            refusals.append(_from_source(file, refusal(answer.response, webhook)))
    ending = _ending(refusals)
    return Printed(
        stdout="".join(out),
        stderr="".join(err) + ending,
        transcript="".join(transcript) + ending,
        status=1 if refusals else 0,
    )


def refusal(response: Mapping[str, Any], webhook: str = WEBHOOK) -> Refusal:
    """Return the Status that the API server makes of a response that does not allow."""
    status = response.get("status") or {}
    denied = f"admission webhook {_quoted(webhook)} denied the request"
    reason, message = status.get("reason") or "", status.get("message") or ""
    if message or reason:
        return Refusal(reason, f"{denied}: {message or reason}", status.get("details"))
    return Refusal("", f"{denied} without explanation", status.get("details"))


def surviving(warnings: Sequence[str]) -> list[str]:
    """Return the warnings that the API server passes on, in their order.

    Empty ones, duplicates and those with a control character are dropped; once all
    together are past 4,096 characters, each is cut at 256, and those beyond 4,096
    are dropped.
    """
    told = [text for text in dict.fromkeys(warnings) if text]
    usable = [text for text in told if not any(unicodedata.category(c) == "Cc" for c in text)]
    if sum(map(len, usable)) <= MAX_WARNING_RUNES:
        return usable
    kept: list[str] = []
    for text in usable:
        if sum(map(len, kept)) >= MAX_WARNING_RUNES:
            break
        kept.append(text[:MAX_TRUNCATED_RUNES])
    return kept


def _from_source(file: str, refused: Refusal) -> Refusal:
    message = f"error when creating {_quoted(file)}: {refused.message}"
    return Refusal(refused.reason, message, refused.details)


def _ending(refusals: Sequence[Refusal]) -> str:
    if not refusals:
        return ""
    if len(refusals) == 1:
        text = _one(refusals[0])
        return text if text.endswith("\n") else text + "\n"
    return "".join(f"{_standard(refused)}\n" for refused in refusals)


def _one(refused: Refusal) -> str:
    return _invalid(refused) if refused.reason == "Invalid" else _standard(refused)


def _standard(refused: Refusal) -> str:
    if refused.reason == "Unauthorized":
        return f"error: You must be logged in to the server ({refused.message})"
    if refused.reason:
        return f"Error from server ({refused.reason}): {refused.message}"
    return f"Error from server: {refused.message}"


def _invalid(refused: Refusal) -> str:
    details = refused.details
    if details is None:
        return f"The request is invalid: {refused.message}"
    causes = list(
        dict.fromkeys(
            f"{cause.get('field') or ''}: {cause.get('message') or ''}"
            for cause in details.get("causes") or ()
        )
    )
    head = "The request is invalid"
    kind, name = details.get("kind") or "", details.get("name") or ""
    if kind or name:
        head = f"The {kind} {_quoted(name)} is invalid"
    elif not causes:
        head += f": {refused.message}"
    if not causes:
        return head
    if len(causes) == 1:
        return f"{head}: {causes[0]}\n"
    return f"{head}: \n" + "".join(f"* {cause}\n" for cause in causes)


def _resource(document: Mapping[str, Any]) -> str:
    group, slash, _ = str(document["apiVersion"]).partition("/")
    kind = str(document["kind"]).lower()
    suffix = f".{group}" if slash else ""
    return f"{kind}{suffix}/{document['metadata']['name']}"


def _quoted(text: str) -> str:
    # Go's %q of printable text; nothing else stands in a webhook's name or a sample's path.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
