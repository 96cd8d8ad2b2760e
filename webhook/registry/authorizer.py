"""What one host's challenges are answered with: Basic, or a token that is got for it.

The rules are those of containerd 2.4 (``core/remotes/docker/authorizer.go``): nothing
is sent before a challenge asks for it, Bearer goes before Basic, a token is posted for
with the password, and by GET where POST is not known. Two things are left out on
purpose: a refused credential is sent once (containerd sends it up to five times, which
locks accounts), and none goes to a host that nobody vouches for.
"""

from dataclasses import dataclass, field, replace

from webhook.registry.attempt import (
    ERRORS,
    FORBIDDEN,
    OK,
    TOO_MANY,
    UNAUTHORIZED,
    Attempt,
)
from webhook.registry.challenge import Challenge, Scheme, parse_challenges
from webhook.registry.endpoint import Endpoint
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
from webhook.registry.urls import Origin, is_loopback, joined, origin_of, sendable, shown_url
from webhook.registry.wire import Ask, Reply, Steps, Trouble, Trust

MAX_HOPS = 10
"""Requests along one chain of redirects: Go's client follows nine and refuses the tenth."""
BASIC_SECONDS = 300.0
"""How long a password that was taken is sent without waiting for the challenge."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_TOO_LATE = "it asks for a credential when it has been asked as often as containerd asks"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_METHOD_LOST = frozenset({301, 302, 303})


@dataclass(frozen=True, slots=True)
class Authority:
    """What goes along, and the name of whose it is (None: an anonymous token).

    ``seconds`` is how long it may serve again.
    """

    scheme: Scheme
    value: str = field(repr=False)
    user: str | None
    seconds: float = BASIC_SECONDS


class Authorizer:
    """Answers challenges for one host of a registry, and remembers with what, by host."""

    def __init__(self, attempt: Attempt, endpoint: Endpoint) -> None:
        self._attempt = attempt
        self._endpoint = endpoint
        self._base = f"{endpoint.scheme}://{endpoint.host}"
        self._held: dict[str, Authority] = {}
        self._taken: Authority | None = None

    def authority(self, url: str) -> Authority | None:
        """Return what goes along to the host of ``url``."""
        return self._held.get(_host(url))

    def own(self) -> Authority | None:
        """Return what the endpoint itself was last sent."""
        return self._held.get(_host(self._base))

    def take(self, authority: Authority) -> None:
        """Take up what an earlier exchange with the endpoint ended with."""
        self._held[_host(self._base)] = authority
        self._taken = authority
        self._attempt.challenged = True
        self._attempt.sent = self._attempt.sent or authority.user is not None

    def challenged(
        self, reply: Reply, url: str, *, again: bool, left: int
    ) -> Steps[Outcome | None]:
        """Answer a 401 that came from ``url``: None once the request may be sent again.

        ``again``: the answer before was to the same request. ``left``: how often it may
        still be sent; with none left the challenge is judged and not answered.
        """
        attempt = self._attempt
        attempt.challenged = True
        challenges = parse_challenges(reply.headers_named("www-authenticate"))
        usable = next((c for c in challenges if c.scheme is not Scheme.DIGEST), None)
        held = self.authority(url)
        if usable is None:
            asked = "Digest" if challenges else "nothing known"
            return self._refused(f"it asks for {asked}")
        if usable.scheme is Scheme.BASIC:
            if held is not None and held.scheme is Scheme.BASIC:
                return self._refused()
            return self._basic(url, left)
        if usable.parameters.get("error"):
            # Told twice of the same request, whatever was sent with it (``invalidAuthorization``).
            if again:
                refused = "the token that it gave was not accepted"
                return attempt.fails(Cause.DENIED_OR_MISSING, refused)
        elif held is not None:
            # As long as it may, containerd sends again what it has; it never took up ours.
            return None if left and held is not self._taken else self._refused()
        if not usable.parameters.get("realm"):
            return attempt.fails(Cause.CHALLENGE_UNSUPPORTED, "its Bearer challenge names no realm")
        if not left:
            return self._refused(_TOO_LATE)
        return (yield from self._bearer(url, usable))

    def _refused(self, unanswered: str = "it takes no anonymous token") -> Outcome:
        """Return what a 401 means that stands: ``unanswered`` says why nothing was sent."""
        attempt = self._attempt
        if attempt.sent:
            outcome = attempt.fails(Cause.CREDENTIALS_REJECTED)
        elif self.own() is not None:
            outcome = attempt.fails(Cause.CREDENTIALS_MISSING, unanswered)
        else:
            outcome = attempt.fails(Cause.CHALLENGE_UNSUPPORTED, unanswered)
        return replace(outcome, answered=True)

    def withheld(self, url: str) -> str:
        """Say why the host of ``url`` gets no credential, empty where it may have it."""
        origin = origin_of(url)
        if origin is None or not self._attempt.registry.vouches_for(origin):
            return "a redirect led to another host, and that one asks for it"
        if origin.scheme != "https" and not self._may_go_plainly(origin):
            return "it would go over plain HTTP"
        return ""

    def _may_go_plainly(self, origin: Origin) -> bool:
        """Tell whether a password may go to ``origin``, which it may have, over plain HTTP.

        To a host of the registry where configuration says so of that very host; to a token
        service where the host that sends there is so. What holds on loopback ends there.
        """
        own = self._attempt.registry.at(origin)
        if own:
            return any(host.insecure for host in own)
        leaves = is_loopback(self._endpoint.host) and not is_loopback(origin.host)
        return self._endpoint.insecure and not leaves

    def _basic(self, url: str, left: int) -> Outcome | None:
        attempt = self._attempt
        if not attempt.has_password:
            return attempt.fails(Cause.CREDENTIALS_MISSING, "it wants a user and a password")
        if not left:
            return self._refused(_TOO_LATE)
        withheld = self.withheld(url)
        if withheld:
            return attempt.kept_back(withheld)
        if attempt.credential is not None:
            value, user = basic(attempt.credential), attempt.credential.username
            self._held[_host(url)] = Authority(Scheme.BASIC, value, user)
            attempt.sent = True
        return None

    def _bearer(self, url: str, challenge: Challenge) -> Steps[Outcome | None]:
        attempt = self._attempt
        realm = sendable(challenge.parameters["realm"])
        if realm is None:
            return attempt.fails(Cause.TOKEN_SERVICE_FAILING, "its realm is no http address")
        if "@" in challenge.parameters["realm"].partition("://")[2].partition("/")[0]:
            # Go's client would send that user there, where a request names none.
            return attempt.kept_back("its realm holds a user")
        withheld = self.withheld(url)
        if withheld and attempt.has_password:
            return attempt.kept_back(withheld)
        scopes = scopes_of(challenge, attempt.repository)
        service = challenge.parameters.get("service", "")
        credential = attempt.credential
        if credential is None or not attempt.has_password:
            return (yield from self._token(url, get_request(realm, service, scopes, None)))
        post = post_request(realm, service, scopes, credential)
        refusal = yield from self._token(url, post)
        if refusal is None or refusal.pull is Pull.UNKNOWN:
            return refusal
        if attempt.trail[-1].status in GET_AFTER_POST:
            get = get_request(realm, service, scopes, credential)
            return (yield from self._token(url, get))
        return refusal

    # -- tokens -------------------------------------------------------------------------

    def _token(self, url: str, request: TokenRequest) -> Steps[Outcome | None]:
        posted = request.method == "POST"
        reply = yield from self._asked_for_token(request)
        if isinstance(reply, Outcome):
            return reply
        if reply.status in (UNAUTHORIZED, FORBIDDEN) and self._misses_header(request.url):
            return self._attempt.header_kept_back()
        if not OK <= reply.status < ERRORS:
            return self._token_refused(reply.status)
        token = token_of(reply.body, posted=posted)
        if token is None and reply.truncated:
            why = "its token service says more than is read here"
            return self._attempt.fails(None).unknown(Cause.OVERLOADED, why)
        if token is None:
            why = "its token service gave no token"
            return self._attempt.fails(Cause.TOKEN_SERVICE_FAILING, why)
        credential = self._attempt.credential
        user = credential.username if request.is_secret and credential else None
        self._held[_host(url)] = Authority(
            Scheme.BEARER, f"Bearer {token.value}".rstrip(), user, token.seconds
        )
        return None

    def _misses_header(self, url: str) -> bool:
        return bool(self._endpoint.headers) and bool(self.withheld(url))

    def _asked_for_token(self, request: TokenRequest) -> Steps[Reply | Outcome]:
        """Send a token request; where it is redirected to is judged as the realm was."""
        attempt = self._attempt
        for _ in range(MAX_HOPS):
            refusal = self._realm_refusal(request)
            if refusal is not None:
                return refusal
            attempt.sent = attempt.sent or request.is_secret
            reply = yield from self._send(self._token_ask(request))
            if isinstance(reply, Trouble):
                if reply.cause is Cause.UNEXPECTED_STATUS:
                    return attempt.fails(Cause.TOKEN_SERVICE_FAILING, reply.detail)
                return attempt.troubled(reply)
            location = reply.header("location")
            if reply.status not in REDIRECTS or not location:
                return reply
            target = joined(request.url, location)
            if target is None:
                why = "its token service redirects to no http address"
                return attempt.fails(Cause.TOKEN_SERVICE_FAILING, why)
            request = _redirected(request, reply.status, target)
        return attempt.fails(Cause.REDIRECT_LOOP, "its token service redirects without end")

    def _token_ask(self, request: TokenRequest) -> Ask:
        credential = self._attempt.credential
        user = credential.username if request.is_secret and credential else None
        headers = [] if request.body is None else [("content-type", _FORM)]
        if request.authorization is not None:
            headers.append(("authorization", request.authorization))
        if not self.withheld(request.url):
            authorized = request.authorization is not None
            headers += self._endpoint.headers_beside(authorized=authorized)
        return Ask(request.method, request.url, tuple(headers), request.body, TOKEN_LIMIT, user)

    def _send(self, ask: Ask) -> Steps[Reply | Trouble]:
        named = self._attempt.registry.names(ask.url)
        trust = self._trust(ask.url, secret=ask.user is not None)
        reply = yield replace(ask, trust=trust, named=named)
        status = reply.status if isinstance(reply, Reply) else None
        trouble = reply.cause if isinstance(reply, Trouble) else None
        shown = shown_url(ask.url, own=False)
        self._attempt.trail.append(Exchanged(ask.method, shown, status, ask.user, trouble))
        return reply

    def _trust(self, url: str, *, secret: bool) -> Trust:
        """Return how a token service is dialled: as its registry, as containerd does it.

        Save that no password goes to another host whose certificate nobody looks at.
        """
        trust, origin = self._endpoint.trust, origin_of(url)
        own = origin is not None and self._attempt.registry.holds(origin)
        return replace(trust, verify=True) if secret and not own else trust

    def _realm_refusal(self, request: TokenRequest) -> Outcome | None:
        """Say why a token is not asked for there: what we refuse proves nothing of the pull."""
        origin = origin_of(request.url)
        if origin is None:
            why = "its realm is no http address"
            return self._attempt.fails(Cause.TOKEN_SERVICE_FAILING, why)
        if origin.scheme != "https" and not self._endpoint.insecure:
            return self._attempt.kept_back("its token service speaks plain HTTP")
        if request.is_secret and not self._attempt.registry.vouches_for(origin):
            why = "its token service is another host, which nobody vouches for"
            return self._attempt.kept_back(why)
        if request.is_secret and self.withheld(request.url):
            return self._attempt.kept_back("its token service speaks plain HTTP")
        return None

    def _token_refused(self, status: int) -> Outcome:
        attempt = self._attempt
        answered = f"its token service answered {status}"
        if status == TOO_MANY:
            return attempt.fails(Cause.TOO_MANY_REQUESTS, answered)
        if status not in (UNAUTHORIZED, FORBIDDEN):
            return attempt.fails(Cause.TOKEN_SERVICE_FAILING, answered)
        if not attempt.sent:
            return attempt.fails(Cause.CREDENTIALS_MISSING, f"{answered} to an anonymous request")
        if status == FORBIDDEN:
            return attempt.fails(Cause.PERMISSION_DENIED, answered)
        return attempt.fails(Cause.CREDENTIALS_REJECTED, answered)


def _host(url: str) -> str:
    """Return the key under which containerd keeps what it sends: the URL's host and port."""
    origin = origin_of(url)
    return "" if origin is None else f"{origin.scheme}://{origin.host}:{origin.port}"


def _redirected(request: TokenRequest, status: int, url: str) -> TokenRequest:
    """Return the request that Go's client makes of a redirect: a POST can become a GET."""
    if request.method == "POST" and status in _METHOD_LOST:
        return TokenRequest("GET", url)
    return replace(request, url=url)
