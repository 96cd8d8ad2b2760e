"""What is asked of a registry for one pull, given what came back: no I/O here.

Each conversation is a generator: it yields an :class:`Ask`, is sent a
:class:`Reply` or a :class:`Trouble`, and returns an :class:`Outcome`. The rules are
those of containerd 2.4 (``core/remotes/docker``): HEAD without credentials first,
then what the challenge wants, GET where HEAD does not serve.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from webhook.credentials.keyring import Credential
from webhook.images.reference import Reference
from webhook.registry.endpoint import Endpoint
from webhook.registry.manifest import (
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    Unusable,
    media_type,
    read_manifest,
)
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull
from webhook.registry.session import AFTER_OK, NO_METHOD, NOT_FOUND, OK, Session
from webhook.registry.settings import Depth
from webhook.registry.tags import TAGS_ASKED, TAGS_LIMIT, near_tags, read_tags, repository_unknown
from webhook.registry.wire import Reply, Steps

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,127}/[A-Za-z0-9.+-]{1,127}")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be pulled, from where, and how deep to look."""

    reference: Reference
    endpoint: Endpoint
    depth: Depth


def predict(target: Target, credentials: Sequence[Credential]) -> Steps[Outcome]:
    """Try each credential as the kubelet does, the first success wins; none: anonymously."""
    attempts: list[Outcome] = []
    for credential in credentials or (None,):
        session = Session(target.endpoint, target.reference.repository, credential)
        outcome = yield from _Attempt(target, session).outcome()
        attempts.append(replace(outcome, requests=tuple(session.trail)))
        # A refusal that no credential could have changed is the same for the next one.
        if outcome.pull is Pull.OK or outcome.before_credentials:
            break
    return _combined(attempts)


def _combined(attempts: Sequence[Outcome]) -> Outcome:
    """Return the attempt that decides, with the requests of all.

    One that is unknown, or met a network's fault, leaves the pull unproven however
    the others ended; among refusals the one that tells most comes first.
    """
    trail = tuple(request for attempt in attempts for request in attempt.requests)
    return replace(min(attempts, key=_rank), requests=trail)


_TELLING = (
    Cause.TAG_NOT_FOUND,
    Cause.DIGEST_NOT_FOUND,
    Cause.REPOSITORY_NOT_FOUND,
    Cause.MANIFEST_UNKNOWN,
    Cause.PERMISSION_DENIED,
    Cause.DENIED_OR_MISSING,
    Cause.CREDENTIALS_REJECTED,
    Cause.CREDENTIALS_MISSING,
)


def _rank(outcome: Outcome) -> int:
    if outcome.pull is Pull.OK:
        return -3
    if outcome.pull is Pull.UNKNOWN:
        return -2
    if outcome.cause is not None and outcome.cause.rule in NETWORK_RULES:
        return -1
    return _TELLING.index(outcome.cause) if outcome.cause in _TELLING else len(_TELLING)


class _Attempt:
    """The walk of one attempt, as containerd's resolver and fetcher go it."""

    def __init__(self, target: Target, session: Session) -> None:
        self._reference = target.reference
        self._depth = target.depth
        self._session = session

    def outcome(self) -> Steps[Outcome]:
        digest = self._reference.digest
        reply = yield from self._session.request("HEAD", self._manifest(self._reference.target))
        if isinstance(reply, Outcome):
            if digest is None or reply.cause is not Cause.DENIED_OR_MISSING:
                return reply
            return (yield from self._blob(digest, reply))
        got = reply.status == NO_METHOD
        if got:
            reply = yield from self._get(self._reference.target)
            if isinstance(reply, Outcome):
                return reply
        if reply.status == NOT_FOUND:
            missing = yield from self._not_found()
            return (yield from self._blob(digest, missing)) if digest is not None else missing
        if not OK <= reply.status < AFTER_OK:
            return self._session.refused(reply)
        return (yield from self._resolved(reply, got=got))

    def _resolved(self, reply: Reply, *, got: bool) -> Steps[Outcome]:
        """Go on from a good answer: its headers must name digest and length, else GET does."""
        digest, length = self._reference.digest, reply.header("content-length")
        size = int(length) if _LENGTH.fullmatch(length) else None
        if digest is None and size is not None:
            digest = reply.header("docker-content-digest") or None
            if digest is not None and not _DIGEST.fullmatch(digest):
                return self._fails(Cause.MANIFEST_MALFORMED, "its digest header is no digest")
        if digest is None or size is None:
            return (yield from self._counted(reply if got else None))
        if size > MANIFEST_LIMIT:
            return self._fails(Cause.MANIFEST_TOO_LARGE, f"{size} bytes")
        if size == 0:
            return self._fails(Cause.MANIFEST_MALFORMED, "the registry says that it is empty")
        return (yield from self._described(reply.header("content-type"), digest, size))

    def _counted(self, reply: Reply | None) -> Steps[Outcome]:
        """Take digest and length from the bytes themselves, as ``GET`` gives them."""
        if reply is None:
            answer = yield from self._get(self._reference.target)
            if isinstance(answer, Outcome):
                return answer
            reply = answer
        if reply.status == NOT_FOUND:
            return (yield from self._not_found())
        if not OK <= reply.status < AFTER_OK:
            return self._session.refused(reply)
        if not reply.body:
            return self._fails(Cause.MANIFEST_MALFORMED, "it is empty")
        digest = self._reference.digest or "sha256:" + hashlib.sha256(reply.body).hexdigest()
        return self._judged(reply, digest, reply.header("content-type"))

    def _described(self, content_type: str, digest: str, size: int) -> Steps[Outcome]:
        if media_type(content_type) not in MANIFEST_TYPES:
            return self._unsupported(content_type)
        if self._depth is Depth.EXISTS:
            return self._ok(digest)
        reply = yield from self._get(digest)
        if isinstance(reply, Outcome):
            return reply
        if reply.status == NOT_FOUND:
            return self._fails(Cause.DIGEST_NOT_FOUND, "HEAD found it, GET by digest did not")
        if not OK <= reply.status < AFTER_OK:
            return self._session.refused(reply)
        judged = self._judged(reply, digest, content_type)
        if judged.pull is Pull.OK and len(reply.body) != size:
            return self._fails(
                Cause.DIGEST_MISMATCH, f"HEAD says {size} bytes, GET gives {len(reply.body)}"
            )
        return judged

    def _judged(self, reply: Reply, digest: str, content_type: str) -> Outcome:
        if reply.truncated:
            return self._fails(Cause.MANIFEST_TOO_LARGE, f"more than {MANIFEST_LIMIT} bytes")
        type_ = media_type(content_type)
        if type_ not in MANIFEST_TYPES:
            return self._unsupported(type_)
        platforms = read_manifest(reply.body, type_, digest)
        if isinstance(platforms, Unusable):
            return self._fails(platforms.cause, platforms.detail)
        return replace(self._ok(digest), platforms=platforms)

    def _blob(self, digest: str, missing: Outcome) -> Steps[Outcome]:
        """Look among the blobs for a digest that is no manifest, as containerd does."""
        path = f"/v2/{self._reference.repository}/blobs/{digest}"
        reply = yield from self._session.request("HEAD", path)
        if isinstance(reply, Reply) and OK <= reply.status < AFTER_OK:
            return self._unsupported(reply.header("content-type"))
        if isinstance(reply, Reply) and reply.status == NOT_FOUND:
            return self._fails(Cause.DIGEST_NOT_FOUND)
        return missing

    def _not_found(self) -> Steps[Outcome]:
        """Say which of them is missing, by the tags list, with the same authority."""
        if self._reference.digest is not None:
            return self._fails(Cause.DIGEST_NOT_FOUND)
        path = f"/v2/{self._reference.repository}/tags/list?n={TAGS_ASKED}"
        reply = yield from self._session.glance(path, TAGS_LIMIT)
        if reply is not None and reply.status == OK and not reply.truncated:
            tags = read_tags(reply.body)
            if tags is not None and self._reference.target not in tags:
                return replace(
                    self._fails(Cause.TAG_NOT_FOUND),
                    tags=near_tags(self._reference.target, tags),
                    tag_count=len(tags),
                )
        if reply is not None and reply.status == NOT_FOUND and repository_unknown(reply.body):
            return self._fails(Cause.REPOSITORY_NOT_FOUND)
        return self._fails(Cause.MANIFEST_UNKNOWN)

    # -- small words -----------------------------------------------------------------------

    def _manifest(self, target: str) -> str:
        return f"/v2/{self._reference.repository}/manifests/{target}"

    def _get(self, target: str) -> Steps[Reply | Outcome]:
        return self._session.request("GET", self._manifest(target), MANIFEST_LIMIT)

    def _ok(self, digest: str) -> Outcome:
        return replace(self._fails(None), pull=Pull.OK, digest=digest)

    def _fails(self, cause: Cause | None, detail: str = "") -> Outcome:
        return self._session.fails(cause, detail)

    def _unsupported(self, content_type: str) -> Outcome:
        known = _MEDIA_TYPE.fullmatch(media_type(content_type))
        detail = f"its media type is {known[0]}" if known else "it names no media type"
        return self._fails(Cause.MEDIA_TYPE_UNSUPPORTED, detail)
