"""AdmissionReview v1: read as hostile JSON, answered as the API demands.

``admission.k8s.io/v1``: the answer repeats the uid of the request; a denial has
code 403 and reason Forbidden, since kubectl prints no message for other reasons.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

from webhook.images.workloads import PodInputs, dig, inputs_at, pod_spec_path
from webhook.policy.action import Action
from webhook.review.answer import Counted, MalformedReview, ReviewAnswer, Verdict
from webhook.review.decision import Decision
from webhook.review.engine import Workload
from webhook.review.messages import words
from webhook.review.words import shown

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"
MAX_DETAILS = 50
"""Findings that are told to programs; the message and the warnings tell people."""

CONTROLLERS = frozenset(
    f"system:serviceaccount:kube-system:{name}"
    for name in (
        "cronjob-controller",
        "daemon-set-controller",
        "deployment-controller",
        "job-controller",
        "replicaset-controller",
        "replication-controller",
        "statefulset-controller",
    )
) | {"system:kube-controller-manager"}
"""The accounts of the controllers that make Pods, and workloads that make Pods."""
NODE_USER = "system:node:"
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """What of a request decides; ``workload`` is None where there is nothing to judge."""

    uid: str
    kind: str
    name: str
    namespace: str
    workload: Workload | None


CustomKinds = Mapping[tuple[str, str], tuple[str, ...]]
"""Where the pods' spec stands in custom kinds, by apiVersion and kind."""


def decode(body: bytes, kinds: CustomKinds = MappingProxyType({})) -> AdmissionRequest:
    """Read a review. Raises MalformedReview, with one line that says what is wrong."""
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedReview("the body is no JSON") from None
    if not isinstance(review, dict):
        raise MalformedReview("the body is no JSON object")
    if review.get("apiVersion") != API_VERSION or review.get("kind") != KIND:
        raise MalformedReview(f"the body is no {API_VERSION} {KIND}")
    request = review.get("request")
    if not isinstance(request, dict):
        raise MalformedReview("the review has no request")
    uid = request.get("uid")
    if not isinstance(uid, str) or not uid:
        raise MalformedReview("the request has no uid")
    try:
        return _request(uid, request, kinds)
    except RecursionError:
        raise MalformedReview("the object is nested too deeply") from None


def _request(uid: str, request: Mapping[str, Any], kinds: CustomKinds) -> AdmissionRequest:
    kind = _mapping(request.get("kind"))
    group, kind_name = _text(kind.get("group")), _text(kind.get("kind"))
    if not kind_name:
        raise MalformedReview("the request has no kind")
    operation = _text(request.get("operation"))
    manifest = request.get("object")
    namespace = _text(request.get("namespace"))
    if operation in ("DELETE", "CONNECT"):
        return AdmissionRequest(uid, kind_name, "", namespace, None)
    if not isinstance(manifest, dict):
        raise MalformedReview("the request has no object")
    name = _name(request, manifest)
    path = pod_spec_path(group, kind_name) or kinds.get((_api_version(kind), kind_name))
    inputs = inputs_at(path, manifest) if path is not None else None
    workload = None
    if path is not None and inputs is not None and not _is_mirror_pod(request, manifest):
        workload = Workload(
            namespace=namespace,
            kind=kind_name,
            name=name,
            inputs=inputs,
            operation=operation,
            before=_before(path, request, operation),
            template_unchanged=_same_template(path, request, operation),
            controller_owned=_is_controller_owned(request, manifest),
            spec_field=".".join(path),
        )
    return AdmissionRequest(uid, kind_name, name, namespace, workload)


def _api_version(kind: Mapping[str, Any]) -> str:
    group, version = _text(kind.get("group")), _text(kind.get("version"))
    return f"{group}/{version}" if group else version


def _before(path: Sequence[str], request: Mapping[str, Any], operation: str) -> PodInputs | None:
    old = request.get("oldObject")
    if operation != "UPDATE" or not isinstance(old, dict):
        return None
    return inputs_at(path, old)


def _same_template(path: Sequence[str], request: Mapping[str, Any], operation: str) -> bool:
    """Tell whether an update leaves the pods that will be made as they are.

    Labels and annotations of the template count (a restart changes one); a Pod's
    template is its spec.
    """
    if operation != "UPDATE":
        return False
    template = path if len(path) == 1 else path[:-1]
    now = dig(request.get("object"), template)
    return now is not None and now == dig(request.get("oldObject"), template)


def _name(request: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    metadata = _mapping(manifest.get("metadata"))
    name = _text(request.get("name")) or _text(metadata.get("name"))
    return name or _text(metadata.get("generateName"))


def _is_controller_owned(request: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Tell whether a controller of the cluster made it: by its account *and* its owner.

    Whoever writes a manifest can name an owner, but not act as that account.
    """
    if _text(_mapping(request.get("userInfo")).get("username")) not in CONTROLLERS:
        return False
    owners = _mapping(manifest.get("metadata")).get("ownerReferences")
    return isinstance(owners, list) and any(
        isinstance(owner, dict) and owner.get("controller") is True for owner in owners
    )


def _is_mirror_pod(request: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Tell whether a node only shows a static pod: a denial would not stop its container."""
    username = _text(_mapping(request.get("userInfo")).get("username"))
    annotations = _mapping(_mapping(manifest.get("metadata")).get("annotations"))
    return username.startswith(NODE_USER) and MIRROR_ANNOTATION in annotations


def encode(request: AdmissionRequest, decision: Decision, policy_hash: str) -> ReviewAnswer:
    """Write the answer to one request."""
    response: dict[str, Any] = {
        "uid": request.uid,
        "allowed": decision.verdict is not Verdict.DENY,
        "auditAnnotations": _annotations(decision, policy_hash),
    }
    if decision.warnings:
        response["warnings"] = list(decision.warnings)
    if decision.verdict is Verdict.DENY:
        response["status"] = {
            "code": 403,
            "reason": "Forbidden",
            "message": decision.message,
            "details": {
                "name": shown(request.name),
                "kind": shown(request.kind),
                "causes": _causes(decision),
            },
        }
    review = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
    return ReviewAnswer(
        body=json.dumps(review, separators=(",", ":")).encode(),
        verdict=decision.verdict,
        findings=tuple(Counted(f.rule, f.cause, f.action) for f in decision.findings),
    )


def allowed(request: AdmissionRequest, policy_hash: str) -> ReviewAnswer:
    """Write the answer to a request in which there is nothing to judge."""
    return encode(request, Decision(Verdict.ALLOW, "", (), ()), policy_hash)


def _causes(decision: Decision) -> Sequence[Mapping[str, str]]:
    denied = (f for f in decision.findings if f.action is Action.DENY)
    return [
        {"reason": f.cause.value, "message": words(f).what, "field": f.field}
        for f in islice(denied, MAX_DETAILS)
    ]


def _annotations(decision: Decision, policy_hash: str) -> Mapping[str, str]:
    findings = [
        {
            "rule": f.rule.value,
            "cause": f.cause.value,
            "code": f.cause.code,
            "action": f.action.value,
            "field": f.field,
        }
        for f in decision.findings[:MAX_DETAILS]
    ]
    return {
        "verdict": decision.verdict.value,
        "findings": json.dumps(findings, separators=(",", ":")),
        "policy": policy_hash,
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
