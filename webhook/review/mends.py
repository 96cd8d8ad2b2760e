"""Sentences that depend on more than one fact of a finding."""

import re

from webhook.cluster.view import Absent
from webhook.images.reference import Reference, parse
from webhook.registry.outcome import Pull
from webhook.review.subject import NAME_LIMIT, Subject, can_be_named
from webhook.review.words import quoted, shown

_ONE_MEANT = re.compile(r"did you mean ([^ ?]+)\?")
SCHEMES = ("https://", "http://", "docker://", "oci://")

# -- invalid-reference, image-not-found -----------------------------------------------------


def malformed_mend(s: Subject) -> str:
    """Say how to correct a text that is no reference, by what stands in it."""
    text = s.written
    for scheme in SCHEMES:
        if text.lower().startswith(scheme):
            rest = text[len(scheme) :]
            better = f": write {shown(rest)}" if isinstance(parse(rest), Reference) else ""
            return f'take "{scheme}" away{better}'
    if any(mark in text for mark in ("$(", "${", "{{")):
        return "put the value in the place of the variable: Kubernetes fills in none here"
    bare = "".join(text.split()).strip("\"'")
    if bare != text and isinstance(parse(bare), Reference):
        return f"take the spaces and quotes away: write {shown(bare)}"
    return "write it as [REGISTRY/]REPOSITORY[:TAG][@DIGEST]"


def lower_case(s: Subject) -> str:
    """Say the reference with its repository in lower case, where that is one."""
    name, at, digest = s.written.partition("@")
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    name, tag = (name, "") if colon < 0 else (name[:colon], name[colon:])
    lower = f"{name.lower()}{tag}{at}{digest}"
    if isinstance(parse(lower), Reference):
        return f"write {shown(lower)}"
    return "write the repository in lower case; only a tag may have capitals"


def tag_mend(s: Subject) -> str:
    """Name a tag that is there, or the one to push."""
    near = s.outcome.tags
    if near:
        better = f"{s.name}:{near[0]}"
        command = s.set_image(better)
        run = f"; or run: {command}" if command else ""
        return f"use {shown(better)} (near: {', '.join(near)}), or push the tag{run}"
    if s.outcome.tag_count == 0:
        return f"push {s.name}:{s.tag}: the repository has no tag at all"
    return f"correct the tag, or push {s.name}:{s.tag}"


def tag_quick(s: Subject) -> str:
    """Name the tags that are near."""
    near = s.outcome.tags
    return f"near: {', '.join(near)}" if near else "correct the tag, or push it"


def meant_host(s: Subject) -> str:
    """Write the image with the registry that was meant, where only one can have been."""
    meant = _ONE_MEANT.fullmatch(s.outcome.detail)
    if meant is None or not s.written.startswith(s.host):
        return "correct the registry's name"
    return f"write {shown(meant[1] + s.written[len(s.host) :])}"


# -- pull-denied ----------------------------------------------------------------------------


def name_a_secret(s: Subject) -> str:
    """Say the mend of a missing login; nothing where what may bring one is not there yet."""
    pod = s.judged.pod
    waits = pod.missing or isinstance(pod.account_state, Absent)
    return "" if waits else "name a pull secret for it"


def no_login(s: Subject) -> str:
    """Say why no login was sent."""
    if s.tried:
        return f"the matching entry of {s.tried[0]} has no user or password"
    unfit = _without_entry(s)
    return f"{unfit} no entry for it" if unfit else "the pod has none for it"


def _without_entry(s: Subject) -> str:
    """Name the secrets that the pod has and that hold nothing for the image."""
    named = [quoted(x.name, NAME_LIMIT) for x in s.judged.pod.secrets if x.is_usable]
    if not named or s.judged.credentials:
        return ""
    return f"secret {named[0]} has" if len(named) == 1 else f"secrets {', '.join(named)} have"


def denied_what(s: Subject) -> str:
    """Say who was refused, where nobody can tell "private" from "missing"."""
    if s.refused_at_once:
        return f"{s.host} refuses {s.repository} to everybody: private, or not there"
    if s.sent:
        return f"{s.host} refuses {s.repository} to {s.login}: no access, or no such image"
    unfit = _without_entry(s)
    none = f", and {unfit} no entry for it" if unfit else ""
    return f"{s.host} refuses {s.repository} without a login{none}: private, or not there"


def denied_mend(s: Subject) -> str:
    """Say what mends a refusal: a pull secret only where one would be looked at."""
    if s.refused_at_once:
        return f"check the name; a pull secret does not help, since {s.host} asks for no login"
    if s.sent:
        return f"check the name, and that {s.login} may pull it"
    return f"check the name; if it is private: {s.attach_secret()}"


# -- undecided ------------------------------------------------------------------------------


def unavailable(s: Subject) -> str:
    """Say what the API server did not tell: the nodes' images, or the pod's credentials."""
    if s.judged.presence.unreadable is not None:
        return f"not known whether a node holds the image: {s.detail}"
    return f"not checked with the pod's credentials: {s.detail}"


# -- never-pulled ---------------------------------------------------------------------------


def never_what(s: Subject) -> str:
    """Say why an image that is never pulled may not start."""
    if not s.judged.kept_back:
        return "imagePullPolicy is Never, and no node is known to have the image"
    return (
        f"imagePullPolicy is Never, and {s.host} wants a login that the pod has not: the kubelet "
        "starts the image that the nodes hold unless another pod's login pulled it"
    )


def never_brief(s: Subject) -> str:
    """Say the same on a warning's line."""
    if not s.judged.kept_back:
        return "imagePullPolicy is Never, and no node is known to have the image"
    return "imagePullPolicy is Never, and nodes keep from it what another pod's login pulled"


def never_mend(s: Subject) -> str:
    """Say how the nodes come by the image, or the pod by a login."""
    if not s.judged.kept_back:
        return "load the image on every node, or write imagePullPolicy: IfNotPresent"
    return s.attach_secret()


def never_quick(s: Subject) -> str:
    """Say the same on a warning's line."""
    return "name a pull secret for it" if s.judged.kept_back else "load it on every node"


# -- pull-secret ----------------------------------------------------------------------------


def create_or_not(s: Subject) -> str:
    """Say what to do about a secret that is not there: it may not be needed at all."""
    if s.outcome.pull is Pull.OK:
        return "create it, or remove the name: this image is pulled without it"
    return "create it, or correct its name"


def other_type(s: Subject) -> str:
    """Say what to do about a secret that is no pull secret: it may not be needed at all."""
    if s.outcome.pull is Pull.OK:
        return "remove the name: this image is pulled without it"
    return "name one of type kubernetes.io/dockerconfigjson"


def create_named(s: Subject) -> str:
    """Return the command that makes the secret that the pod names."""
    if not can_be_named(s.finding.secret):
        return "no secret can have that name: use lower-case letters, digits, - and ."
    return s.create_secret(s.finding.secret)
