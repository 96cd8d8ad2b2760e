"""Every word that a person reads of a finding is made here.

A finding is told in three parts: what is wrong, how we know, and what mends it.
A denial prints all three; a warning has one line, so it says what is wrong and,
where there is room, what mends it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webhook.images.reference import Reference
from webhook.images.workloads import Place
from webhook.registry.outcome import Cause, Exchanged, Rule
from webhook.review.words import quoted, shell_word, shown
from webhook.rules.judge import Finding

WARNING_LIMIT = 256
"""Characters past which the API server may cut a warning."""


@dataclass(frozen=True, slots=True)
class Words:
    """One finding in words: ``what`` is a sentence without its full stop."""

    what: str
    known: str
    mend: str


def words(finding: Finding) -> Words:
    """Say one finding."""
    facts = _Facts(finding)
    what, mend = _SAID[finding.cause]
    return Words(what(facts), _known(finding, facts), mend(facts))


def warning(finding: Finding) -> str:
    """Say one finding on one line of at most :data:`WARNING_LIMIT` characters."""
    said = words(finding)
    image = "" if finding.secret else f" {shown(finding.judged.use.written, 100)}"
    head = f"{finding.field}{image}: {said.what}"
    tail = f" [{finding.cause.code}]"
    full = f"{head}; {said.mend}{tail}"
    if len(full) <= WARNING_LIMIT:
        return full
    return shown(head, WARNING_LIMIT - len(tail)) + tail


class _Facts:
    """What the sentences are made of, each fit to be shown."""

    def __init__(self, finding: Finding) -> None:
        judged = finding.judged
        reference = judged.use.reference
        parsed = reference if isinstance(reference, Reference) else None
        self.image = quoted(judged.use.written)
        self.detail = judged.outcome.detail
        self.host = shown(parsed.host) if parsed else ""
        self.repository = quoted(parsed.repository) if parsed else ""
        self.tag = quoted(parsed.tag or "") if parsed else ""
        self.digest = parsed.digest or "" if parsed else ""
        self.name = shown(parsed.name) if parsed else ""
        self.secret = quoted(finding.secret)
        self.namespace = shown(judged.pod.namespace)
        self.tags = judged.outcome.tags
        self.tag_count = judged.outcome.tag_count
        self.source = judged.outcome.source.removeprefix("secret/")
        self.tried = [c.source.removeprefix("secret/") for c in judged.credentials]
        self.named = [s.name for s in judged.pod.secrets]
        self.account = shown(judged.pod.account)
        self.spec = judged.pod.spec_field
        self.container = judged.use.container
        self.place = judged.use.place
        self.kind = judged.pod.kind
        self.object = shown(judged.pod.name)
        self.written_secret = finding.secret

    def new_secret(self, name: str) -> str:
        """Return the command that makes a pull secret, or makes it anew."""
        return (
            f"kubectl create secret docker-registry {shell_word(name)} -n "
            f"{shell_word(self.namespace)} --docker-server={shell_word(self.host)} "
            "--docker-username=USER --docker-password=PASSWORD"
        )

    def renew_secret(self, name: str) -> str:
        """Return the command that puts new content into a secret that is there."""
        return f"{self.new_secret(name)} --dry-run=client -o yaml | kubectl apply -f -"

    def set_image(self, tag: str) -> str:
        """Return the edit that names another tag."""
        return f"write {self.name}:{tag}"


Say = Callable[[_Facts], str]


def _tag_missing_what(f: _Facts) -> str:
    return f"{f.host} has {f.repository}, but no tag {f.tag}"


def _tag_missing_mend(f: _Facts) -> str:
    if f.tags:
        return f"{f.set_image(f.tags[0])} (near: {', '.join(f.tags)}), or push the tag"
    if f.tag_count == 0:
        return f"push {f.name} first: the repository holds no tag at all"
    return f"name a tag that is there, or push {f.name}:{f.tag.strip(chr(34))}"


def _missing_mend(f: _Facts) -> str:
    return f"correct the name, or push {shown(f.name)} first"


def _attach_secret(f: _Facts) -> str:
    if f.named:
        named = " or ".join(map(quoted, f.named))
        return f"give {named} an entry for it: {f.renew_secret(f.named[0])}"
    return (
        f"{f.new_secret('regcred')}, then name it under {f.spec}.imagePullSecrets: "
        "[{name: regcred}]"
    )


def _renew(f: _Facts) -> str:
    name = f.source or next(iter(f.tried), "regcred")
    return f.renew_secret(name)


def _denied_what(f: _Facts) -> str:
    if f.tried:
        return f"{f.host} does not show {f.repository} to this user, or has no such image"
    return f"{f.host} does not show {f.repository} without credentials, or has no such image"


def _denied_mend(f: _Facts) -> str:
    if f.tried:
        return f"check the name, and let the user of {quoted(f.tried[0])} pull it"
    return f"check the name; if it is private: {_attach_secret(f)}"


def _network(what: str) -> tuple[Say, Say]:
    return (
        lambda f: f"{f.host} {what}",
        lambda f: f"see that {f.host} is up and can be reached from the nodes",
    )


def _constant(text: str) -> Say:
    return lambda _: text


_UNDECIDED_MEND = _constant("nothing to mend in the manifest; apply again to have it checked")

_SAID: Mapping[Cause, tuple[Say, Say]] = {
    Cause.REFERENCE_MALFORMED: (
        lambda f: f"{f.image} is no image reference: {f.detail}",
        _constant("write it as [registry/]repository[:tag][@digest], without http:// or spaces"),
    ),
    Cause.REFERENCE_UPPERCASE: (
        lambda f: f"{f.image} is no image reference: a repository's name is in lower case",
        _constant("write the repository in lower case (only tags may hold capitals)"),
    ),
    Cause.DIGEST_MALFORMED: (
        lambda f: f"{f.image} holds a malformed digest: {f.detail}",
        _constant("copy the whole digest: sha256: and 64 lower-case hexadecimal digits"),
    ),
    Cause.DIGEST_UNSUPPORTED: (
        lambda f: f"{f.image} holds a digest of an algorithm that no runtime knows",
        _constant("use the image's sha256 digest"),
    ),
    Cause.ADDRESS_INVALID: (
        lambda f: f"{f.host} cannot be dialled: {f.detail}",
        _constant("correct the registry's address"),
    ),
    Cause.MANIFEST_UNKNOWN: (
        lambda f: f"{f.host} has no image {f.repository} with tag {f.tag}",
        _missing_mend,
    ),
    Cause.REPOSITORY_NOT_FOUND: (
        lambda f: f"{f.host} has no repository {f.repository}",
        _missing_mend,
    ),
    Cause.TAG_NOT_FOUND: (_tag_missing_what, _tag_missing_mend),
    Cause.DIGEST_NOT_FOUND: (
        lambda f: f"{f.host} has no image {f.repository} with digest {f.digest}",
        _constant("take the digest of an image that is there, or push it again"),
    ),
    Cause.CREDENTIALS_MISSING: (
        lambda f: f"{f.host} wants credentials for {f.repository}, and the pod has none for it",
        _attach_secret,
    ),
    Cause.CREDENTIALS_REJECTED: (
        lambda f: f"{f.host} refuses the user or password of {quoted(f.source or f.host)}",
        _renew,
    ),
    Cause.CREDENTIALS_EXPIRED: (
        lambda f: f"the credentials of {quoted(f.source or f.host)} have expired",
        _renew,
    ),
    Cause.PERMISSION_DENIED: (
        lambda f: f"the user of {quoted(f.source or f.host)} may not pull {f.repository}",
        lambda f: f"let that user pull {f.name}, or name a secret of another user",
    ),
    Cause.DENIED_OR_MISSING: (_denied_what, _denied_mend),
    Cause.CREDENTIAL_UNDECODABLE: (
        lambda f: (
            f"pull secret {quoted(f.source)} cannot be decoded ({f.detail}): "
            "the kubelet then pulls no image of the pod"
        ),
        _renew,
    ),
    Cause.MEDIA_TYPE_UNSUPPORTED: (
        lambda f: f"{f.image} is nothing that containerd can unpack: {f.detail}",
        _constant("push it as an OCI or Docker v2 image"),
    ),
    Cause.DIGEST_MISMATCH: (
        lambda f: f"{f.host} gives other bytes for {f.image} than their digest: {f.detail}",
        _constant("push the image again"),
    ),
    Cause.MANIFEST_MALFORMED: (
        lambda f: f"the manifest of {f.image} cannot be read: {f.detail}",
        _constant("push the image again"),
    ),
    Cause.MANIFEST_TOO_LARGE: (
        lambda f: f"the manifest of {f.image} is too large for containerd: {f.detail}",
        _constant("push a smaller manifest"),
    ),
    Cause.DNS_NOT_FOUND: (
        lambda f: f"there is no host {f.host}",
        _constant("correct the registry's name"),
    ),
    Cause.REFUSED: _network("refuses connections"),
    Cause.TIMEOUT: _network("does not answer"),
    Cause.RESET: _network("breaks connections off"),
    Cause.DNS_FAILING: _network("cannot be looked up: the name service does not answer"),
    Cause.SERVER_ERROR: (
        lambda f: f"{f.host} is failing: {f.detail}",
        lambda f: f"see to {f.host}; the kubelet will try again",
    ),
    Cause.UNEXPECTED_STATUS: (
        lambda f: f"{f.host} does not answer as a registry: {f.detail}",
        _constant("correct the registry's address"),
    ),
    Cause.CHALLENGE_UNSUPPORTED: (
        lambda f: f"{f.host} asks for a login that containerd cannot give: {f.detail}",
        _constant("let the registry ask for Basic or Bearer"),
    ),
    Cause.PLAIN_HTTP: (
        lambda f: f"{f.host} speaks plain HTTP, and containerd asks in https",
        _constant("give it a certificate, or configure it as insecure on every node and here"),
    ),
    Cause.TOKEN_SERVICE_FAILING: (
        lambda f: f"{f.host} gives no token: {f.detail}",
        lambda f: f"see to the token service of {f.host}",
    ),
    Cause.REDIRECT_LOOP: (
        lambda f: f"{f.host} redirects without end",
        lambda f: f"see to {f.host}",
    ),
    Cause.CERTIFICATE_UNKNOWN_AUTHORITY: (
        lambda f: f"the certificate of {f.host} is of an authority that is not known",
        _constant("give its CA to every node, and to RegistryConfig (registries[].ca)"),
    ),
    Cause.CERTIFICATE_EXPIRED: (
        lambda f: f"the certificate of {f.host} is out of its time",
        lambda f: f"renew the certificate of {f.host}",
    ),
    Cause.CERTIFICATE_WRONG_NAME: (
        lambda f: f"the certificate of {f.host} names other hosts",
        lambda f: f"use a name of the certificate, or issue one for {f.host}",
    ),
    Cause.TLS_FAILING: (
        lambda f: f"no TLS connection to {f.host} comes about",
        lambda f: f"see to the TLS settings of {f.host}",
    ),
    Cause.TOO_MANY_REQUESTS: (
        lambda f: f"{f.host} limits requests for now: {f.detail}",
        _constant("pull with an account of a higher limit, or from a mirror"),
    ),
    Cause.DEADLINE: (
        lambda f: f"{f.host} did not answer in time ({f.detail})",
        _UNDECIDED_MEND,
    ),
    Cause.OVERLOADED: (
        lambda _: "not checked: too many reviews wait on registries",
        _UNDECIDED_MEND,
    ),
    Cause.SECRET_UNREADABLE: (
        lambda f: f"not checked with credentials: {f.detail}",
        _constant("allow it in the RBAC of pullproof"),
    ),
    Cause.CLUSTER_UNAVAILABLE: (
        lambda f: f"not checked with credentials: {f.detail}",
        _UNDECIDED_MEND,
    ),
    Cause.CREDENTIAL_WITHHELD: (
        lambda f: f"not decided: the credentials for {f.host} were not sent, {f.detail}",
        _constant("name that host under tokenServices of its registry, if it is to have them"),
    ),
    Cause.EGRESS_REFUSED: (
        lambda f: f"not checked: {f.host} is not dialled from here, {f.detail}",
        _constant("name host and port under egress.allow, if they are to be asked"),
    ),
    Cause.NODE_CREDENTIALS_UNDECLARED: (
        lambda f: f"{f.host} refuses the pod's credentials; {f.detail}",
        _constant("declare nodeCredentials, if nodes hold none"),
    ),
    Cause.SECRET_NOT_FOUND: (
        lambda f: f"pull secret {f.secret} does not exist in namespace {f.namespace}",
        lambda f: (
            f"kubectl create secret docker-registry {shell_word(f.written_secret)} "
            f"-n {shell_word(f.namespace)} …"
        ),
    ),
    Cause.SERVICE_ACCOUNT_NOT_FOUND: (
        lambda f: f"service account {f.secret} does not exist in namespace {f.namespace}",
        lambda f: (
            f"kubectl create serviceaccount {shell_word(f.account)} -n {shell_word(f.namespace)}"
        ),
    ),
    Cause.SECRET_WRONG_TYPE: (
        lambda f: f"secret {f.secret} is no pull secret: the kubelet ignores one of its type",
        _constant("make it with: kubectl create secret docker-registry"),
    ),
    Cause.SECRET_MALFORMED: (
        lambda f: f"pull secret {f.secret} holds no docker config: the kubelet ignores it",
        _constant("make it with: kubectl create secret docker-registry"),
    ),
    Cause.SECRET_NO_ENTRY: (
        lambda f: f"pull secret {f.secret} has no entry for {f.name}",
        lambda f: f"add an entry for {f.host}",
    ),
    Cause.TAG_LATEST: (
        _constant('tag "latest" can change under you'),
        _constant("name a version or a digest"),
    ),
    Cause.TAG_MISSING: (
        _constant('without a tag, "latest" is pulled, which can change under you'),
        _constant("name a version or a digest"),
    ),
    Cause.TAG_MUTABLE: (
        lambda f: f"tag {f.tag} can change under you",
        _constant("name a version or a digest"),
    ),
    Cause.DIGEST_REQUIRED: (
        _constant("the policy wants a digest"),
        lambda f: f"write {f.name}@sha256:…",
    ),
    Cause.NEVER_PULLED: (
        _constant("imagePullPolicy is Never, and no node is known to hold the image"),
        _constant("load it on every node, or use IfNotPresent"),
    ),
    Cause.ALWAYS_PULL: (
        _constant("each start of the container depends on the registry"),
        _constant("use imagePullPolicy: IfNotPresent"),
    ),
    Cause.REGISTRY_NOT_ALLOWED: (
        lambda f: f"the policy does not allow images of {f.name}",
        _constant("use an image of an allowed registry"),
    ),
}


def is_said(cause: Cause) -> bool:
    """Tell whether there are words for a cause: those that this version can find."""
    return cause in _SAID


def _known(finding: Finding, facts: _Facts) -> str:
    """Say how we know: the last request of the registry, and with whose credentials."""
    if finding.rule is Rule.INVALID_REFERENCE:
        return "the grammar of image references decides, as in the kubelet"
    if finding.cause is Cause.CREDENTIAL_UNDECODABLE:
        return f"secret {quoted(facts.source)} of namespace {facts.namespace} was read just now"
    if finding.rule is Rule.PULL_SECRET:
        return f"namespace {facts.namespace} was read just now"
    decisive = _decisive(finding)
    if decisive is None:
        return facts.detail
    if decisive.status is None:
        return f"{decisive.method} {shown(decisive.url)} got no answer ({facts.detail})"
    answer = f"{decisive.method} {shown(decisive.url)} answered {decisive.status}"
    return f"{answer} {_as(finding, decisive, facts)}"


def _decisive(finding: Finding) -> Exchanged | None:
    """Return the last request for the manifest itself; a token service's address is not told."""
    requests = finding.judged.outcome.requests
    manifests = [r for r in requests if "/manifests/" in r.url or "/blobs/" in r.url]
    return manifests[-1] if manifests else None


def _as(finding: Finding, request: Exchanged, facts: _Facts) -> str:
    if request.user:
        return f"to user {quoted(request.user, 60)} of {quoted(facts.source)}"
    if facts.source:
        return f"and asked for a login; {facts.detail or 'that was refused'}"
    if finding.judged.outcome.before_credentials:
        return "and asked for no credentials"
    return f"to a request without credentials{f' ({facts.detail})' if facts.detail else ''}"


def heading(kind: str, namespace: str, name: str, count: int) -> str:
    """Return the first line of a denial."""
    images = "1 image" if count == 1 else f"{count} images"
    where = f"{shown(namespace)}/{shown(name)}" if name else f"in namespace {shown(namespace)}"
    return f"{images} of {kind} {where} cannot be used"


def paragraph(finding: Finding) -> str:
    """Say one finding in full, on lines of its own."""
    said = words(finding)
    use = finding.judged.use
    container = "" if use.place is Place.VOLUME else f" (container {quoted(use.container, 63)})"
    lines = [
        f"{finding.field}: {shown(use.written)}{container}",
        f"  wrong: {said.what} [{finding.cause.code} {finding.cause}]",
        f"  known: {said.known}",
        f"  mend:  {said.mend}",
    ]
    return "\n".join(lines)
