"""What is asked of a registry for one pull, given what came back: no I/O here.

Each conversation is a generator: it yields an :class:`Ask`, is sent a
:class:`Reply` or a :class:`Trouble`, and returns an :class:`Outcome`. The rules are
those of containerd 2.4 (``core/remotes/docker``): HEAD without credentials first,
then what the challenge wants, GET where HEAD does not serve. Two things are
left out on purpose: a refused credential is sent once (containerd sends it up to
five times, which locks accounts), and no credential follows a redirect or a realm
to a host that is not the registry's own.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from webhook.credentials.keyring import Credential
from webhook.images.reference import Reference
from webhook.registry.challenge import Challenge, Scheme, parse_challenges
from webhook.registry.endpoint import Endpoint, origin_of
from webhook.registry.manifest import (
    ACCEPT,
    MANIFEST_LIMIT,
    MANIFEST_TYPES,
    Unusable,
    media_type,
    read_manifest,
)
from webhook.registry.outcome import NETWORK_RULES, Cause, Exchanged, Outcome, Pull
from webhook.registry.settings import Depth
from webhook.registry.tags import TAGS_ASKED, TAGS_LIMIT, near_tags, read_tags, repository_unknown
from webhook.registry.token import (
    GET_AFTER_POST,
    TOKEN_LIMIT,
    TokenRequest,
    basic,
    get_request,
    post_request,
    scopes_of,
    token_of,
)
from webhook.registry.wire import Ask, Reply, Steps, Trouble, shown_url

MAX_REDIRECTS = 10
"""Redirects that Go's HTTP client follows before it gives up."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED_ONCE = frozenset({500, 503, 504})
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _NO_METHOD, _TOO_MANY = 401, 403, 404, 405, 429
_OK, _AFTER_OK, _ERRORS, _SERVER_ERRORS = 200, 300, 400, 500


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
        conversation = _Conversation(target, credential)
        outcome = yield from conversation.attempt()
        attempts.append(replace(outcome, requests=tuple(conversation.trail)))
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


class _Conversation:
    """One attempt with one credential; ``trail`` gathers the evidence."""

    def __init__(self, target: Target, credential: Credential | None) -> None:
        self.trail: list[Exchanged] = []
        self._target = target
        self._endpoint = target.endpoint
        self._scheme = target.endpoint.scheme
        self._credential = credential if credential is not None and credential.username else None
        self._authorization: str | None = None
        self._sent = False
        self._challenged = False
        self._own_host = True

    # -- the walk of one attempt ----------------------------------------------------------

    def attempt(self) -> Steps[Outcome]:
        digest = self._target.reference.digest
        reply = yield from self._request("HEAD", self._manifest(self._target.reference.target))
        if isinstance(reply, Outcome):
            if digest is None or reply.cause is not Cause.DENIED_OR_MISSING:
                return reply
            return (yield from self._blob(digest, reply))
        if reply.status == _NO_METHOD:
            return (yield from self._get_instead())
        if reply.status == _NOT_FOUND:
            missing = yield from self._not_found()
            return (yield from self._blob(digest, missing)) if digest is not None else missing
        if not _OK <= reply.status < _AFTER_OK:
            return self._refusal(reply)
        return (yield from self._resolved(reply))

    def _resolved(self, reply: Reply) -> Steps[Outcome]:
        """Go on from a good HEAD: its headers must name digest and length, else GET does."""
        digest = self._target.reference.digest
        length = reply.header("content-length")
        if digest is None and length:
            digest = reply.header("docker-content-digest") or None
            if digest is not None and not _DIGEST.fullmatch(digest):
                return self._fails(Cause.MANIFEST_MALFORMED, "its digest header is no digest")
        if digest is None or not length:
            return (yield from self._get_instead())
        if length.isdecimal() and int(length) > MANIFEST_LIMIT:
            return self._fails(Cause.MANIFEST_TOO_LARGE, f"{length} bytes")
        return (yield from self._described(reply.header("content-type"), digest))

    def _get_instead(self) -> Steps[Outcome]:
        target = self._target.reference
        reply = yield from self._request("GET", self._manifest(target.target), MANIFEST_LIMIT)
        if isinstance(reply, Outcome):
            return reply
        if reply.status == _NOT_FOUND:
            return (yield from self._not_found())
        if not _OK <= reply.status < _AFTER_OK:
            return self._refusal(reply)
        if reply.truncated:
            return self._fails(Cause.MANIFEST_TOO_LARGE, f"more than {MANIFEST_LIMIT} bytes")
        digest = target.digest or "sha256:" + hashlib.sha256(reply.body).hexdigest()
        return self._judged(reply, digest)

    def _described(self, content_type: str, digest: str) -> Steps[Outcome]:
        if media_type(content_type) not in MANIFEST_TYPES:
            return self._unsupported(content_type)
        if self._target.depth is Depth.EXISTS:
            return self._ok(digest)
        reply = yield from self._request("GET", self._manifest(digest), MANIFEST_LIMIT)
        if isinstance(reply, Outcome):
            return reply
        if reply.status == _NOT_FOUND:
            return self._fails(Cause.DIGEST_NOT_FOUND, "HEAD found it, GET by digest did not")
        if not _OK <= reply.status < _AFTER_OK:
            return self._refusal(reply)
        if reply.truncated:
            return self._fails(Cause.MANIFEST_TOO_LARGE, f"more than {MANIFEST_LIMIT} bytes")
        return self._judged(reply, digest, content_type)

    def _judged(self, reply: Reply, digest: str, content_type: str = "") -> Outcome:
        type_ = media_type(content_type or reply.header("content-type"))
        if type_ not in MANIFEST_TYPES:
            return self._unsupported(type_)
        platforms = read_manifest(reply.body, type_, digest)
        if isinstance(platforms, Unusable):
            return self._fails(platforms.cause, platforms.detail)
        return replace(self._ok(digest), platforms=platforms)

    def _blob(self, digest: str, missing: Outcome) -> Steps[Outcome]:
        """Look among the blobs for a digest that is no manifest, as containerd does."""
        path = f"/v2/{self._target.reference.repository}/blobs/{digest}"
        reply = yield from self._request("HEAD", path)
        if isinstance(reply, Reply) and _OK <= reply.status < _AFTER_OK:
            return self._unsupported(reply.header("content-type"))
        if isinstance(reply, Reply) and reply.status == _NOT_FOUND:
            return self._missing(Cause.DIGEST_NOT_FOUND)
        return missing

    def _not_found(self) -> Steps[Outcome]:
        """Say which of them is missing, by the tags list, with the same authority."""
        reference = self._target.reference
        if reference.digest is not None:
            return self._missing(Cause.DIGEST_NOT_FOUND)
        facts = (self._challenged, self._own_host)
        path = f"/v2/{reference.repository}/tags/list?n={TAGS_ASKED}"
        reply = yield from self._request("GET", path, TAGS_LIMIT)
        self._challenged, self._own_host = facts
        if isinstance(reply, Reply) and reply.status == _OK and not reply.truncated:
            tags = read_tags(reply.body)
            if tags is not None and reference.target not in tags:
                return replace(
                    self._missing(Cause.TAG_NOT_FOUND),
                    tags=near_tags(reference.target, tags),
                    tag_count=len(tags),
                )
        gone = isinstance(reply, Reply) and reply.status == _NOT_FOUND
        if gone and isinstance(reply, Reply) and repository_unknown(reply.body):
            return self._missing(Cause.REPOSITORY_NOT_FOUND)
        return self._missing(Cause.MANIFEST_UNKNOWN)

    # -- one request, authorised as the registry wants it ------------------------------------

    def _request(self, method: str, path: str, limit: int = 0) -> Steps[Reply | Outcome]:
        retried = False
        while True:
            url = f"{self._scheme}://{self._endpoint.host}{path}"
            reply = yield from self._follow(method, url, limit)
            if isinstance(reply, Trouble):
                if self._may_fall_back(reply):
                    self._scheme = "http"
                    continue
                return self._troubled(reply)
            if reply.status == _UNAUTHORIZED:
                refusal = yield from self._challenge(reply)
                if refusal is not None:
                    return refusal
                continue
            if reply.status in _RETRIED_ONCE and not retried:
                retried = True
                continue
            return reply

    def _may_fall_back(self, trouble: Trouble) -> bool:
        plain = trouble.cause is Cause.PLAIN_HTTP and self._scheme == "https"
        return plain and self._endpoint.fall_back

    def _follow(self, method: str, url: str, limit: int) -> Steps[Reply | Trouble]:
        """Send one request and follow its redirects; what authorises stays with its origin."""
        origin = origin_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            own = origin_of(url) == origin
            self._own_host = own
            headers = [("accept", ACCEPT)]
            if own and self._authorization is not None:
                headers.append(("authorization", self._authorization))
            user = self._user if own else None
            ask = Ask(method, url, tuple(headers), limit=limit, user=user)
            reply = yield from self._send(ask, shown=own)
            location = reply.header("location") if isinstance(reply, Reply) else ""
            if not isinstance(reply, Reply) or reply.status not in _REDIRECTS or not location:
                return reply
            url = urljoin(url, location)
            if origin_of(url) is None:
                return Trouble(Cause.UNEXPECTED_STATUS, "it redirects to no http address")
        return Trouble(Cause.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects")

    def _send(self, ask: Ask, *, shown: bool) -> Steps[Reply | Trouble]:
        verify = self._endpoint.verify or not self._is_own(ask.url)
        reply = yield replace(ask, verify=verify, ca=self._endpoint.ca)
        status = reply.status if isinstance(reply, Reply) else None
        trouble = reply.cause if isinstance(reply, Trouble) else None
        url = shown_url(ask.url, own=shown)
        self.trail.append(Exchanged(ask.method, url, status, ask.user, trouble))
        return reply

    @property
    def _user(self) -> str | None:
        sent = self._authorization is not None and self._sent and self._credential is not None
        return self._credential.username if sent and self._credential is not None else None

    # -- challenges ---------------------------------------------------------------------

    def _challenge(self, reply: Reply) -> Steps[Outcome | None]:
        """Answer a 401: None once there is something new to send, else why there is not."""
        self._challenged = True
        challenges = parse_challenges(reply.headers_named("www-authenticate"))
        if not self._own_host:
            return self._withheld("a redirect led to another host, and that one asks for it")
        if self._authorization is not None:
            return self._refused_again(challenges)
        for challenge in challenges:
            if challenge.scheme is Scheme.BEARER:
                return (yield from self._bearer(challenge))
            if challenge.scheme is Scheme.BASIC:
                return self._basic()
        asked = ", ".join(sorted({c.scheme.name.capitalize() for c in challenges}))
        return self._fails(Cause.CHALLENGE_UNSUPPORTED, f"it asks for {asked or 'nothing known'}")

    def _refused_again(self, challenges: Sequence[Challenge]) -> Outcome:
        bearer = next((c for c in challenges if c.scheme is Scheme.BEARER), None)
        if bearer is not None and bearer.parameters.get("error"):
            return self._fails(Cause.DENIED_OR_MISSING, "the token that it granted does not do")
        if self._sent:
            return self._fails(Cause.CREDENTIALS_REJECTED)
        return self._fails(Cause.CREDENTIALS_MISSING, "it takes no anonymous token")

    def _basic(self) -> Outcome | None:
        if self._credential is None or not self._credential.password:
            return self._fails(Cause.CREDENTIALS_MISSING, "it wants a user and a password")
        if self._scheme != "https" and not self._endpoint.insecure:
            return self._withheld("they would go over plain HTTP")
        self._authorization = basic(self._credential)
        self._sent = True
        return None

    def _bearer(self, challenge: Challenge) -> Steps[Outcome | None]:
        realm = challenge.parameters.get("realm", "")
        origin = origin_of(realm)
        if not realm:
            return self._fails(Cause.CHALLENGE_UNSUPPORTED, "its Bearer challenge names no realm")
        if origin is None:
            return self._fails(Cause.TOKEN_SERVICE_FAILING, "its realm is no http address")
        if origin.scheme != "https" and not self._endpoint.insecure:
            return self._withheld("its token service speaks plain HTTP")
        scopes = scopes_of(challenge, self._target.reference.repository)
        credential = self._credential
        if credential is None or not credential.password:
            return (yield from self._token(get_request(challenge, scopes, None)))
        if not self._may_have_credentials(realm):
            return self._withheld(f"its token service is another host, {origin.host}")
        self._sent = True
        posted = yield from self._token(post_request(challenge, scopes, credential))
        if posted is None or posted.pull is Pull.UNKNOWN:
            return posted
        if self._last_status() in GET_AFTER_POST:
            return (yield from self._token(get_request(challenge, scopes, credential)))
        return posted

    def _may_have_credentials(self, realm: str) -> bool:
        origin = origin_of(realm)
        if origin is None or self._is_own(realm):
            return origin is not None
        names = {origin.host, f"{origin.host}:{origin.port}"}
        return bool(names & set(self._endpoint.token_services))

    def _is_own(self, url: str) -> bool:
        """Tell whether ``url`` lies on the very host and port that is dialled."""
        origin, own = origin_of(url), origin_of(f"{self._scheme}://{self._endpoint.host}")
        return origin is not None and own is not None and origin.address == own.address

    def _token(self, request: TokenRequest) -> Steps[Outcome | None]:
        user = self._credential.username if self._sent and self._credential else None
        headers: list[tuple[str, str]] = []
        if request.body is not None:
            form = "application/x-www-form-urlencoded; charset=utf-8"
            headers.append(("content-type", form))
        if request.authorization is not None:
            headers.append(("authorization", request.authorization))
        ask = Ask(request.method, request.url, tuple(headers), request.body, TOKEN_LIMIT, user)
        reply = yield from self._send(ask, shown=False)
        if isinstance(reply, Trouble):
            return self._troubled(reply)
        if reply.status in (_UNAUTHORIZED, _FORBIDDEN):
            return self._token_refused(reply.status)
        if reply.status == _TOO_MANY:
            return self._fails(Cause.TOO_MANY_REQUESTS, "its token service answered 429")
        if not _OK <= reply.status < _ERRORS:
            return self._fails(
                Cause.TOKEN_SERVICE_FAILING, f"its token service answered {reply.status}"
            )
        token = token_of(reply.body, posted=request.method == "POST")
        if token is None:
            return self._fails(Cause.TOKEN_SERVICE_FAILING, "its token service gave no token")
        self._authorization = f"Bearer {token}"
        return None

    def _token_refused(self, status: int) -> Outcome:
        if not self._sent:
            return self._fails(
                Cause.CREDENTIALS_MISSING, f"its token service answered {status} to an anonymous"
            )
        if status == _FORBIDDEN:
            return self._fails(Cause.PERMISSION_DENIED, "its token service answered 403")
        return self._fails(Cause.CREDENTIALS_REJECTED, "its token service answered 401")

    def _last_status(self) -> int | None:
        return self.trail[-1].status

    # -- conclusions -----------------------------------------------------------------------

    def _manifest(self, target: str) -> str:
        return f"/v2/{self._target.reference.repository}/manifests/{target}"

    def _ok(self, digest: str) -> Outcome:
        return replace(self._fails(None), pull=Pull.OK, digest=digest)

    def _fails(self, cause: Cause | None, detail: str = "") -> Outcome:
        return Outcome(
            Pull.FAILS,
            cause,
            detail=detail,
            before_credentials=not self._challenged,
            own_host=self._own_host,
            source=self._credential.source if self._sent and self._credential else "",
        )

    def _missing(self, cause: Cause) -> Outcome:
        return self._fails(cause)

    def _withheld(self, why: str) -> Outcome:
        if self._credential is None:
            return self._fails(Cause.CREDENTIALS_MISSING, why)
        return self._fails(None).unknown(Cause.CREDENTIAL_WITHHELD, why)

    def _unsupported(self, content_type: str) -> Outcome:
        known = re.fullmatch(r"[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+", media_type(content_type))
        detail = f"its media type is {known[0]}" if known else "it names no media type"
        return self._fails(Cause.MEDIA_TYPE_UNSUPPORTED, detail)

    def _troubled(self, trouble: Trouble) -> Outcome:
        outcome = self._fails(trouble.cause, trouble.detail)
        if trouble.cause in (Cause.DEADLINE, Cause.OVERLOADED, Cause.EGRESS_REFUSED):
            return replace(outcome, pull=Pull.UNKNOWN)
        return outcome

    def _refusal(self, reply: Reply) -> Outcome:
        status = reply.status
        if status == _FORBIDDEN:
            cause = Cause.PERMISSION_DENIED if self._sent else Cause.DENIED_OR_MISSING
        elif status == _TOO_MANY:
            cause = Cause.TOO_MANY_REQUESTS
        elif status >= _SERVER_ERRORS:
            cause = Cause.SERVER_ERROR
        else:
            cause = Cause.UNEXPECTED_STATUS
        return self._fails(cause, f"it answered {status}")
