"""Requests to one host for one pull: redirects, challenges, retries; no I/O here.

The rules are those of containerd 2.4 (``core/remotes/docker/resolver.go``:
``doWithRetries``) over Go's HTTP client.
"""

import re
from dataclasses import dataclass, replace

from webhook.images.reference import split_port
from webhook.registry.attempt import FORBIDDEN, NO_METHOD, TOO_MANY, UNAUTHORIZED, Attempt
from webhook.registry.authorizer import MAX_HOPS, REDIRECTS, Authorizer
from webhook.registry.endpoint import Endpoint
from webhook.registry.manifest import ACCEPT
from webhook.registry.outcome import Cause, Exchanged, Outcome
from webhook.registry.urls import (
    LONGEST_NAME,
    is_address,
    joined,
    origin_of,
    sendable,
    shown_url,
)
from webhook.registry.wire import Ask, Reply, Steps, Trouble

MAX_ATTEMPTS = 5
"""How often containerd sends one request, whatever makes it send it again."""

_LENGTH = re.compile(r"0*([0-9]{1,19})", re.ASCII)
_HTTPS = 443
_FOUR_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+){3}", re.ASCII)
_NO_SUCH_HOST = Trouble(Cause.DNS_NOT_FOUND, "no such host")
_AGAIN = frozenset({408, TOO_MANY})
_ONCE_MORE = frozenset({500, 503, 504})
"""Sent again to the last host alone, unless the same came twice."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something of the repository: ``kind`` is ``manifests`` or ``blobs``."""

    method: str
    kind: str
    what: str
    limit: int = 0
    accept: str = ACCEPT
    explains: bool = False
    unpacks: tuple[str, ...] = ("gzip",)


class Session:
    """``last``: no other host is asked after this one, so that containerd tries harder."""

    def __init__(self, attempt: Attempt, endpoint: Endpoint, *, last: bool = True) -> None:
        self.endpoint = endpoint
        self.authorizer = Authorizer(attempt, endpoint)
        self._attempt = attempt
        self._last = last
        self._plain = ""

    def request(self, wanted: Wanted) -> Steps[Reply | Outcome]:
        """Send one request until there is an answer that no other try would change.

        An :class:`Outcome` is what Go would call an error: there is no answer.
        """
        status, same = 0, ""
        left = MAX_ATTEMPTS
        while True:
            left -= 1
            reply, url = yield from self._sent(wanted)
            if isinstance(reply, Trouble):
                if reply.ended and self._last and left:
                    continue
                return self._attempt.troubled(reply)
            before, status = status, reply.status
            again, same = same == f"{wanted.method} {url}", f"{wanted.method} {url}"
            if self._misses_header(status):
                return self._attempt.header_kept_back()
            if status == UNAUTHORIZED:
                refusal = yield from self.authorizer.challenged(reply, url, again=again, left=left)
                if refusal is not None:
                    return refusal
            elif status == NO_METHOD and wanted.method == "HEAD" and wanted.kind == "manifests":
                wanted = replace(wanted, method="GET", limit=max(wanted.limit, 1))
            elif status not in _AGAIN and not self._once_more(status, before):
                return reply
            if not left:
                return reply

    def _once_more(self, status: int, before: int) -> bool:
        return self._last and status in _ONCE_MORE and status != before

    def _misses_header(self, status: int) -> bool:
        others = not self._attempt.own_host and self.endpoint.has_headers_for_others
        return others and status in (UNAUTHORIZED, FORBIDDEN)

    def glance(self, wanted: Wanted) -> Steps[Reply | None]:
        """Ask for what only explains, with the authority at hand; None for no good answer."""
        came = (self._attempt.challenged, self._attempt.own_host)
        reply, _ = yield from self._sent(replace(wanted, explains=True))
        self._attempt.challenged, self._attempt.own_host = came
        return reply if isinstance(reply, Reply) else None

    # -- one request with its redirects ------------------------------------------------------

    def _sent(self, wanted: Wanted) -> Steps[tuple[Reply | Trouble, str]]:
        """Send one request and follow its redirects; what authorises stays with its host."""
        attempt = self._attempt
        url = sendable(self.endpoint.url(attempt.repository, wanted.kind, wanted.what))
        if url is None:
            if len(split_port(self.endpoint.host)[0]) > LONGEST_NAME:
                return _NO_SUCH_HOST, ""
            return Trouble(Cause.ADDRESS_INVALID, "its address can never be dialled"), ""
        start = origin_of(url)
        ask = Ask(
            wanted.method,
            url,
            limit=wanted.limit,
            explains=wanted.explains,
            unpacks=wanted.unpacks,
        )
        for hop in range(MAX_HOPS):
            attempt.own_host = origin_of(url) == start
            headers, user = [("accept", wanted.accept)], None
            authority = self.authorizer.authority(url)
            if authority is not None:
                headers.append(("authorization", authority.value))
                user = authority.user
            if attempt.own_host:
                headers += self.endpoint.headers_beside(authorized=authority is not None)
            reply = yield from self._one(
                # What a redirect asks for was not written by us, on the same host either.
                replace(ask, url=url, headers=tuple(headers), user=user),
                own=hop == 0,
            )
            location = reply.header("location") if isinstance(reply, Reply) else ""
            if isinstance(reply, Trouble) or reply.status not in REDIRECTS or not location:
                return reply, url
            target = joined(url, location)
            if target is None:
                return Trouble(Cause.UNEXPECTED_STATUS, "it redirects to no http address"), url
            url = target
        return Trouble(Cause.REDIRECT_LOOP, f"more than {MAX_HOPS - 1} redirects"), url

    def _one(self, ask: Ask, *, own: bool) -> Steps[Reply | Trouble]:
        """Send one request, in plain HTTP where this host turned out to speak that alone."""
        reply = yield from self._traced(self._as_plain(ask), own=own)
        if isinstance(reply, Trouble) and self._falls_back(ask, reply):
            self._plain = _host(ask.url)
            reply = yield from self._traced(self._as_plain(ask), own=own)
        return reply

    def _falls_back(self, ask: Ask, trouble: Trouble) -> bool:
        """Tell whether plain HTTP is tried instead (``NewHTTPFallback`` of containerd)."""
        if not self.endpoint.fall_back or not ask.url.startswith("https:"):
            return False
        if self._plain == _host(ask.url):
            return False
        if trouble.cause is Cause.PLAIN_HTTP:
            return True
        # Without a port another scheme is another port, which may be open.
        origin = origin_of(ask.url)
        return trouble.cause is Cause.REFUSED and origin is not None and origin.port == _HTTPS

    def _as_plain(self, ask: Ask) -> Ask:
        if not self._plain or self._plain != _host(ask.url):
            return ask
        rest = ask.url.partition("://")[2]
        if split_port(self.endpoint.host)[1] and origin_of(ask.url) == self.endpoint.origin:
            # A port that is written stays, also the one that https can leave out.
            host = _host(ask.url)
            port = "" if split_port(host)[1] else f":{_HTTPS}"
            rest = f"{host}{port}{rest[len(host) :]}"
        return replace(ask, url=f"http://{rest}")

    def _traced(self, ask: Ask, *, own: bool) -> Steps[Reply | Trouble]:
        if ask.user is not None and not self._attempt.own_host:
            # A redirect led here: that its host is to be had plainly, the peer alone says.
            withheld = self.authorizer.withheld(ask.url)
            if withheld:
                return Trouble(Cause.EGRESS_REFUSED, withheld)
        named = self._attempt.registry.names(ask.url)
        reply: Reply | Trouble | None = _certain(ask.url)
        if reply is None:
            reply = yield replace(ask, trust=self.endpoint.trust, named=named)
        status = reply.status if isinstance(reply, Reply) else None
        trouble = reply.cause if isinstance(reply, Trouble) else None
        shown = shown_url(ask.url, own=own)
        self._attempt.trail.append(Exchanged(ask.method, shown, status, ask.user, trouble))
        return reply


def _certain(url: str) -> Trouble | None:
    """Return what comes of dialling ``url`` where that is known: only URL parsers fear these.

    A number like 0177.0.0.1 is an address to others, and to Go a name that nobody has.
    """
    origin = origin_of(url)
    if origin is None:
        return None
    if _FOUR_NUMBERS.fullmatch(origin.host) and not is_address(origin.host):
        return _NO_SUCH_HOST
    return Trouble(Cause.REFUSED, "nobody can listen at port 0") if origin.port == 0 else None


def _host(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def length_of(reply: Reply) -> int | None:
    """Return the length that an answer tells, None where it tells none."""
    if "chunked" in reply.header("transfer-encoding").lower():
        return None
    length = _LENGTH.fullmatch(reply.header("content-length"))
    return int(length[1]) if length else None
