"""What each cause means in general, and what mends it.

``known`` stands where the rule's own word is not enough.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from webhook.registry.outcome import Cause


@dataclass(frozen=True, slots=True)
class Meaning:
    """One cause for somebody who has never met it."""

    means: str
    mend: str
    known: str = ""


_PUSH = "Push the image again."
_REACH = "Check the registry's name, that it is up, and that the nodes can reach it."
_RENEW = (
    "Put a working user and password into the secret: kubectl create secret docker-registry NAME "
    "-n NAMESPACE --docker-server=HOST --docker-username=USER --docker-password=PASSWORD "
    "--dry-run=client -o yaml | kubectl apply -f - (this drops its entries for other registries)."
)
_NAME = (
    "kubectl create secret docker-registry NAME -n NAMESPACE --docker-server=HOST "
    "--docker-username=USER --docker-password=PASSWORD, and name it under imagePullSecrets of the "
    "pod or of its service account. For Docker Hub, HOST is https://index.docker.io/v1/."
)
_AGAIN = "Nothing in the manifest; apply it again to have it checked."
_PIN = "Name a version, or better a digest: NAME@sha256:DIGEST."
_QUOTA = "Pull with an account of a higher limit, from a mirror, or later."
_SMALLER = "Make the image smaller"

MEANINGS: Mapping[Cause, Meaning] = {
    Cause.REFERENCE_MALFORMED: Meaning(
        "The text is no image reference; the kubelet says InvalidImageName.",
        "Write [REGISTRY/]REPOSITORY[:TAG][@DIGEST], without https://, spaces or variables.",
    ),
    Cause.REFERENCE_UPPERCASE: Meaning(
        "The repository has a capital letter; only host and tag may have some.",
        "Write the repository in lower case.",
    ),
    Cause.DIGEST_MALFORMED: Meaning(
        "The digest has the wrong length, or capital letters.",
        'Copy the whole digest: "sha256:" and 64 lower-case hexadecimal digits.',
    ),
    Cause.DIGEST_UNSUPPORTED: Meaning(
        "The digest's algorithm is none of sha256, sha384 and sha512.",
        "Use the image's sha256 digest.",
    ),
    Cause.ADDRESS_INVALID: Meaning(
        "The registry's port or IPv6 address cannot exist.",
        "Correct the registry's host and port.",
    ),
    Cause.MANIFEST_UNKNOWN: Meaning(
        "The registry has no such image; it does not say whether repository or tag is missing.",
        "Check name and tag, or push the image.",
    ),
    Cause.REPOSITORY_NOT_FOUND: Meaning(
        "The registry has no such repository.", "Correct the name, or push the image first."
    ),
    Cause.TAG_NOT_FOUND: Meaning(
        "The repository is there, the tag is not: never pushed, or deleted since.",
        "Name a tag that is there, or push the tag.",
    ),
    Cause.DIGEST_NOT_FOUND: Meaning(
        "The repository has no image with that digest.",
        "Use the digest of an image that is there, or push that image again.",
    ),
    Cause.CREDENTIALS_MISSING: Meaning(
        "The registry wants a login, and no pull secret of the pod has one for this image.",
        _NAME,
        "The registry answered 401, and no anonymous token was given or accepted.",
    ),
    Cause.CREDENTIALS_REJECTED: Meaning(
        "The registry does not accept the user or password of the pull secret.",
        _RENEW,
        "The registry or its token service answered 401 to the credential. It is sent once, and "
        "not again for a minute, so that no account is locked.",
    ),
    Cause.CREDENTIALS_EXPIRED: Meaning(
        "The token in the pull secret has expired.", _RENEW, "The registry says that it expired."
    ),
    Cause.PERMISSION_DENIED: Meaning(
        "The registry knows the user, and does not let them pull this image.",
        "Let that user read the repository, or use a secret of a user who may.",
        "The registry or its token service answered 403 after the credential was sent.",
    ),
    Cause.DENIED_OR_MISSING: Meaning(
        "The registry refuses the image and does not say whether it is private or missing.",
        "Check the name; if it is private, name a pull secret of a user who may pull it.",
        "403 to the first request, or 401 although a token was granted.",
    ),
    Cause.CREDENTIAL_UNDECODABLE: Meaning(
        "One entry of a pull secret cannot be decoded. The kubelet then pulls no image of the "
        "pod at all, public ones included.",
        _RENEW,
        "The secret was decoded as the kubelet does it.",
    ),
    Cause.MEDIA_TYPE_UNSUPPORTED: Meaning(
        "What is there is neither an OCI nor a Docker (schema 2) image.",
        "Push it as an OCI or Docker image.",
    ),
    Cause.DIGEST_MISMATCH: Meaning(
        "The bytes that the registry sends do not match their digest.",
        "Push the image again; if that does not help, the registry's storage is damaged.",
    ),
    Cause.MANIFEST_MALFORMED: Meaning("The manifest cannot be read.", _PUSH),
    Cause.MANIFEST_TOO_LARGE: Meaning(
        "The manifest is larger than the 4 MiB that containerd reads.",
        "Push an image with a smaller manifest.",
    ),
    Cause.BLOB_MISSING: Meaning(
        "A layer or config that the manifest names is gone; nodes that have it may still start.",
        _PUSH,
        "The registry answered 404 for it (depth: whole).",
    ),
    Cause.PLATFORM_NONE: Meaning(
        "The image is built for none of the nodes that may run the pod.",
        "Build it for them: docker buildx build --platform=OS/ARCH --push -t IMAGE .",
    ),
    Cause.PLATFORM_SOME: Meaning(
        "The image is built for some of the nodes only; on the others it fails.",
        "Build it for the others too, or select nodes by the label kubernetes.io/arch.",
    ),
    Cause.HOST_MISSPELLED: Meaning(
        "The registry's host does not exist, and looks like a typing error.",
        "Correct the registry's name.",
    ),
    Cause.DNS_NOT_FOUND: Meaning(
        "The registry's host does not exist.", "Correct the registry's name."
    ),
    Cause.REFUSED: Meaning("The registry's host refuses connections.", _REACH),
    Cause.TIMEOUT: Meaning("The registry did not answer within containerd's own limits.", _REACH),
    Cause.RESET: Meaning("The registry breaks connections off.", _REACH),
    Cause.DNS_FAILING: Meaning("DNS did not answer, so the host was not found.", _REACH),
    Cause.SERVER_ERROR: Meaning(
        "The registry answers 5xx.", "Wait for it to recover; the kubelet tries again."
    ),
    Cause.UNEXPECTED_STATUS: Meaning(
        "Something answers there that is no registry.", "Correct the registry's address."
    ),
    Cause.CHALLENGE_UNSUPPORTED: Meaning(
        "The registry asks for a login of a kind that containerd does not know (Digest, "
        "Negotiate), or does not say where to log in.",
        "Let the registry ask for Basic or Bearer.",
    ),
    Cause.PLAIN_HTTP: Meaning(
        "The registry speaks plain HTTP, and containerd speaks HTTPS to it.",
        "Give it a certificate; or set it up as plain HTTP on every node (hosts.toml), and in "
        "RegistryConfig (registries[].plainHTTP).",
    ),
    Cause.TOKEN_SERVICE_FAILING: Meaning(
        "The registry's token service gives no token, for reasons of its own.",
        "Wait for it to recover; the kubelet tries again.",
    ),
    Cause.REDIRECT_LOOP: Meaning(
        "The registry redirects more than ten times.", "Correct the registry's redirects."
    ),
    Cause.CERTIFICATE_UNKNOWN_AUTHORITY: Meaning(
        "The certificate is signed by an authority that is not trusted here.",
        "Give its CA to every node, and to pullproof (RegistryConfig: registries[].ca).",
    ),
    Cause.CERTIFICATE_EXPIRED: Meaning(
        "The certificate has expired, or does not hold yet.", "Renew the certificate."
    ),
    Cause.CERTIFICATE_WRONG_NAME: Meaning(
        "The certificate is for other hosts.",
        "Use a name that the certificate holds, or issue one for this host.",
    ),
    Cause.TLS_FAILING: Meaning(
        "No TLS connection can be made.", "Correct the registry's TLS settings."
    ),
    Cause.TOO_MANY_REQUESTS: Meaning("The registry answers 429: too many requests.", _QUOTA),
    Cause.QUOTA_TOO_SMALL: Meaning(
        "Fewer pulls are left in the registry's quota than this rollout starts: one for each image "
        "on each node that may run a pod and does not list the image.",
        "Name a pull secret of an account with a higher limit, pull through a mirror, or start "
        "fewer pods at a time (replicas, maxSurge).",
        "The answer to the HEAD that finds the image has it in the header ratelimit-remaining. "
        "Anonymous pulls are counted by the address that they come from, pullproof's here: nodes "
        "with public addresses of their own have a quota each.",
    ),
    Cause.DEADLINE: Meaning("The registry did not answer in the time that the review has.", _AGAIN),
    Cause.OVERLOADED: Meaning("Too many reviews were waiting for registries.", _AGAIN),
    Cause.SECRET_UNREADABLE: Meaning(
        "A pull secret or service account may not be read, so the login is not known.",
        "Let pullproof's service account get secrets and serviceaccounts in that namespace.",
    ),
    Cause.CLUSTER_UNAVAILABLE: Meaning(
        "The cluster did not answer, so the pod's pull secrets are not known.", _AGAIN
    ),
    Cause.PROVIDER_FAILING: Meaning(
        "A credential provider of the nodes failed when it was run here.",
        "Run the provider by hand, and correct its configuration.",
    ),
    Cause.CREDENTIAL_WITHHELD: Meaning(
        "The registry wants the credential to go to another host or over plain HTTP; containerd "
        "would send it there, pullproof does not.",
        "If that host may have it, name it in RegistryConfig: registries[].tokenServices.",
    ),
    Cause.EGRESS_REFUSED: Meaning(
        "The registry's address is one that pullproof does not call (metadata services, loopback, "
        "what egress denies).",
        "If it may be called, name host and port in RegistryConfig: egress.allow.",
    ),
    Cause.NODE_CREDENTIALS_UNDECLARED: Meaning(
        "The registry refuses the pod's credentials, and the nodes may have some of their own.",
        "If nodes have none: RegistryConfig, nodeCredentials: none.",
        "It is a cloud's registry (ECR, Artifact Registry, GCR, ACR), or nodeCredentials: files.",
    ),
    Cause.RUNTIME_UNKNOWN: Meaning(
        "Some nodes that may run the pod pull otherwise than the newest containerd (an older one, "
        "cri-o), or tell nobody what they hold (Fargate, virtual-kubelet).",
        "Nothing in the manifest.",
    ),
    Cause.SECRET_NOT_FOUND: Meaning(
        "A pull secret that the pod names is not there; the kubelet pulls without it.", _NAME
    ),
    Cause.SERVICE_ACCOUNT_NOT_FOUND: Meaning(
        "The pod's service account is not there; its pods are refused until it is.",
        "kubectl create serviceaccount NAME -n NAMESPACE",
    ),
    Cause.SECRET_IN_OTHER_NAMESPACE: Meaning(
        "The secret exists in another namespace, and pods use those of their own alone.",
        "Create it in the pod's namespace.",
    ),
    Cause.SECRET_WRONG_TYPE: Meaning(
        "The kubelet reads secrets of type kubernetes.io/dockerconfigjson and "
        "kubernetes.io/dockercfg alone, and ignores others without a word.",
        _NAME,
    ),
    Cause.SECRET_MALFORMED: Meaning(
        "The secret has not the key of its type, so the kubelet ignores it without a word.", _RENEW
    ),
    Cause.SECRET_NO_ENTRY: Meaning(
        "The pull failed for want of a login, and this secret has none for that registry.", _NAME
    ),
    Cause.EXPIRES_SOON: Meaning("The credential expires soon.", _RENEW),
    Cause.TOKEN_OLD: Meaning(
        "The token in the secret is older than such tokens last.",
        _RENEW,
    ),
    Cause.TAG_LATEST: Meaning("The tag latest is moved with each release.", _PIN),
    Cause.TAG_MISSING: Meaning("Without tag and digest, the tag is latest.", _PIN),
    Cause.TAG_MUTABLE: Meaning("The policy counts this tag among those that move.", _PIN),
    Cause.DIGEST_REQUIRED: Meaning(
        "The policy wants a digest, and the reference has none.", "Name it: NAME@sha256:DIGEST."
    ),
    Cause.NEVER_PULLED: Meaning(
        "imagePullPolicy is Never: the pod starts on nodes alone that have the image already.",
        "Load the image on every node, or write imagePullPolicy: IfNotPresent.",
    ),
    Cause.ALWAYS_PULL: Meaning(
        "imagePullPolicy is Always: when the registry is down, no container starts.",
        "Write imagePullPolicy: IfNotPresent.",
    ),
    Cause.DIGEST_CHANGED: Meaning(
        "The tag was moved since the pod started.", "Deploy again, or name the digest."
    ),
    Cause.SIZE_OVER_LIMIT: Meaning(
        "For a platform that runs it, the image is larger than the policy's max.", f"{_SMALLER}."
    ),
    Cause.NODE_TOO_SMALL: Meaning(
        "The image is larger than all that pods may take of the disk of a node that may run it: "
        "allocatable ephemeral-storage. Unpacked it takes more still.",
        f"{_SMALLER}, or select larger nodes.",
    ),
    Cause.REGISTRY_NOT_ALLOWED: Meaning(
        "The image's name is none that the policy's allow list has.",
        "Use an image of an allowed registry, or extend the list.",
    ),
}
