"""The sentences of every cause: what is wrong, and what mends it.

``what`` and ``mend`` stand in a denial, which has room. ``brief`` and ``quick``
stand in a warning, whose one line begins with the field and the image: they do
not repeat those, and leave out what does not fit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webhook.registry.outcome import Cause
from webhook.review import mends, quotas
from webhook.review.subject import Subject
from webhook.review.words import quoted, shell_word

Say = Callable[[Subject], str]


@dataclass(frozen=True, slots=True)
class Said:
    """The sentences of one cause; without a full stop, since others may follow."""

    what: Say
    mend: Say
    brief: Say
    quick: Say


def _say(what: Say | str, mend: Say | str, brief: Say | str = "", quick: Say | str = "") -> Said:
    said = _of(what), _of(mend)
    return Said(*said, _of(brief) if brief else said[0], _of(quick) if quick else said[1])


def _of(text: Say | str) -> Say:
    return (lambda _: text) if isinstance(text, str) else text


# -- networks, undecided --------------------------------------------------------------------


def _network(what: str, mend: str = "") -> Said:
    return _say(
        lambda s: f"{s.host} {what}",
        lambda s: mend or f"check the name {s.host}, and that the nodes can reach it",
        lambda s: f"{s.host} {what}",
        "check that nodes can reach it",
    )


def _with_detail(text: str) -> Say:
    return lambda s: f"{text}: {s.detail}" if s.detail else text


_AGAIN = "nothing in the manifest needs a change; apply it again to have it checked"
_AGAIN_SHORT = "apply again to check it"
_PIN = "name a version or a digest"


def _renewed(why: Say, brief: Say) -> Said:
    return _say(why, Subject.renew_credential, brief, "put a working one into the secret")


SENTENCES: Mapping[Cause, Said] = {
    Cause.REFERENCE_MALFORMED: _say(
        lambda s: f"{s.image} is not an image reference ({s.detail})",
        mends.malformed_mend,
        lambda s: f"not an image reference ({s.detail})",
    ),
    Cause.REFERENCE_UPPERCASE: _say(
        lambda s: f"{s.image} has a capital letter in its repository, which must be lower case",
        mends.lower_case,
        "the repository must be lower case",
    ),
    Cause.DIGEST_MALFORMED: _say(
        lambda s: f"the digest of {s.image} is malformed ({s.detail})",
        'copy the whole digest: "sha256:" and 64 lower-case hexadecimal digits',
        lambda s: f"malformed digest ({s.detail})",
    ),
    Cause.DIGEST_UNSUPPORTED: _say(
        lambda s: f"the digest of {s.image} is of an algorithm that no container runtime knows",
        "use the image's sha256 digest",
        "no container runtime knows this digest's algorithm",
    ),
    Cause.ADDRESS_INVALID: _say(
        lambda s: f"{s.host} is no address that can be called ({s.detail})",
        "correct the registry's host and port",
        lambda s: f"the registry's address is wrong ({s.detail})",
    ),
    Cause.MANIFEST_UNKNOWN: _say(
        lambda s: f"{s.host} has no image {s.repository} with tag {quoted(s.tag)}",
        lambda s: f"check name and tag, or push {s.name}:{s.tag}",
        "the registry has no such image",
        "check name and tag",
    ),
    Cause.REPOSITORY_NOT_FOUND: _say(
        lambda s: f"{s.host} has no repository {s.repository}",
        lambda s: f"correct the name, or push {s.name}:{s.tag} first",
        "the registry has no such repository",
        "correct the name, or push it",
    ),
    Cause.TAG_NOT_FOUND: _say(
        lambda s: f"{s.host} has {s.repository}, but no tag {quoted(s.tag)}",
        mends.tag_mend,
        lambda s: f"the repository has no tag {quoted(s.tag)}",
        mends.tag_quick,
    ),
    Cause.DIGEST_NOT_FOUND: _say(
        lambda s: f"{s.host} has no image {s.repository} with digest {s.digest}",
        "use the digest of an image that is there, or push that image again",
        "the registry has no image with this digest",
        "use one that is there",
    ),
    Cause.CREDENTIALS_MISSING: _say(
        lambda s: f"{s.host} wants a login for {s.repository}, and {mends.no_login(s)}",
        Subject.attach_secret,
        lambda s: f"needs a login, and {mends.no_login(s)}",
        mends.name_a_secret,
    ),
    Cause.CREDENTIALS_REJECTED: _renewed(
        lambda s: f"{s.host} rejects the login of {s.login}",
        lambda s: f"the login of {s.login} is rejected",
    ),
    Cause.CREDENTIALS_EXPIRED: _renewed(
        lambda s: f"the password of {s.login} for {s.host} has expired",
        lambda s: f"the password of {s.login} has expired",
    ),
    Cause.PERMISSION_DENIED: _say(
        lambda s: f"{s.login} may not pull {s.repository} from {s.host}",
        lambda s: f"let that user pull {s.name}, or use a secret of a user who may",
        lambda s: f"{s.login} may not pull it",
        "let that user pull it",
    ),
    Cause.DENIED_OR_MISSING: _say(
        mends.denied_what,
        mends.denied_mend,
        "refused: it is private, or does not exist",
        "check the name",
    ),
    Cause.CREDENTIAL_UNDECODABLE: _say(
        lambda s: (
            f"pull secret {quoted(s.outcome.source.partition('/')[2], 80)}{s.broken_entry} cannot "
            f"be decoded ({s.detail}): the kubelet then pulls no image of the pod at all"
        ),
        Subject.renew_credential,
        lambda s: f"{s.sent} cannot be decoded ({s.detail}), so no image of the pod is pulled",
        "recreate it",
    ),
    Cause.MEDIA_TYPE_UNSUPPORTED: _say(
        lambda s: f"{s.image} is nothing that a node can run: {s.detail}",
        "push it as an OCI or Docker image (schema 2)",
        lambda s: f"nothing that a node can run: {s.detail}",
        "push it as an OCI image",
    ),
    Cause.DIGEST_MISMATCH: _say(
        lambda s: f"what {s.host} sends for {s.image} is not what its digest says ({s.detail})",
        "push the image again; if that does not help, the registry's storage is damaged",
        "what the registry sends does not match its digest",
        "push it again",
    ),
    Cause.MANIFEST_MALFORMED: _say(
        lambda s: f"the manifest of {s.image} cannot be read ({s.detail})",
        "push the image again",
        lambda s: f"its manifest cannot be read ({s.detail})",
    ),
    Cause.MANIFEST_TOO_LARGE: _say(
        lambda s: f"the manifest of {s.image} is larger than containerd reads ({s.detail})",
        "push an image with a smaller manifest (4 MiB at most)",
        lambda s: f"its manifest is larger than containerd reads ({s.detail})",
    ),
    Cause.BLOB_MISSING: _say(
        _with_detail("a layer of the image is gone from the registry"),
        "push the image again",
    ),
    Cause.PLATFORM_NONE: _say(
        _with_detail("the image is built for none of the platforms of your nodes"),
        lambda s: (
            f"docker buildx build --platform=OS/ARCH --push -t {shell_word(s.name + ':' + s.tag)} ."
        ),
        _with_detail("built for none of your nodes' platforms"),
        "build it for theirs",
    ),
    Cause.PLATFORM_SOME: _say(
        _with_detail("the image is built for some of your nodes' platforms only"),
        "build it for the others too, or select nodes by the label kubernetes.io/arch",
        _with_detail("built for some of your nodes' platforms only"),
        "select nodes by kubernetes.io/arch",
    ),
    Cause.HOST_MISSPELLED: _say(
        lambda s: f"there is no host {s.host} ({s.detail or 'it looks misspelt'})",
        mends.meant_host,
    ),
    Cause.DNS_NOT_FOUND: _say(
        lambda s: f"there is no host {s.host}",
        "correct the registry's name",
    ),
    Cause.REFUSED: _network("refuses connections"),
    Cause.TIMEOUT: _network("does not answer"),
    Cause.RESET: _network("breaks connections off"),
    Cause.DNS_FAILING: _network("cannot be looked up: DNS does not answer"),
    Cause.SERVER_ERROR: _say(
        lambda s: f"{s.host} is failing ({s.detail})",
        lambda s: f"wait for {s.host} to recover; the kubelet tries again",
        lambda s: f"the registry is failing ({s.detail})",
        "the kubelet tries again",
    ),
    Cause.UNEXPECTED_STATUS: _say(
        lambda s: f"{s.host} does not answer like a registry ({s.detail})",
        "correct the registry's address",
    ),
    Cause.CHALLENGE_UNSUPPORTED: _say(
        lambda s: f"{s.host} asks for a login of a kind that containerd cannot give ({s.detail})",
        "let the registry ask for Basic or Bearer",
        lambda s: f"asks for a login that containerd cannot give ({s.detail})",
    ),
    Cause.PLAIN_HTTP: _say(
        lambda s: f"{s.host} speaks plain HTTP, and containerd speaks HTTPS to it",
        "give it a certificate, or set it up as plain HTTP on every node (hosts.toml) and here",
        "speaks plain HTTP, and containerd HTTPS",
        "give it a certificate",
    ),
    Cause.TOKEN_SERVICE_FAILING: _say(
        lambda s: f"the token service of {s.host} is failing ({s.detail})",
        lambda s: f"wait for the token service of {s.host} to recover; the kubelet tries again",
        lambda s: f"its token service is failing ({s.detail})",
        "the kubelet tries again",
    ),
    Cause.REDIRECT_LOOP: _say(
        lambda s: f"{s.host} redirects without end",
        lambda s: f"correct the redirects of {s.host}",
    ),
    Cause.CERTIFICATE_UNKNOWN_AUTHORITY: _say(
        lambda s: f"the certificate of {s.host} is signed by an authority that is not trusted here",
        "give its CA to every node, and to pullproof (RegistryConfig: registries[].ca)",
        "the registry's certificate is not trusted here",
        "give its CA to nodes and to pullproof",
    ),
    Cause.CERTIFICATE_EXPIRED: _say(
        lambda s: f"the certificate of {s.host} has expired, or does not hold yet",
        lambda s: f"renew the certificate of {s.host}",
    ),
    Cause.CERTIFICATE_WRONG_NAME: _say(
        lambda s: f"the certificate of {s.host} is for other hosts",
        lambda s: f"use a name that the certificate holds, or issue one for {s.host}",
    ),
    Cause.TLS_FAILING: _say(
        lambda s: f"no TLS connection to {s.host} can be made",
        lambda s: f"correct the TLS settings of {s.host}",
    ),
    Cause.TOO_MANY_REQUESTS: _say(
        lambda s: f"{s.host} limits requests at the moment ({s.detail})",
        "pull with an account of a higher limit, or from a mirror",
        lambda s: f"the registry limits requests at the moment ({s.detail})",
        "log in, or use a mirror",
    ),
    Cause.QUOTA_TOO_SMALL: Said(quotas.what, quotas.mend, quotas.brief, quotas.quick),
    Cause.DEADLINE: _say(
        lambda s: f"not checked: {s.host} did not answer in time",
        _AGAIN,
        "not checked: the registry did not answer in time",
        _AGAIN_SHORT,
    ),
    Cause.OVERLOADED: _say(
        "not checked: too many reviews wait for registries", _AGAIN, "", _AGAIN_SHORT
    ),
    Cause.SECRET_UNREADABLE: _say(
        lambda s: f"not checked with the pod's credentials: {s.detail}",
        "let pullproof's service account get secrets and serviceaccounts",
        "",
        "whoever runs pullproof can allow it",
    ),
    Cause.CLUSTER_UNAVAILABLE: _say(mends.unavailable, _AGAIN, "", _AGAIN_SHORT),
    Cause.PROVIDER_FAILING: _say(
        _with_detail("not checked with the node's credentials: a credential provider failed here"),
        _AGAIN,
        "",
        _AGAIN_SHORT,
    ),
    Cause.CREDENTIAL_WITHHELD: _say(
        lambda s: f"not checked: the credentials were not sent, since {s.detail}",
        "if that host may have them: RegistryConfig, registries[].tokenServices",
        "",
        "see tokenServices",
    ),
    Cause.EGRESS_REFUSED: _say(
        lambda s: f"not checked: pullproof does not call {s.host} ({s.detail})",
        "if it may: RegistryConfig, egress.allow, host and port",
        lambda s: f"not checked: pullproof does not call this address ({s.detail})",
        "whoever runs pullproof can allow it (egress.allow)",
    ),
    Cause.NODE_CREDENTIALS_UNDECLARED: _say(
        lambda s: f"{s.host} refuses what the pod has; the nodes may have credentials of their own",
        "if nodes have none: RegistryConfig, nodeCredentials: none",
        "refused to the pod; the nodes may have credentials of their own",
        "see nodeCredentials",
    ),
    Cause.RUNTIME_UNKNOWN: _say(
        _with_detail("not checked: some of its nodes may do otherwise"),
        "nothing in the manifest needs a change",
    ),
    Cause.SECRET_NOT_FOUND: _say(
        lambda s: f"there is no secret {s.secret} in namespace {s.namespace}",
        mends.create_named,
        lambda s: f"there is no secret {s.secret} in namespace {s.namespace}",
        mends.create_or_not,
    ),
    Cause.SERVICE_ACCOUNT_NOT_FOUND: _say(
        lambda s: f"there is no service account {s.secret} in namespace {s.namespace}",
        lambda s: (
            f"kubectl create serviceaccount {shell_word(s.finding.secret)} "
            f"-n {shell_word(s.judged.pod.namespace)}"
        ),
        "",
        "create it, or correct its name",
    ),
    Cause.SECRET_IN_OTHER_NAMESPACE: _say(
        lambda s: f"secret {s.secret} is in another namespace, and pods cannot use it from there",
        lambda s: f"copy it into namespace {s.namespace}",
    ),
    Cause.SECRET_WRONG_TYPE: _say(
        lambda s: f"secret {s.secret} is of type {s.secret_type}: the kubelet ignores it here",
        Subject.attach_secret,
        "",
        mends.other_type,
    ),
    Cause.SECRET_MALFORMED: _say(
        lambda s: f"secret {s.secret} has no content of its type: the kubelet ignores it",
        lambda s: s.renewed_secret(s.finding.secret, force=True),
        "",
        "create it anew",
    ),
    Cause.SECRET_NO_ENTRY: _say(
        lambda s: f"secret {s.secret} has no entry for {s.name}",
        Subject.attach_secret,
        "",
        "add one",
    ),
    Cause.EXPIRES_SOON: _say(
        _with_detail("the pull credential expires soon"), "renew it before it does"
    ),
    Cause.TOKEN_OLD: _say(
        _with_detail("the token in the pull secret is older than such tokens last"), "renew it"
    ),
    Cause.TAG_LATEST: _say('tag "latest" can change at any time', _PIN),
    Cause.TAG_MISSING: _say('no tag means "latest", which can change at any time', _PIN),
    Cause.TAG_MUTABLE: _say(lambda s: f"tag {quoted(s.tag)} can change at any time", _PIN),
    Cause.DIGEST_REQUIRED: _say(
        "the policy wants a digest",
        lambda s: (
            f"write {s.name}@{s.outcome.digest}"
            if s.outcome.digest
            else f"write {s.name}@sha256:DIGEST"
        ),
        "",
        "name one",
    ),
    Cause.NEVER_PULLED: _say(
        mends.never_what, mends.never_mend, mends.never_brief, mends.never_quick
    ),
    Cause.ALWAYS_PULL: _say(
        "imagePullPolicy is Always: each start of the container needs the registry",
        "write imagePullPolicy: IfNotPresent",
    ),
    Cause.DIGEST_CHANGED: _say(
        _with_detail("the tag stands for another image than the one that runs"),
        "deploy again, or name the digest",
    ),
    Cause.SIZE_OVER_LIMIT: _say(
        _with_detail("the image is too large"), "make the image smaller", _with_detail("too large")
    ),
    Cause.NODE_TOO_SMALL: _say(
        _with_detail("the image is too large for a node that may run it"),
        "make the image smaller, or select larger nodes",
        _with_detail("too large for a node"),
        "select larger nodes",
    ),
    Cause.REGISTRY_NOT_ALLOWED: _say(
        lambda s: f"the policy does not allow images of {s.name}",
        "use an image that the policy allows (rule registry-not-allowed, allow)",
        "the policy does not allow this image",
        "use one of an allowed registry",
    ),
}
