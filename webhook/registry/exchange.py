"""What is asked of a registry for one pull, given what came back: no I/O here.

Each conversation is a generator: it yields an :class:`Ask`, is sent a
:class:`Reply` or a :class:`Trouble`, and returns an :class:`Outcome`. The rules are
those of containerd 2.4 (``core/remotes/docker``): the name is resolved over the
registry's hosts, then content is fetched by digest, both from an unauthenticated
request on.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from webhook.credentials.expiry import expires_at
from webhook.credentials.keyring import Credential
from webhook.images.platform import Platform
from webhook.images.reference import Reference
from webhook.registry.attempt import NOT_FOUND, OK, Attempt
from webhook.registry.authorizer import Authority
from webhook.registry.endpoint import Endpoint, Registry
from webhook.registry.fetch import Fetcher
from webhook.registry.manifest import DOCKER_SCHEMA_1, MANIFEST_TYPES
from webhook.registry.mediatypes import TOLD_TYPES
from webhook.registry.ocispec import Descriptor
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull, decided
from webhook.registry.recall import Recall, Remembered, Seen
from webhook.registry.resolve import Resolved, Resolver
from webhook.registry.serving import Serving
from webhook.registry.session import Session, Wanted
from webhook.registry.settings import Depth
from webhook.registry.tags import TAGS_ASKED, TAGS_LIMIT, near_tags, read_tags, repository_unknown
from webhook.registry.wire import Steps

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,127}/[A-Za-z0-9.+-]{1,127}")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be pulled, from where, how deep to look, and for which platforms.

    No platforms: none is known; it is judged for linux/amd64. ``sizes``: at depth platform
    the manifest of each is read too, for its layers; the other depths do not mind it.
    """

    reference: Reference
    registry: Registry
    depth: Depth
    platforms: tuple[Platform, ...] = ()
    sizes: bool = False


def predict(
    target: Target,
    credentials: Sequence[Credential],
    recall: Recall | None = None,
    now: float = 0.0,
) -> Steps[Outcome]:
    """Try each credential as the kubelet does, the first success wins; none: anonymously.

    ``now`` is the time of day in seconds since the epoch, for what expires.
    """
    attempts: list[Outcome] = []
    memory = recall or Recall(0.0)
    for credential in credentials or (None,):
        outcome = yield from _attempted(target, credential, memory)
        attempts.append(_expired(outcome, credential, now))
        # Every failure leads to the next one, also one that came before any credential was
        # sent: a registry may answer otherwise a moment later. Not where we ran out of time.
        if outcome.pull is Pull.OK or (outcome.pull is Pull.UNKNOWN and outcome.before_credentials):
            break
    return _combined(attempts)


def _attempted(target: Target, credential: Credential | None, recall: Recall) -> Steps[Outcome]:
    """Try one credential: with what is known of the registry first, then from the start.

    Only a success may rest on authority that was not asked for anew: containerd begins
    every pull without any, and a registry may answer otherwise to that.
    """
    if target.registry.fault:
        return decided(Cause.TLS_FAILING, target.registry.fault)
    if credential is not None and not _can_be_said(credential):
        why = "its user or password is no UTF-8, and the kubelet can hand over no other"
        return replace(decided(Cause.CREDENTIAL_UNDECODABLE, why), source=credential.source)
    memory = recall.of(target.registry, target.reference.repository, credential)
    known = memory.authorities()
    if known:
        outcome = yield from _Pull(target, credential, memory, known).outcome()
        if outcome.pull is Pull.OK:
            return outcome
        memory.forget()
    return (yield from _Pull(target, credential, memory, {}).outcome())


def _can_be_said(credential: Credential) -> bool:
    """Tell whether the kubelet can hand it to the runtime: gRPC's strings are UTF-8."""
    try:
        f"{credential.username}{credential.password}".encode()
    except UnicodeEncodeError:
        return False
    return True


def _expired(outcome: Outcome, credential: Credential | None, now: float) -> Outcome:
    """Tell a credential that ran out from one that was never good, where it says so itself."""
    refused = outcome.cause in (Cause.CREDENTIALS_REJECTED, Cause.PERMISSION_DENIED)
    if not refused or credential is None or not outcome.source:
        return outcome
    ended = expires_at(credential)
    if ended is None or ended > now:
        return outcome
    day = datetime.fromtimestamp(min(ended, now), UTC).strftime("%Y-%m-%d %H:%M UTC")
    return replace(outcome, cause=Cause.CREDENTIALS_EXPIRED, detail=f"it expired at {day}")


def _combined(attempts: Sequence[Outcome]) -> Outcome:
    """Return the attempt that decides, with the requests of all.

    One that is unknown, or met a network's fault, leaves the pull unproven however
    the others ended; among refusals the one that tells most comes first.
    """
    trail = tuple(request for attempt in attempts for request in attempt.requests)
    unheard = any(attempt.unheard for attempt in attempts)
    return replace(min(attempts, key=_rank), requests=trail, unheard=unheard)


_TELLING = (
    Cause.TAG_NOT_FOUND,
    Cause.DIGEST_NOT_FOUND,
    Cause.REPOSITORY_NOT_FOUND,
    Cause.MANIFEST_UNKNOWN,
    Cause.PERMISSION_DENIED,
    Cause.DENIED_OR_MISSING,
    Cause.CREDENTIALS_EXPIRED,
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


class _Pull:
    """The walk of one attempt, as containerd's resolver and fetcher go it."""

    def __init__(
        self,
        target: Target,
        credential: Credential | None,
        memory: Remembered,
        known: Mapping[Endpoint, Authority],
    ) -> None:
        self._target = target
        self._reference = target.reference
        self._hosts = target.registry.hosts
        self._memory = memory
        self._known = known
        self._attempt = Attempt(target.registry, target.reference.repository, credential)

    def outcome(self) -> Steps[Outcome]:
        """Go as far as the depth says."""
        outcome = yield from self._walked()
        attempt = self._attempt
        return replace(
            outcome,
            requests=tuple(attempt.trail),
            unheard=attempt.unheard,
            quota=attempt.quota,
        )

    def _walked(self) -> Steps[Outcome]:
        digest = self._reference.digest
        resolver = Resolver(self._attempt, self._reference.target, digest, self._known)
        resolved = yield from resolver.resolve(self._hosts)
        if isinstance(resolved, Outcome):
            if resolver.missing is not None and digest is None:
                return (yield from self._what_is_missing(resolver.missing, resolved))
            return resolved
        held = resolver.authorities()
        if held != self._known:
            # What served again is not kept anew: its time runs from when it was given.
            self._memory.keep(held)
        if resolved.size == 0:
            why = "the registry says that it is empty"
            return self._attempt.fails(Cause.MANIFEST_MALFORMED, why)
        if resolved.type_ not in MANIFEST_TYPES:
            return self._unsupported(resolved.type_)
        if self._target.depth is Depth.EXISTS:
            return self._ok(resolved.digest)
        return (yield from self._fetched(resolved, resolver))

    def _fetched(self, resolved: Resolved, resolver: Resolver) -> Steps[Outcome]:
        root = Descriptor(resolved.type_, resolved.digest, resolved.size)
        whole = self._target.depth is Depth.WHOLE
        platforms, sizes = self._target.platforms, self._target.sizes
        serving = Serving(self._attempt, root, platforms, whole=whole, sizes=sizes)
        if whole:
            return (yield from serving.outcome(Fetcher(self._attempt, self._hosts)))
        # In full: a platform's text leaves the version of Windows out.
        how = repr((platforms, sizes))
        seen = self._memory.seen(root.digest, how)
        if seen is not None:
            return seen.told(self._ok(root.digest))
        # The authority at hand serves, as long as all goes well.
        fetcher = Fetcher(self._attempt, self._hosts, resolver.authorities())
        outcome = yield from serving.outcome(fetcher)
        if outcome.pull is Pull.OK:
            self._memory.keep_seen(root.digest, how, Seen.of(outcome))
            return outcome
        return (yield from serving.outcome(Fetcher(self._attempt, self._hosts)))

    def _what_is_missing(self, session: Session, missing: Outcome) -> Steps[Outcome]:
        """Say which of them is missing, by the tags list, with the same authority."""
        wanted = Wanted("GET", "tags", f"list?n={TAGS_ASKED}", TAGS_LIMIT)
        reply = yield from session.glance(wanted)
        if reply is not None and reply.status == OK and not reply.truncated:
            tags = read_tags(reply.body)
            if tags is not None and self._reference.target not in tags:
                return replace(
                    missing,
                    cause=Cause.TAG_NOT_FOUND,
                    tags=near_tags(self._reference.target, tags),
                    tag_count=len(tags),
                )
        if reply is not None and reply.status == NOT_FOUND and repository_unknown(reply.body):
            return replace(missing, cause=Cause.REPOSITORY_NOT_FOUND)
        return missing

    def _ok(self, digest: str) -> Outcome:
        return replace(self._attempt.fails(None), pull=Pull.OK, digest=digest)

    def _unsupported(self, type_: str) -> Outcome:
        if type_.lower() in TOLD_TYPES:
            detail = f"its media type is {type_}"
        elif _MEDIA_TYPE.fullmatch(type_):
            detail = "its media type is none of an image"
        else:
            detail = "it names no media type"
        failing = self._attempt.fails(Cause.MEDIA_TYPE_UNSUPPORTED, detail)
        # The CRI of containerd 1 converts it (``WithSchema1Conversion``).
        return replace(failing, older_take=type_ == DOCKER_SCHEMA_1)
