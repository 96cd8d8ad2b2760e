"""From a tag or digest to a descriptor, over all hosts of a registry.

Reproduces ``dockerResolver.Resolve`` of containerd 2.4: HEAD host by host, for a
digest among the blobs too; of several hosts' errors the one that came furthest is
told, and of equals the first.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webhook.registry.attempt import (
    AFTER_OK,
    ERRORS,
    NOT_FOUND,
    Attempt,
)
from webhook.registry.authorizer import Authority
from webhook.registry.endpoint import Endpoint
from webhook.registry.manifest import MANIFEST_LIMIT, media_type
from webhook.registry.outcome import NETWORK_RULES, Cause, Outcome, Pull
from webhook.registry.session import Session, Wanted, length_of
from webhook.registry.wire import Reply, Steps

_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_TRANSPORT, _MISSING, _REFUSED, _TOO_LARGE = range(1, 5)
"""How far an error came (``firstErrPriority``)."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name stands for; ``session`` is the host that said so."""

    digest: str
    size: int
    type_: str
    session: Session
    body: bytes | None = None


@dataclass(slots=True)
class _Errors:
    """The error that came furthest, and what made the others worth nothing."""

    furthest: Outcome | None = None
    priority: int = 0
    unknown: Outcome | None = None
    unheard: bool = False
    session: Session | None = None

    def add(self, outcome: Outcome, priority: int, session: Session) -> None:
        if outcome.pull is Pull.UNKNOWN:
            self.unknown = self.unknown or outcome
        elif outcome.cause is not None and outcome.cause.rule in NETWORK_RULES:
            self.unheard = True
        if self.priority < priority:
            self.furthest, self.priority = outcome, priority
        if priority == _MISSING:
            # The last one is the registry itself, the mirrors come before.
            self.session = session


class Resolver:
    """Resolves one name with one credential; ``missing`` is the session that said 404."""

    def __init__(
        self,
        attempt: Attempt,
        target: str,
        digest: str | None,
        known: Mapping[Endpoint, Authority],
    ) -> None:
        self.missing: Session | None = None
        self._attempt = attempt
        self._target = target
        self._digest = digest
        self._known = known
        self._sessions: list[Session] = []

    def authorities(self) -> dict[Endpoint, Authority]:
        """Return what each host was last sent."""
        held = ((s.endpoint, s.authorizer.own()) for s in self._sessions)
        return {endpoint: authority for endpoint, authority in held if authority is not None}

    def resolve(self, hosts: Sequence[Endpoint]) -> Steps[Resolved | Outcome]:
        """Ask the hosts in order, the manifests first."""
        able = [h for h in hosts if h.can_pull and (h.can_resolve or self._digest)]
        errors = _Errors()
        self._sessions = [Session(self._attempt, host, last=host is able[-1]) for host in able]
        for session in self._sessions:
            if session.endpoint in self._known:
                session.authorizer.take(self._known[session.endpoint])
        for kind in ("manifests", "blobs") if self._digest else ("manifests",):
            if errors.priority >= _REFUSED:
                break
            for session in self._sessions:
                came = yield from self._ask(session, kind, errors)
                if came is not None:
                    return came
        return self._conclude(errors)

    def _conclude(self, errors: _Errors) -> Outcome:
        told = errors.furthest
        if told is not None and told.cause is not None:
            self._attempt.unheard = errors.unheard and told.cause.rule not in NETWORK_RULES
        if errors.unknown is not None:
            return errors.unknown
        if errors.furthest is None:
            return self._attempt.fails(
                Cause.MANIFEST_UNKNOWN, "hosts.toml names no host that may be asked for it"
            )
        if errors.priority == _MISSING:
            self.missing = errors.session
        return errors.furthest

    def _ask(
        self, session: Session, kind: str, errors: _Errors
    ) -> Steps[Resolved | Outcome | None]:
        """Ask one host; None where the next one is to be asked."""
        wanted = Wanted("HEAD", kind, self._target, MANIFEST_LIMIT)
        reply = yield from session.request(wanted)
        if isinstance(reply, Outcome):
            errors.add(reply, _REFUSED if reply.answered else _TRANSPORT, session)
            return None
        if reply.status == NOT_FOUND:
            cause = Cause.DIGEST_NOT_FOUND if self._digest else Cause.MANIFEST_UNKNOWN
            errors.add(self._attempt.fails(cause), _MISSING, session)
            return None
        if reply.status >= ERRORS:
            errors.add(self._attempt.refused(reply), _REFUSED, session)
            return None
        if reply.status >= AFTER_OK:
            return self._attempt.refused(reply)
        self._attempt.resolved(reply, session.endpoint)
        resolved = yield from self._described(session, wanted, reply)
        if isinstance(resolved, Resolved) and resolved.size > MANIFEST_LIMIT:
            large = self._attempt.fails(Cause.MANIFEST_TOO_LARGE, f"{resolved.size} bytes")
            errors.add(large, _TOO_LARGE, session)
            return None
        return resolved

    def _described(
        self, session: Session, wanted: Wanted, reply: Reply
    ) -> Steps[Resolved | Outcome]:
        """Take digest and length from a good answer's headers, else from GET's bytes."""
        digest, size = self._digest, length_of(reply)
        if digest is None and size is not None:
            digest = reply.header("docker-content-digest") or None
            if digest is not None and not _DIGEST.fullmatch(digest):
                why = "its digest header is no digest"
                return self._attempt.fails(Cause.MANIFEST_MALFORMED, why)
        if digest is not None and size is not None:
            return Resolved(digest, size, media_type(reply.header("content-type")), session)
        return (yield from self._counted(session, wanted))

    def _counted(self, session: Session, wanted: Wanted) -> Steps[Resolved | Outcome]:
        """Take digest and length from the bytes themselves, as ``GET`` gives them."""
        got = Wanted("GET", wanted.kind, wanted.what, MANIFEST_LIMIT + 1)
        reply = yield from session.request(got)
        if isinstance(reply, Outcome):
            return reply
        if reply.status >= ERRORS:
            if reply.status == NOT_FOUND:
                why = "HEAD found it, GET did not"
                cause = Cause.DIGEST_NOT_FOUND if self._digest else Cause.MANIFEST_UNKNOWN
                return self._attempt.fails(cause, why)
            return self._attempt.refused(reply)
        if reply.cut and not reply.truncated:
            return self._attempt.fails(Cause.RESET, "its bytes broke off")
        digest = self._digest or "sha256:" + hashlib.sha256(reply.body).hexdigest()
        type_ = media_type(reply.header("content-type"))
        return Resolved(digest, len(reply.body), type_, session, reply.body)
