"""Which of our causes are right for what the real parts said: a pure function of their words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.differential.runtimes import Failure, Pulled

_NOT_FOUND = frozenset(
    {"tag-not-found", "repository-not-found", "manifest-unknown", "digest-not-found"}
)


@dataclass(frozen=True)
class Evidence:
    """What the text does not tell: whether a credential matched, and whether one was sent.

    `fetched`: the root manifest was got by its digest. `sent` and `fetched` are None where
    nobody counted (a real registry).
    """

    matched: bool
    sent: bool | None
    fetched: bool | None = None


def right_causes(pulled: Pulled, sent: bool | None, fetched: bool | None = None) -> frozenset[str]:
    """Return every cause that would be right; empty where nobody taught us the text."""
    evidence = Evidence(pulled.matched > 0, sent, fetched)
    found: frozenset[str] = frozenset()
    for failure in pulled.errors:
        found |= _of_one(pulled.stage, failure, evidence)
    return found


def _of_one(stage: str, failure: Failure, evidence: Evidence) -> frozenset[str]:
    if stage == "parse":
        return _first(_PARSE, failure.message) or frozenset({"reference-malformed"})
    if stage == "keyring":
        return frozenset({"credential-undecodable"})
    if stage != "pull":
        return frozenset()
    told = _first(_PULL, failure.message)
    if told & {"blob-missing"} and "could not fetch content descriptor" in failure.message:
        # A root of a useless media type is looked for among the blobs, and is not there.
        if evidence.fetched is False:
            return frozenset({"media-type-unsupported"})
        return told - {"media-type-unsupported"} if evidence.fetched else told
    if told:
        return told
    for status in re.findall(
        r"unexpected status[^:]*(?::? from [^:]+)?.*?: (\d{3})\b", failure.message
    ):
        return _of_status(int(status), failure.message, evidence)
    if "server message: " in failure.message:
        return frozenset(
            {"denied-or-missing"} | (set() if evidence.matched else {"credentials-missing"})
        )
    return frozenset()


def _of_status(status: int, message: str, evidence: Evidence) -> frozenset[str]:
    token = "failed to authorize" in message or "failed to fetch" in message
    if status == 429:
        return frozenset({"too-many-requests"})
    if token:
        anonymous = not evidence.matched or "failed to fetch anonymous token" in message
        return _of_token_status(status, anonymous=anonymous)
    if status == 401:
        return _unauthorized(evidence)
    if status == 403:
        # Only what was refused with a credential at hand shows that the credential may not.
        if evidence.sent is False:
            return frozenset({"denied-or-missing"})
        sent = frozenset({"permission-denied", "credentials-expired"})
        return sent if evidence.sent and evidence.matched else sent | {"denied-or-missing"}
    if status == 404:
        return _NOT_FOUND
    return frozenset({"server-error" if status >= 500 else "unexpected-status"})


def _of_token_status(status: int, *, anonymous: bool) -> frozenset[str]:
    if status not in (401, 403):
        return frozenset({"token-service-failing"})
    if anonymous:
        return frozenset({"credentials-missing"})
    if status == 403:
        return frozenset({"permission-denied", "credentials-expired"})
    return frozenset({"credentials-rejected", "credentials-expired"})


def _unauthorized(evidence: Evidence) -> frozenset[str]:
    if evidence.sent is False:
        return frozenset({"challenge-unsupported"})
    rejected = frozenset({"credentials-rejected", "credentials-expired"})
    if evidence.sent and evidence.matched:
        return rejected
    return frozenset({"credentials-missing", "challenge-unsupported"}) | (
        rejected if evidence.matched else frozenset()
    )


def _first(table: Iterable[tuple[str, tuple[str, ...]]], message: str) -> frozenset[str]:
    for pattern, causes in table:
        if re.search(pattern, message, re.DOTALL):
            return frozenset(causes)
    return frozenset()


_PARSE = (
    (r"repository name \(?.*\)? ?must be lowercase|must be lowercase", ("reference-uppercase",)),
    (r"invalid checksum digest", ("digest-malformed",)),
    (r"unsupported digest algorithm", ("digest-unsupported",)),
)

_PROXY = ("unexpected-status",)
_PROXY_FAILS = ("server-error",)

# The first that fits; what is written first in a message is not always what is specific.
_PULL: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r'(Post|Get) "": unsupported protocol scheme ""', ("challenge-unsupported",)),
    (
        r"unable to decode token response|invalid token auth challenge realm"
        r"|invalid header field value for \"Authorization\""
        r"|failed to authorize: .*"
        r"(unsupported protocol scheme|no Host in request URL|failed to parse Location"
        r"|invalid port)",
        ("token-service-failing",),
    ),
    (
        r"failed to parse Location header|unsupported protocol scheme|no Host in request URL"
        # How 1.7 puts a host without a name; 2.4 goes on to the next.
        r"|missing protocol scheme"
        r"|gzip: invalid|flate: corrupt|magic number mismatch|unsupported Content-Encoding",
        ("unexpected-status",),
    ),
    (r"x509: certificate signed by unknown authority", ("certificate-unknown-authority",)),
    (r"x509: certificate has expired or is not yet valid", ("certificate-expired",)),
    (
        r"x509: (certificate is (not )?valid for|cannot validate certificate for"
        r"|certificate is not valid for any names|certificate relies on legacy Common Name)",
        ("certificate-wrong-name",),
    ),
    (r"server gave HTTP response to HTTPS client", ("plain-http",)),
    (r"x509: |tls: |remote error: tls", ("tls-failing",)),
    (r"stopped after 10 redirects", ("redirect-loop",)),
    # "dummy" is the scheme with which containerd splits the host off a reference.
    (
        r'parse "dummy:|invalid port|invalid URL escape|missing port|too many colons',
        ("address-invalid",),
    ),
    (r"lookup \S+( on \S+)?: no such host", ("dns-not-found", "host-misspelled")),
    # A folder of certs.d is looked for by every name, also by one that no DNS can hold.
    (r"certs\.d/\S+: file name too long", ("dns-not-found", "address-invalid")),
    # Without a server's address it was the dial's own time that ended.
    (r"lookup \S+: i/o timeout", ("dns-failing", "timeout")),
    # A dial's own limit can end the look-up too, and the words are the same.
    (r"lookup \S+( on \S+)?: i/o timeout", ("dns-failing", "timeout")),
    (r"lookup \S+( on \S+)?: ", ("dns-failing",)),
    # Faults of hosts.toml: nobody is asked.
    (r"unable to (read|load) CA cert|unable to read CERT file", ("tls-failing",)),
    (r"failed to load X509 key pair|hosts\.toml: is a directory", ("tls-failing",)),
    (r"net/http: invalid header field", ("reset",)),
    (r"connection refused|no route to host|network is unreachable", ("refused",)),
    (r"unable to decode token response|did not include a token", ("token-service-failing",)),
    (r"no realm specified", ("challenge-unsupported",)),
    (r"no basic auth credentials", ("credentials-missing",)),
    (
        r"schema 1 image manifests are no longer supported"
        r"|media type \"?\S+\"? is no longer supported"
        r"|prettyjws not supported|schema 1 not supported|no processor for media-type"
        r"|target\.MediaType must be set|: no signatures$",
        ("media-type-unsupported",),
    ),
    (r"unexpected media type \S+ for sha\d+:", ("media-type-unsupported",)),
    # protobuf takes no such text: the credential never reaches the runtime.
    (r"string field contains invalid UTF-8", ("credential-undecodable",)),
    (r"no match for platform", ("platform-none",)),
    (
        r"get image (config descriptor|compressed resource size): content digest \S+: not found",
        ("platform-none",),
    ),
    (
        r'wrong diff id "\S+" calculated on extraction "(?!sha256:[a-f0-9]{64}")',
        ("digest-mismatch", "manifest-malformed"),
    ),
    # A proxy that does not let us through is quoted by its status' text alone.
    (r'failed to do request: \w+ "[^"]*": (Proxy Authentication Required|Forbidden)$', _PROXY),
    (r'failed to do request: \w+ "[^"]*": (Not Found|Found|Bad Request)$', _PROXY),
    (r'failed to do request: \w+ "[^"]*": (Bad Gateway|Service Unavailable)$', _PROXY_FAILS),
    (r"short read|failed to read expected number of bytes", ("digest-mismatch", "reset")),
    (
        r"unexpected commit digest|unexpected commit size|failed size validation"
        r"|read past expected size|wrong diff id|failed to extract layer",
        ("digest-mismatch",),
    ),
    (
        r"could not fetch content descriptor (?!sha(256|384|512):[a-f0-9]{64})\S* ?\("
        r"|content at \S+/manifests(/(?!sha(256|384|512):[a-f0-9]{64})\S*)? not found",
        ("manifest-malformed", "blob-missing"),
    ),
    (r"could not fetch content descriptor", ("blob-missing", "media-type-unsupported")),
    # The root by the digest that HEAD gave, or a child.
    (
        r"content at \S+/manifests/\S+ not found",
        ("blob-missing", "digest-not-found", "manifest-unknown"),
    ),
    (r"content at \S+ not found", ("blob-missing",)),
    (r"rejecting \d+ byte manifest|exceeds maximum", ("manifest-too-large",)),
    (
        r"invalid character|cannot unmarshal|unexpected end of JSON|invalid desc"
        r"|parsing time|Time\.UnmarshalJSON"
        r"|number of layers and diffIDs don't match"
        r"|reports content size of zero|negative content size|in header not a valid digest"
        r"|mismatched image rootfs",
        ("manifest-malformed",),
    ),
    (
        r"i/o timeout|TLS handshake timeout|timeout awaiting response headers"
        r"|context deadline exceeded|Client\.Timeout",
        ("timeout",),
    ),
    (
        r"connection reset by peer|broken pipe|: EOF|unexpected EOF|server closed idle connection"
        r"|chunk length|malformed HTTP|server sent|transport connection broken",
        ("reset",),
    ),
    (r"(?<!descriptor)[^\n]*: not found$", tuple(sorted(_NOT_FOUND))),
)
