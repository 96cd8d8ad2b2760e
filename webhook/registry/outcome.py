"""The words in which every layer speaks of an image: rules, causes, outcomes.

The whole tree. A *rule* is what a policy sets an action for, a *cause* is what
was found; each cause has a code that is assigned once and never given again::

    invalid-reference      the name itself cannot be pulled: nobody is asked
      PP-001 reference-malformed    PP-002 reference-uppercase   PP-003 digest-malformed
      PP-004 digest-unsupported     PP-005 address-invalid
    image-not-found        the registry says 404
      PP-101 manifest-unknown       PP-102 repository-not-found  PP-103 tag-not-found
      PP-104 digest-not-found
    pull-denied            the registry (or the kubelet) refuses the credentials
      PP-201 credentials-missing    PP-202 credentials-rejected  PP-203 credentials-expired
      PP-204 permission-denied      PP-205 denied-or-missing     PP-206 credential-undecodable
    image-unusable         what is there cannot be unpacked
      PP-301 media-type-unsupported PP-302 digest-mismatch       PP-303 manifest-malformed
      PP-304 manifest-too-large     PP-305 blob-missing
    platform-mismatch      not built for the nodes
      PP-401 platform-none          PP-402 platform-some
    registry-misspelled    PP-501 host-misspelled
    registry-not-found     PP-502 dns-not-found
    registry-unavailable   no registry answered as a registry does
      PP-511 refused                PP-512 timeout               PP-513 reset
      PP-514 dns-failing            PP-515 server-error          PP-516 unexpected-status
      PP-517 challenge-unsupported  PP-518 plain-http            PP-519 token-service-failing
      PP-520 redirect-loop
    registry-untrusted     its certificate does not hold
      PP-531 certificate-unknown-authority   PP-532 certificate-expired
      PP-533 certificate-wrong-name          PP-534 tls-failing
    rate-limited           PP-541 too-many-requests     PP-542 quota-too-small
    undecided              we cannot know, and say so
      PP-601 deadline               PP-602 overloaded            PP-603 secret-unreadable
      PP-604 cluster-unavailable    PP-605 provider-failing      PP-606 credential-withheld
      PP-607 egress-refused         PP-608 node-credentials-undeclared
      PP-609 runtime-unknown
    pull-secret            what the pod names as its secret will not serve
      PP-701 secret-not-found       PP-702 service-account-not-found
      PP-703 secret-in-other-namespace   PP-704 secret-wrong-type
      PP-705 secret-malformed       PP-706 secret-no-entry
    credential-expiring    PP-711 expires-soon          PP-712 token-old
    mutable-tag            PP-801 tag-latest            PP-802 tag-missing
                           PP-803 tag-mutable           PP-804 digest-required
    never-pulled           PP-811 never-pulled
    always-pull            PP-812 always-pull
    tag-drift              PP-813 digest-changed
    image-too-large        PP-821 size-over-limit       PP-822 node-too-small
    registry-not-allowed   PP-831 registry-not-allowed
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from webhook.images.platform import Platform
from webhook.registry.quota import Quota


class Rule(StrEnum):
    """What a policy sets an action for."""

    INVALID_REFERENCE = "invalid-reference"
    IMAGE_NOT_FOUND = "image-not-found"
    PULL_DENIED = "pull-denied"
    IMAGE_UNUSABLE = "image-unusable"
    PLATFORM_MISMATCH = "platform-mismatch"
    REGISTRY_MISSPELLED = "registry-misspelled"
    REGISTRY_NOT_FOUND = "registry-not-found"
    REGISTRY_UNAVAILABLE = "registry-unavailable"
    REGISTRY_UNTRUSTED = "registry-untrusted"
    RATE_LIMITED = "rate-limited"
    UNDECIDED = "undecided"
    PULL_SECRET = "pull-secret"  # noqa: S105  # a rule's name
    CREDENTIAL_EXPIRING = "credential-expiring"
    MUTABLE_TAG = "mutable-tag"
    NEVER_PULLED = "never-pulled"
    ALWAYS_PULL = "always-pull"
    TAG_DRIFT = "tag-drift"
    IMAGE_TOO_LARGE = "image-too-large"
    REGISTRY_NOT_ALLOWED = "registry-not-allowed"


class Cause(StrEnum):
    """What was found, in the order of the tree above."""

    code: str
    rule: Rule

    def __new__(cls, name: str, code: str, rule: Rule) -> "Cause":
        member = str.__new__(cls, name)
        member._value_ = name
        member.code = code
        member.rule = rule
        return member

    REFERENCE_MALFORMED = "reference-malformed", "PP-001", Rule.INVALID_REFERENCE
    REFERENCE_UPPERCASE = "reference-uppercase", "PP-002", Rule.INVALID_REFERENCE
    DIGEST_MALFORMED = "digest-malformed", "PP-003", Rule.INVALID_REFERENCE
    DIGEST_UNSUPPORTED = "digest-unsupported", "PP-004", Rule.INVALID_REFERENCE
    ADDRESS_INVALID = "address-invalid", "PP-005", Rule.INVALID_REFERENCE

    MANIFEST_UNKNOWN = "manifest-unknown", "PP-101", Rule.IMAGE_NOT_FOUND
    REPOSITORY_NOT_FOUND = "repository-not-found", "PP-102", Rule.IMAGE_NOT_FOUND
    TAG_NOT_FOUND = "tag-not-found", "PP-103", Rule.IMAGE_NOT_FOUND
    DIGEST_NOT_FOUND = "digest-not-found", "PP-104", Rule.IMAGE_NOT_FOUND

    CREDENTIALS_MISSING = "credentials-missing", "PP-201", Rule.PULL_DENIED
    CREDENTIALS_REJECTED = "credentials-rejected", "PP-202", Rule.PULL_DENIED
    CREDENTIALS_EXPIRED = "credentials-expired", "PP-203", Rule.PULL_DENIED
    PERMISSION_DENIED = "permission-denied", "PP-204", Rule.PULL_DENIED
    DENIED_OR_MISSING = "denied-or-missing", "PP-205", Rule.PULL_DENIED
    CREDENTIAL_UNDECODABLE = "credential-undecodable", "PP-206", Rule.PULL_DENIED

    MEDIA_TYPE_UNSUPPORTED = "media-type-unsupported", "PP-301", Rule.IMAGE_UNUSABLE
    DIGEST_MISMATCH = "digest-mismatch", "PP-302", Rule.IMAGE_UNUSABLE
    MANIFEST_MALFORMED = "manifest-malformed", "PP-303", Rule.IMAGE_UNUSABLE
    MANIFEST_TOO_LARGE = "manifest-too-large", "PP-304", Rule.IMAGE_UNUSABLE
    BLOB_MISSING = "blob-missing", "PP-305", Rule.IMAGE_UNUSABLE

    PLATFORM_NONE = "platform-none", "PP-401", Rule.PLATFORM_MISMATCH
    PLATFORM_SOME = "platform-some", "PP-402", Rule.PLATFORM_MISMATCH

    HOST_MISSPELLED = "host-misspelled", "PP-501", Rule.REGISTRY_MISSPELLED
    DNS_NOT_FOUND = "dns-not-found", "PP-502", Rule.REGISTRY_NOT_FOUND

    REFUSED = "refused", "PP-511", Rule.REGISTRY_UNAVAILABLE
    TIMEOUT = "timeout", "PP-512", Rule.REGISTRY_UNAVAILABLE
    RESET = "reset", "PP-513", Rule.REGISTRY_UNAVAILABLE
    DNS_FAILING = "dns-failing", "PP-514", Rule.REGISTRY_UNAVAILABLE
    SERVER_ERROR = "server-error", "PP-515", Rule.REGISTRY_UNAVAILABLE
    UNEXPECTED_STATUS = "unexpected-status", "PP-516", Rule.REGISTRY_UNAVAILABLE
    CHALLENGE_UNSUPPORTED = "challenge-unsupported", "PP-517", Rule.REGISTRY_UNAVAILABLE
    PLAIN_HTTP = "plain-http", "PP-518", Rule.REGISTRY_UNAVAILABLE
    TOKEN_SERVICE_FAILING = "token-service-failing", "PP-519", Rule.REGISTRY_UNAVAILABLE
    REDIRECT_LOOP = "redirect-loop", "PP-520", Rule.REGISTRY_UNAVAILABLE

    CERTIFICATE_UNKNOWN_AUTHORITY = (
        "certificate-unknown-authority",
        "PP-531",
        Rule.REGISTRY_UNTRUSTED,
    )
    CERTIFICATE_EXPIRED = "certificate-expired", "PP-532", Rule.REGISTRY_UNTRUSTED
    CERTIFICATE_WRONG_NAME = "certificate-wrong-name", "PP-533", Rule.REGISTRY_UNTRUSTED
    TLS_FAILING = "tls-failing", "PP-534", Rule.REGISTRY_UNTRUSTED

    TOO_MANY_REQUESTS = "too-many-requests", "PP-541", Rule.RATE_LIMITED
    QUOTA_TOO_SMALL = "quota-too-small", "PP-542", Rule.RATE_LIMITED

    DEADLINE = "deadline", "PP-601", Rule.UNDECIDED
    OVERLOADED = "overloaded", "PP-602", Rule.UNDECIDED
    SECRET_UNREADABLE = "secret-unreadable", "PP-603", Rule.UNDECIDED
    CLUSTER_UNAVAILABLE = "cluster-unavailable", "PP-604", Rule.UNDECIDED
    PROVIDER_FAILING = "provider-failing", "PP-605", Rule.UNDECIDED
    CREDENTIAL_WITHHELD = "credential-withheld", "PP-606", Rule.UNDECIDED
    EGRESS_REFUSED = "egress-refused", "PP-607", Rule.UNDECIDED
    NODE_CREDENTIALS_UNDECLARED = "node-credentials-undeclared", "PP-608", Rule.UNDECIDED
    RUNTIME_UNKNOWN = "runtime-unknown", "PP-609", Rule.UNDECIDED

    SECRET_NOT_FOUND = "secret-not-found", "PP-701", Rule.PULL_SECRET
    SERVICE_ACCOUNT_NOT_FOUND = "service-account-not-found", "PP-702", Rule.PULL_SECRET
    SECRET_IN_OTHER_NAMESPACE = "secret-in-other-namespace", "PP-703", Rule.PULL_SECRET
    SECRET_WRONG_TYPE = "secret-wrong-type", "PP-704", Rule.PULL_SECRET
    SECRET_MALFORMED = "secret-malformed", "PP-705", Rule.PULL_SECRET
    SECRET_NO_ENTRY = "secret-no-entry", "PP-706", Rule.PULL_SECRET

    EXPIRES_SOON = "expires-soon", "PP-711", Rule.CREDENTIAL_EXPIRING
    TOKEN_OLD = "token-old", "PP-712", Rule.CREDENTIAL_EXPIRING

    TAG_LATEST = "tag-latest", "PP-801", Rule.MUTABLE_TAG
    TAG_MISSING = "tag-missing", "PP-802", Rule.MUTABLE_TAG
    TAG_MUTABLE = "tag-mutable", "PP-803", Rule.MUTABLE_TAG
    DIGEST_REQUIRED = "digest-required", "PP-804", Rule.MUTABLE_TAG

    NEVER_PULLED = "never-pulled", "PP-811", Rule.NEVER_PULLED
    ALWAYS_PULL = "always-pull", "PP-812", Rule.ALWAYS_PULL
    DIGEST_CHANGED = "digest-changed", "PP-813", Rule.TAG_DRIFT

    SIZE_OVER_LIMIT = "size-over-limit", "PP-821", Rule.IMAGE_TOO_LARGE
    NODE_TOO_SMALL = "node-too-small", "PP-822", Rule.IMAGE_TOO_LARGE
    REGISTRY_NOT_ALLOWED = "registry-not-allowed", "PP-831", Rule.REGISTRY_NOT_ALLOWED


class Pull(StrEnum):
    """Whether the pull would go through, whatever a policy makes of it."""

    OK = "ok"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One request and what came of it; ``url`` is fit to be shown.

    ``status`` is None where no answer came: ``trouble`` then says why. ``user`` is the
    name that was sent along, None for an anonymous request.
    """

    method: str
    url: str
    status: int | None
    user: str | None = None
    trouble: Cause | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the pull of one image comes to, with the evidence.

    ``digest`` is what a tag gave. ``detail`` is a phrase for the message, free of
    anything that a registry wrote. ``before_credentials``: the refusal came to a
    request without credentials that was never challenged, so none would have
    helped. ``own_host``: the registry's own host gave the last answer, not the
    target of a redirect. ``tags`` are near names for a tag that is not there;
    ``platforms`` is what an index offers, None where nobody looked. ``judged_for`` are the
    platforms that it was judged for, ``unserved`` those of them that it is not built for:
    a single manifest is pulled all the same. ``sizes`` are the bytes of the compressed
    layers for each platform that takes some, empty where they were not learnt.
    ``older_take``: containerd before 2.1 may take another entry or form of it than the
    newest does.
    ``source`` names the credential that was last sent. ``answered``: it is a 401 that
    nothing was left to say to, an answer to containerd and no error. ``unheard``: a host that a
    hosts.toml puts before the last gave no answer, so that a node may fare otherwise.
    ``by_hosts_file``: a hosts.toml says how its registry is reached, which not every
    runtime reads.
    ``quota`` is how many pulls were left when the name was resolved, None: not told.
    ``asked_at`` is when the last request that it rests on was sent, on the monotonic
    clock in seconds.
    """

    pull: Pull
    cause: Cause | None = None
    digest: str | None = None
    detail: str = ""
    requests: tuple[Exchanged, ...] = ()
    before_credentials: bool = False
    own_host: bool = True
    tags: tuple[str, ...] = ()
    tag_count: int | None = None
    platforms: tuple[str, ...] | None = None
    judged_for: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    sizes: tuple[tuple[Platform, int], ...] = ()
    older_take: bool = False
    source: str = ""
    answered: bool = False
    unheard: bool = False
    by_hosts_file: bool = False
    quota: Quota | None = None
    asked_at: float = 0.0

    def unknown(self, cause: Cause, detail: str) -> "Outcome":
        """Return the same evidence with "we cannot know" as its conclusion."""
        return replace(self, pull=Pull.UNKNOWN, cause=cause, detail=detail)


def decided(cause: Cause, detail: str = "") -> Outcome:
    """Return the outcome of a pull that fails before anybody is asked."""
    return Outcome(Pull.FAILS, cause, detail=detail)


NETWORK_RULES = frozenset(
    {Rule.REGISTRY_NOT_FOUND, Rule.REGISTRY_UNAVAILABLE, Rule.REGISTRY_UNTRUSTED, Rule.RATE_LIMITED}
)
"""What a node may see otherwise, since it asks from another place."""
