"""One credential's way to one registry: redirects, challenges, tokens; no I/O here.

The rules are those of containerd 2.4 (``core/remotes/docker``, ``authorizer.go``):
nothing is sent before a challenge asks for it, and what a challenge asks for is
got in the order Bearer, Basic. Two things are left out on purpose: a refused
credential is sent once (containerd sends it up to five times, which locks
accounts), and no credential follows a redirect or a realm to a host that is not the
registry's own or a configured token service.
"""

from dataclasses import dataclass, field, replace

from webhook.credentials.keyring import Credential
from webhook.registry.challenge import Challenge, Scheme, parse_challenges
from webhook.registry.endpoint import (
    Endpoint,
    Origin,
    is_loopback,
    joined,
    origin_of,
    sendable,
)
from webhook.registry.manifest import ACCEPT
from webhook.registry.outcome import Cause, Exchanged, Outcome, Pull
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
from webhook.registry.wire import Ask, Reply, Steps, Trouble, Trust, shown_url

MAX_ATTEMPTS = 5
"""How often containerd sends one request, whatever makes it send it again."""
MAX_HOPS = 10
"""Requests along one chain of redirects: Go's client follows nine and refuses the tenth."""

OK, AFTER_OK, ERRORS, SERVER_ERRORS = 200, 300, 400, 500
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NO_METHOD, TOO_MANY = 401, 403, 404, 405, 429

_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_METHOD_LOST = frozenset({301, 302, 303})
_ASKED_AGAIN = frozenset({408, 500, 503, 504})
"""Sent again unless the same came twice. 429 is not: containerd does, and makes it worse."""


@dataclass(frozen=True, slots=True)
class _Authorization:
    """What goes along, and the name of whose it is (None: an anonymous token)."""

    scheme: Scheme
    value: str = field(repr=False)
    user: str | None


class Session:
    """``trail`` gathers the evidence; the rest tells how the last answer came about."""

    def __init__(self, endpoint: Endpoint, repository: str, credential: Credential | None) -> None:
        self.trail: list[Exchanged] = []
        self.challenged = False
        self.own_host = True
        self.sent = False
        self._endpoint = endpoint
        self._repository = repository
        self._scheme = endpoint.scheme
        # An empty username is sent nowhere: the pull is then anonymous.
        self._credential = credential if credential is not None and credential.username else None
        self._authorization: _Authorization | None = None

    # -- one request, authorised as the registry wants it ------------------------------------

    def request(self, method: str, path: str, limit: int = 0) -> Steps[Reply | Outcome]:
        """Send one request until there is an answer that no other try would change."""
        held = self._authorization
        # Basic is the same bytes each time; a token may have run out and is got once more.
        tried = {Scheme.BASIC} if held is not None and held.scheme is Scheme.BASIC else set()
        status = 0
        for _ in range(MAX_ATTEMPTS):
            answer = yield from self._sent(method, path, limit)
            if isinstance(answer, Trouble):
                return self.troubled(answer)
            reply = answer
            if reply.status == UNAUTHORIZED:
                refusal = yield from self._challenge(reply, tried)
                if refusal is not None:
                    return refusal
            elif reply.status not in _ASKED_AGAIN or reply.status == status:
                return reply
            status = reply.status
        return reply

    def glance(self, path: str, limit: int) -> Steps[Reply | None]:
        """Ask for what only explains, with the authority at hand; None for no good answer."""
        came = (self.challenged, self.own_host)
        url = sendable(f"{self._scheme}://{self._endpoint.host}{path}")
        if url is None:
            return None
        reply = yield from self._follow(Ask("GET", url, limit=limit, explains=True))
        self.challenged, self.own_host = came
        return reply if isinstance(reply, Reply) else None

    def _sent(self, method: str, path: str, limit: int) -> Steps[Reply | Trouble]:
        while True:
            url = sendable(f"{self._scheme}://{self._endpoint.host}{path}")
            if url is None:
                return Trouble(Cause.ADDRESS_INVALID, "its address can never be dialled")
            reply = yield from self._follow(Ask(method, url, limit=limit))
            if not isinstance(reply, Trouble) or not self._may_fall_back(reply):
                return reply
            self._scheme = "http"

    def _may_fall_back(self, trouble: Trouble) -> bool:
        plain = trouble.cause is Cause.PLAIN_HTTP and self._scheme == "https"
        return plain and self._endpoint.fall_back

    def _follow(self, ask: Ask) -> Steps[Reply | Trouble]:
        """Send one request and follow its redirects; what authorises stays with its origin."""
        origin, url = origin_of(ask.url), ask.url
        for _ in range(MAX_HOPS):
            self.own_host = origin_of(url) == origin
            headers, user = [("accept", ACCEPT)], None
            if self.own_host and self._authorization is not None:
                headers.append(("authorization", self._authorization.value))
                user = self._authorization.user
            reply = yield from self._send(
                replace(ask, url=url, headers=tuple(headers), user=user), own=self.own_host
            )
            location = reply.header("location") if isinstance(reply, Reply) else ""
            if isinstance(reply, Trouble) or reply.status not in _REDIRECTS or not location:
                return reply
            target = joined(url, location)
            if target is None:
                return Trouble(Cause.UNEXPECTED_STATUS, "it redirects to no http address")
            url = target
        return Trouble(Cause.REDIRECT_LOOP, f"more than {MAX_HOPS - 1} redirects")

    def _send(self, ask: Ask, *, own: bool) -> Steps[Reply | Trouble]:
        origin = origin_of(ask.url)
        # containerd uses a loopback registry's lenience for every host; here for loopback alone.
        verify = self._endpoint.verify or origin is None or not is_loopback(origin.host)
        ca = (self._endpoint.ca,) if self._endpoint.ca else ()
        reply = yield replace(ask, trust=Trust(verify, ca))
        status = reply.status if isinstance(reply, Reply) else None
        trouble = reply.cause if isinstance(reply, Trouble) else None
        shown = shown_url(ask.url, own=own)
        self.trail.append(Exchanged(ask.method, shown, status, ask.user, trouble))
        return reply

    # -- challenges ---------------------------------------------------------------------

    def _challenge(self, reply: Reply, tried: set[Scheme]) -> Steps[Outcome | None]:
        """Answer a 401: None once there is something new to send, else why there is not.

        ``tried`` holds what this very request was answered with already.
        """
        self.challenged = True
        challenges = parse_challenges(reply.headers_named("www-authenticate"))
        usable = next((c for c in challenges if c.scheme is not Scheme.DIGEST), None)
        if usable is None or usable.scheme in tried:
            if self._authorization is not None:
                return self._refused_again(usable)
            asked = "Digest" if challenges else "nothing known"
            return self.fails(Cause.CHALLENGE_UNSUPPORTED, f"it asks for {asked}")
        if usable.scheme is Scheme.BASIC and not self._has_password:
            return self.fails(Cause.CREDENTIALS_MISSING, "it wants a user and a password")
        if not self.own_host:
            return self._kept_back("a redirect led to another host, and that one asks for it")
        tried.add(usable.scheme)
        if usable.scheme is Scheme.BASIC:
            return self._basic()
        return (yield from self._bearer(usable))

    def _refused_again(self, challenge: Challenge | None) -> Outcome:
        if challenge is not None and challenge.scheme is Scheme.BEARER:
            if challenge.parameters.get("error"):
                refused = "the token that it gave was not accepted"
                return self.fails(Cause.DENIED_OR_MISSING, refused)
            if not self.sent:
                return self.fails(Cause.CREDENTIALS_MISSING, "it takes no anonymous token")
        return self.fails(Cause.CREDENTIALS_REJECTED if self.sent else Cause.CREDENTIALS_MISSING)

    @property
    def _has_password(self) -> bool:
        return self._credential is not None and bool(self._credential.password)

    def _basic(self) -> Outcome | None:
        if self._scheme != "https" and not self._endpoint.insecure:
            return self._kept_back("it would go over plain HTTP")
        if self._credential is not None:
            value, user = basic(self._credential), self._credential.username
            self._authorization = _Authorization(Scheme.BASIC, value, user)
            self.sent = True
        return None

    def _bearer(self, challenge: Challenge) -> Steps[Outcome | None]:
        realm = challenge.parameters.get("realm", "")
        if not realm:
            return self.fails(Cause.CHALLENGE_UNSUPPORTED, "its Bearer challenge names no realm")
        url = sendable(realm)
        if url is None:
            return self.fails(Cause.TOKEN_SERVICE_FAILING, "its realm is no http address")
        scopes = scopes_of(challenge, self._repository)
        service = challenge.parameters.get("service", "")
        if self._credential is None or not self._has_password:
            return (yield from self._token(get_request(url, service, scopes, None)))
        post = post_request(url, service, scopes, self._credential)
        refusal = yield from self._token(post)
        if refusal is None or refusal.pull is Pull.UNKNOWN:
            return refusal
        if self.trail[-1].status in GET_AFTER_POST:
            get = get_request(url, service, scopes, self._credential)
            return (yield from self._token(get))
        return refusal

    # -- tokens -------------------------------------------------------------------------

    def _token(self, request: TokenRequest) -> Steps[Outcome | None]:
        posted = request.method == "POST"
        reply = yield from self._asked_for_token(request)
        if isinstance(reply, Outcome):
            return reply
        if not OK <= reply.status < ERRORS:
            return self._token_refused(reply.status)
        token = token_of(reply.body, posted=posted)
        if token is None:
            return self.fails(Cause.TOKEN_SERVICE_FAILING, "its token service gave no token")
        user = self._credential.username if request.is_secret and self._credential else None
        self._authorization = _Authorization(Scheme.BEARER, f"Bearer {token}", user)
        return None

    def _asked_for_token(self, request: TokenRequest) -> Steps[Reply | Outcome]:
        """Send a token request; where it is redirected to is judged as the realm was."""
        for _ in range(MAX_HOPS):
            refusal = self._realm_refusal(request)
            if refusal is not None:
                return refusal
            self.sent = self.sent or request.is_secret
            reply = yield from self._send(self._token_ask(request), own=False)
            if isinstance(reply, Trouble):
                return self.troubled(reply)
            location = reply.header("location")
            if reply.status not in _REDIRECTS or not location:
                return reply
            target = joined(request.url, location)
            if target is None:
                why = "its token service redirects to no http address"
                return self.fails(Cause.TOKEN_SERVICE_FAILING, why)
            request = _redirected(request, reply.status, target)
        return self.fails(Cause.REDIRECT_LOOP, "its token service redirects without end")

    def _token_ask(self, request: TokenRequest) -> Ask:
        user = self._credential.username if request.is_secret and self._credential else None
        headers = [] if request.body is None else [("content-type", _FORM)]
        if request.authorization is not None:
            headers.append(("authorization", request.authorization))
        return Ask(request.method, request.url, tuple(headers), request.body, TOKEN_LIMIT, user)

    def _realm_refusal(self, request: TokenRequest) -> Outcome | None:
        """Say why a token is not asked for there: what we refuse proves nothing of the pull."""
        origin = origin_of(request.url)
        if origin is None:
            return self.fails(Cause.TOKEN_SERVICE_FAILING, "its realm is no http address")
        if origin.scheme != "https" and not self._endpoint.insecure:
            return self._kept_back("its token service speaks plain HTTP")
        if request.is_secret and not self._may_have_credentials(origin):
            return self._kept_back("its token service is another host, which nobody vouches for")
        return None

    def _may_have_credentials(self, origin: Origin) -> bool:
        own = origin_of(f"{self._scheme}://{self._endpoint.host}")
        if own is not None and origin.address == own.address:
            return True
        return bool(origin.names & {name.lower() for name in self._endpoint.token_services})

    def _token_refused(self, status: int) -> Outcome:
        answered = f"its token service answered {status}"
        if status == TOO_MANY:
            return self.fails(Cause.TOO_MANY_REQUESTS, answered)
        if status not in (UNAUTHORIZED, FORBIDDEN):
            return self.fails(Cause.TOKEN_SERVICE_FAILING, answered)
        if not self.sent:
            return self.fails(Cause.CREDENTIALS_MISSING, f"{answered} to an anonymous request")
        if status == FORBIDDEN:
            return self.fails(Cause.PERMISSION_DENIED, answered)
        return self.fails(Cause.CREDENTIALS_REJECTED, answered)

    # -- conclusions -----------------------------------------------------------------------

    def fails(self, cause: Cause | None, detail: str = "") -> Outcome:
        """Return a failure that came about as the session stands."""
        return Outcome(
            Pull.FAILS,
            cause,
            detail=detail,
            before_credentials=not self.challenged,
            own_host=self.own_host,
            source=self._credential.source if self.sent and self._credential else "",
        )

    def troubled(self, trouble: Trouble) -> Outcome:
        """Return what it means that no answer came."""
        outcome = self.fails(trouble.cause, trouble.detail)
        if trouble.cause in (Cause.DEADLINE, Cause.OVERLOADED, Cause.EGRESS_REFUSED):
            return replace(outcome, pull=Pull.UNKNOWN)
        return outcome

    def refused(self, reply: Reply) -> Outcome:
        """Return what an answer means that is neither good nor "not found"."""
        status = reply.status
        if status == FORBIDDEN:
            cause = Cause.PERMISSION_DENIED if self.sent else Cause.DENIED_OR_MISSING
        elif status == TOO_MANY:
            cause = Cause.TOO_MANY_REQUESTS
        elif status >= SERVER_ERRORS:
            cause = Cause.SERVER_ERROR
        else:
            cause = Cause.UNEXPECTED_STATUS
        return self.fails(cause, f"it answered {status}")

    def _kept_back(self, why: str) -> Outcome:
        """Return that we would not ask where containerd does: the pull may well succeed."""
        cause = Cause.CREDENTIAL_WITHHELD if self._has_password else Cause.EGRESS_REFUSED
        return self.fails(None).unknown(cause, why)


def _redirected(request: TokenRequest, status: int, url: str) -> TokenRequest:
    """Return the request that Go's client makes of a redirect: a POST can become a GET."""
    if request.method == "POST" and status in _METHOD_LOST:
        return TokenRequest("GET", url)
    return replace(request, url=url)
