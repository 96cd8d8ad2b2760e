"""What ``pullproof inspect`` says of one image, as JSON and as text."""

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.credentials.keyring import Broken, Credential
from webhook.images.reference import Reference
from webhook.policy.action import Action
from webhook.registry.outcome import NETWORK_RULES, Outcome
from webhook.registry.quota import Quota
from webhook.report.nodes import judged_for_json, node_lines, nodes_json
from webhook.review.messages import words
from webhook.review.quotas import left_in_short
from webhook.review.words import readable, shown
from webhook.rules.facts import Judged
from webhook.rules.judge import Finding
from webhook.rules.pulls import doubt as doubt_of
from webhook.rules.size import amount

_WHY_LIMIT = 400


def as_json(judged: Judged) -> Mapping[str, Any]:
    """Return the object of ``inspect --output json`` for one image."""
    outcome = judged.outcome
    cause = outcome.cause
    return {
        "image": readable(judged.use.written),
        "reference": _reference(judged),
        "pull": outcome.pull.value,
        "cause": cause.value if cause is not None else None,
        "code": cause.code if cause is not None else None,
        "message": message(judged),
        "digest": outcome.digest,
        "sizes": _sizes(outcome) or None,
        "quota": _quota(outcome.quota),
        "credentials": [
            {
                "source": readable(c.source),
                "key": readable(c.key),
                "username": readable(c.username),
            }
            for c in judged.credentials
        ],
        "requests": [
            {
                "method": r.method,
                "url": r.url,
                "status": r.status,
                "as": readable(r.user) if r.user is not None else None,
            }
            for r in outcome.requests
        ],
        "credentialsUnknown": readable(why) if (why := _unknown_credentials(judged)) else None,
        "judgedFor": judged_for_json(judged),
        "nodes": nodes_json(judged),
    }


def _quota(quota: Quota | None) -> Mapping[str, int | None] | None:
    if quota is None:
        return None
    return {
        "remaining": quota.remaining,
        "limit": quota.limit,
        "windowSeconds": quota.window_seconds,
    }


def _sizes(outcome: Outcome) -> Mapping[str, int]:
    """Return the bytes of the layers by platform; the most where two have one text."""
    sizes: dict[str, int] = {}
    for platform, size in outcome.sizes:
        text = readable(str(platform))
        sizes[text] = max(size, sizes.get(text, 0))
    return sizes


def _reference(judged: Judged) -> Mapping[str, str | None] | None:
    reference = judged.use.reference
    if not isinstance(reference, Reference):
        return None
    return {
        "domain": reference.domain,
        "path": reference.path,
        "tag": reference.tag,
        "digest": reference.digest,
    }


def message(judged: Judged) -> str | None:
    """Say the cause and its mend in one line, None where there is no cause."""
    cause = judged.outcome.cause
    if cause is None:
        return None
    doubt = doubt_of(judged, cause) if cause.rule in NETWORK_RULES else ""
    said = words(Finding(cause, Action.WARN, judged, judged.use.field))
    uncertain = f"; not certain: {doubt}" if doubt else ""
    return f"{said.what}{uncertain}; {said.mend}"


def as_text(judged: Judged) -> str:
    """Return the paragraph of ``inspect`` for one image."""
    return "\n".join([shown(judged.use.written), *(f"  {line}" for line in _lines(judged))])


def _lines(judged: Judged) -> Iterator[str]:
    outcome = judged.outcome
    reference = judged.use.reference
    if isinstance(reference, Reference):
        yield f"reference    {shown(reference.full)}"
        yield from _credential_lines(judged)
    for number, request in enumerate(outcome.requests):
        head = "requests     " if number == 0 else "             "
        answer = request.status if request.status is not None else f"no answer ({request.trouble})"
        user = f" as {shown(request.user)}" if request.user else ""
        yield f"{head}{request.method} {shown(request.url)} -> {answer}{user}"
    if outcome.digest is not None:
        yield f"digest       {outcome.digest}"
    if outcome.platforms:
        yield f"platforms    {', '.join(shown(p, 60) for p in outcome.platforms if p)}"
    if sizes := _sizes(outcome):
        told = (f"{amount(size)} for {shown(platform, 60)}" for platform, size in sizes.items())
        yield f"size         {', '.join(told)}"
    if outcome.quota is not None:
        yield f"quota        {left_in_short(outcome.quota)}"
    if isinstance(reference, Reference):
        yield from node_lines(judged)
    yield f"pull         {_verdict(outcome)}"
    if (said := message(judged)) is not None:
        yield f"             {said}"


def _credential_lines(judged: Judged) -> Iterator[str]:
    lines = [
        f"{number}. {shown(c.source)}, key {shown(c.key)}, user {_user(c)}"
        for number, c in enumerate(judged.credentials, start=1)
    ]
    if why := _unknown_credentials(judged):
        lines.append(f"{'others ' if lines else ''}not known: {shown(why, _WHY_LIMIT)}")
    if not lines and not isinstance(judged.pod.keyring, Broken):
        lines.append("none: the pull is anonymous")
    for number, line in enumerate(lines):
        yield f"{'credentials  ' if number == 0 else '             '}{line}"


def _user(credential: Credential) -> str:
    return shown(credential.username) if credential.username else "nobody (anonymous)"


def _unknown_credentials(judged: Judged) -> str:
    """Say why a node may try more credentials than those that are told, empty where it may not."""
    unreadable, undecided = judged.pod.unreadable, judged.undecided
    whys = [*([unreadable.why] if unreadable else []), *([undecided.why] if undecided else [])]
    return "; ".join(whys)


def _verdict(outcome: Outcome) -> str:
    if outcome.cause is None:
        return outcome.pull.value
    return f"{outcome.pull.value}: {outcome.cause} ({outcome.cause.code})"
