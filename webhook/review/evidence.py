"""How we know what a finding says: what was asked of whom, with whose credential, and the answer.

A token service is told by its answer alone: its address is the registry's word,
and may hold anything.
"""

from collections.abc import Sequence

from webhook.cluster.node import IMAGE_LIST_CAP, NAME_LIST_CAP
from webhook.policy.select import BUILT_IN_SOURCE
from webhook.registry.outcome import Cause, Exchanged, Rule
from webhook.review.subject import NAME_LIMIT, Subject, named_source
from webhook.review.words import quoted, shown
from webhook.rules.size import full_lists

_TEXT_RULES = frozenset(
    {Rule.MUTABLE_TAG, Rule.ALWAYS_PULL, Rule.NEVER_PULLED, Rule.REGISTRY_NOT_ALLOWED}
)
_OF_THE_REGISTRY = ("/manifests/", "/blobs/", "/tags/list")
_SHOWN_KEYS = 3
_GOOD = 200


def known(subject: Subject) -> str:
    """Say how we know what one finding says."""
    return f"{_evidence(subject)}{_full_lists(subject)}"


def _full_lists(subject: Subject) -> str:
    """Say where absence from the nodes is only judged, not proven."""
    full = subject.judged.presence.full_lists
    if subject.finding.cause is Cause.NODE_TOO_SMALL:
        full = full_lists(subject.judged)
    if not full or subject.finding.rule is Rule.PULL_SECRET:
        return ""
    nodes = "the list of 1 node is" if full == 1 else f"the lists of {full} nodes are"
    longest = f"{IMAGE_LIST_CAP} images, {NAME_LIST_CAP} names of each"
    return f"; {nodes} as long as can be ({longest}), and there may be more"


def _evidence(subject: Subject) -> str:
    cause = subject.finding.cause
    if cause is Cause.ADDRESS_INVALID:
        return "no such address can be called; no registry was asked"
    if cause.rule is Rule.INVALID_REFERENCE:
        return "the kubelet's own grammar for images refuses it; no registry was asked"
    if cause is Cause.NEVER_PULLED and subject.judged.kept_back:
        return _of_requests(subject)
    if cause.rule in _TEXT_RULES:
        return f"the manifest says so; {_policy(subject)}"
    if cause is Cause.CREDENTIAL_UNDECODABLE:
        return f"{subject.sent} of namespace {subject.namespace} was read for this answer"
    if cause.rule is Rule.PULL_SECRET:
        return _of_secret(subject)
    if cause is Cause.QUOTA_TOO_SMALL:
        return _of_quota(subject)
    if cause.rule is Rule.IMAGE_TOO_LARGE:
        return f"{_of_requests(subject)}; {_policy(subject)}"
    return _of_requests(subject)


def _policy(subject: Subject) -> str:
    source = subject.finding.source
    rule = f"rule {subject.finding.rule}"
    if source in ("", BUILT_IN_SOURCE):
        return f"{rule} is built in"
    return f"{rule} is set in {shown(source)}"


def _of_secret(subject: Subject) -> str:
    read = f"namespace {subject.namespace} was read for this answer"
    if subject.finding.cause is not Cause.SECRET_NO_ENTRY:
        return read
    keys = subject.keys_of(f"secret/{subject.finding.secret}")
    if not keys:
        return f"{read}: the secret has no entry at all"
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return f"{read}: the secret has entries for {', '.join(keys[:_SHOWN_KEYS])}{more}"


def _of_requests(subject: Subject) -> str:
    decisive = _decisive(subject)
    if decisive is None:
        return subject.detail or "no registry was asked"
    asked = f"{decisive.method} {shown(decisive.url)}"
    if decisive.status is None:
        why = subject.detail or (decisive.trouble.value if decisive.trouble else "")
        if subject.finding.cause is Cause.HOST_MISSPELLED:
            # Its detail is what was meant, which nobody asked.
            why = "no such host"
        return f"{asked} got no answer ({why})" if why else f"{asked} got no answer"
    token = _refused_token(subject, decisive)
    if token is not None and token.status is not None:
        who = subject.login if token.user is not None else "an anonymous request"
        answer = f"{asked} answered {decisive.status}; its token service answered"
        return f"{answer} {token.status} to {who}{_others(subject)}"
    return f"{asked} answered {decisive.status} {_to_whom(subject, decisive)}{_others(subject)}"


def _of_quota(subject: Subject) -> str:
    """Name the HEAD whose answer told what is left."""
    heads = [r for r in subject.outcome.requests if r.method == "HEAD" and _is_own(r)]
    good = [head for head in heads if head.status == _GOOD]
    if not good:
        return _of_requests(subject)
    head = good[-1]
    answered = f"HEAD {shown(head.url)} answered {head.status} {_to_whom(subject, head)}"
    return f"{answered}, and told in ratelimit-remaining what is left"


def _decisive(subject: Subject) -> Exchanged | None:
    """Return the request that shows what the finding says.

    Where several credentials were tried, the last request need not be the one of
    the attempt that decided.
    """
    asked = [r for r in subject.outcome.requests if "/tags/list" not in r.url and _is_own(r)]
    wanted = _telling_statuses(subject.finding.cause)
    if wanted:
        of_user = [r for r in asked if r.status in wanted and (r.user or "") == subject.user]
        any_user = [r for r in asked if r.status in wanted]
        asked = of_user or any_user or asked
    return asked[-1] if asked else None


def _telling_statuses(cause: Cause) -> frozenset[int]:
    if cause.rule is Rule.IMAGE_NOT_FOUND:
        return frozenset({404})
    if cause.rule is Rule.PULL_DENIED:
        return frozenset({401, 403})
    return frozenset()


def _is_own(request: Exchanged) -> bool:
    return any(part in request.url for part in _OF_THE_REGISTRY)


def _refused_token(subject: Subject, decisive: Exchanged) -> Exchanged | None:
    """Return the token service's last answer, where the walk ended with it."""
    after = _after(subject.outcome.requests, decisive)
    tokens = []
    for request in after:
        if _is_own(request):
            break
        tokens.append(request)
    ended = tokens and tokens[-1].status is not None and tokens[-1].status >= 400  # noqa: PLR2004
    return tokens[-1] if ended else None


def _after(requests: Sequence[Exchanged], one: Exchanged) -> Sequence[Exchanged]:
    """Return what came after ``one``; of equal requests, the one that a token's answer follows."""
    places = [n for n, request in enumerate(requests) if request == one]
    return requests[places[-1] + 1 :] if places else ()


def _to_whom(subject: Subject, request: Exchanged) -> str:
    if request.user:
        source = f" of {subject.sent}" if subject.sent else ""
        return f"to user {quoted(request.user, NAME_LIMIT)}{source}"
    if subject.outcome.before_credentials:
        return "without asking for a login"
    refused = subject.finding.rule is Rule.PULL_DENIED
    detail = f" ({subject.detail})" if refused and subject.detail else ""
    return f"to an anonymous request{detail}"


def _others(subject: Subject) -> str:
    """Name the other credentials that were tried, since the kubelet tries them all."""
    if subject.outcome.before_credentials or not subject.sent:
        return ""
    sources = {c.source for c in subject.judged.credentials} - {subject.outcome.source}
    if not sources:
        return ""
    names = ", ".join(sorted(map(named_source, sources))[:_SHOWN_KEYS])
    return f"; also tried: {names}"
