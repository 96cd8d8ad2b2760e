"""AdmissionReviews: read as hostile JSON, answered as the API demands."""

import copy
import json
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.review_kit import IMAGE, asked, judged_of, use_of
from webhook.images.workloads import PodInputs
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.review.admission import CONTROLLERS, AdmissionRequest, allowed, decode, encode
from webhook.review.answer import MalformedReview, Verdict
from webhook.review.decision import WARNINGS_LIMIT, Decision, decide, verdict_of
from webhook.review.engine import Judgement, Workload
from webhook.rules.judge import Finding

POD = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app", "image": IMAGE}]}}


def review(**request: Any) -> dict[str, Any]:
    asked_for = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "shop",
        "name": "web",
        "object": POD,
        **request,
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {key: value for key, value in asked_for.items() if value is not ...},
    }


def read(**request: Any) -> AdmissionRequest:
    return decode(json.dumps(review(**request)).encode())


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"kind": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "a number of many digits": b"1" * 6000,
    "deep": b"[" * 100_000,
    "another kind": json.dumps(review() | {"kind": "Pod"}).encode(),
    "v1beta1": json.dumps(review() | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
    "kind of a wrong type": json.dumps(review() | {"kind": ["AdmissionReview"]}).encode(),
    "no request": json.dumps(review() | {"request": None}).encode(),
    "request is a list": json.dumps(review() | {"request": []}).encode(),
    "no uid": json.dumps(review(uid=...)).encode(),
    "empty uid": json.dumps(review(uid="")).encode(),
    "uid is a number": json.dumps(review(uid=7)).encode(),
    "no kind": json.dumps(review(kind=...)).encode(),
    "kind is a text": json.dumps(review(kind="Pod")).encode(),
    "kind is empty": json.dumps(review(kind={"kind": ""})).encode(),
    "no object": json.dumps(review(object=None)).encode(),
    "object is a list": json.dumps(review(object=[])).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_no_review_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(MalformedReview) as caught:
        decode(body)
    line = str(caught.value)
    assert line
    assert len(line) < 100
    assert line.isprintable()


DEPTHS = (100, 300, 600, 900, 940, 960, 980, 990, 2000, 5000)


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_object_of_any_depth_is_read_or_refused(depth: int) -> None:
    # What JSON's reader still takes, the next walk over it may not.
    deep = '{"a":' * depth + "1" + "}" * depth
    body = json.dumps(review(object={"spec": {"nodeSelector": "DEEP", "containers": []}}))
    try:
        decode(body.replace('"DEEP"', deep).encode())
    except MalformedReview as error:
        assert "\n" not in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_refused_or_read(value: Any) -> None:
    try:
        decode(json.dumps(value).encode())
    except MalformedReview as error:
        assert "\n" not in str(error)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at] if at else []
    for key, item in inner:
        found += paths(item, (*at, key)) if isinstance(item, (dict, list)) else [(*at, key)]
    return found


FULL = review(
    operation="UPDATE",
    userInfo={"username": "system:node:a"},
    oldObject=POD,
    object={
        "metadata": {
            "name": "web",
            "generateName": "web-",
            "annotations": {"a": "b"},
            "ownerReferences": [{"controller": True}],
        },
        "spec": {
            "serviceAccountName": "x",
            "imagePullSecrets": [{"name": "a"}],
            "containers": [{"name": "app", "image": IMAGE, "volumeMounts": [{"name": "v"}]}],
            "initContainers": [{"name": "i", "image": IMAGE, "imagePullPolicy": "Always"}],
            "volumes": [{"name": "v", "image": {"reference": IMAGE, "pullPolicy": "Never"}}],
        },
    },
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(paths(FULL)), JSON)
def test_anything_at_any_place_of_a_review_is_refused_or_read(
    path: tuple[Any, ...], value: Any
) -> None:
    body = copy.deepcopy(FULL)
    place: Any = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    try:
        decode(json.dumps(body).encode())
    except MalformedReview as error:
        assert "\n" not in str(error)


def test_a_pod_is_read_with_its_images() -> None:
    request = read()
    assert (request.uid, request.kind, request.name, request.namespace) == (
        "u-1",
        "Pod",
        "web",
        "shop",
    )
    assert request.workload is not None
    assert [use.written for use in request.workload.inputs.images] == [IMAGE]


def test_a_name_that_is_not_made_yet_is_told_by_its_prefix() -> None:
    manifest = {**POD, "metadata": {"generateName": "web-"}}
    assert read(name=..., object=manifest).name == "web-"


@pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
def test_what_pulls_nothing_is_not_judged_and_needs_no_object(operation: str) -> None:
    assert read(operation=operation, object=None).workload is None


def test_other_kinds_and_pods_without_a_spec_are_not_judged() -> None:
    scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert read(kind=scale).workload is None
    assert read(object={"metadata": {}}).workload is None


def test_a_mirror_pod_is_not_judged_since_a_denial_would_not_stop_it() -> None:
    mirror = {**POD, "metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}
    assert read(object=mirror, userInfo={"username": "system:node:a"}).workload is None
    # Anybody can write that annotation: it counts from a node alone.
    assert read(object=mirror, userInfo={"username": "jane"}).workload is not None


def test_a_controllers_pod_is_known_by_account_and_owner_together() -> None:
    owned = {**POD, "metadata": {"ownerReferences": [{"controller": True}]}}
    account = min(CONTROLLERS)

    def is_owned(manifest: Any, username: str) -> bool:
        workload = read(object=manifest, userInfo={"username": username}).workload
        assert workload is not None
        return workload.controller_owned

    assert is_owned(owned, account)
    assert not is_owned(owned, "jane")
    assert not is_owned(POD, account)


def test_only_an_update_has_a_before() -> None:
    created, updated = (
        read(oldObject=POD).workload,
        read(oldObject=POD, operation="UPDATE").workload,
    )
    assert created is not None
    assert created.before is None
    assert updated is not None
    assert updated.before == updated.inputs


# -- the answer ---------------------------------------------------------------------------


def finding(
    cause: Cause = Cause.TAG_NOT_FOUND,
    action: Action = Action.DENY,
    *,
    image: str = IMAGE,
    field: str = "spec.containers[0].image",
    secret: str = "",
    pull: Pull = Pull.FAILS,
) -> Finding:
    outcome = Outcome(pull, cause, requests=(asked(404),), before_credentials=True)
    judged = judged_of(outcome, use_of(image, path=field))
    return Finding(cause, action, judged, field, secret)


def judgement(*findings: Finding) -> Judgement:
    workload = Workload("shop", "Pod", "web", PodInputs((), "default", ()))
    return Judgement(workload, tuple(f.judged for f in findings), findings)


def answer(*findings: Finding) -> dict[str, Any]:
    encoded = encode(read(), decide(judgement(*findings)), "hash")
    told = json.loads(encoded.body)
    assert (told["apiVersion"], told["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = told["response"]
    assert response["uid"] == "u-1"
    return response


def test_a_denial_has_the_code_and_reason_that_kubectl_prints() -> None:
    response = answer(finding())
    assert response["allowed"] is False
    status = response["status"]
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert status["message"].splitlines()[0] == "1 image of Pod shop/web cannot be used"
    assert status["details"] == {
        "name": "web",
        "kind": "Pod",
        "causes": [
            {
                "reason": "tag-not-found",
                "message": 'ghcr.io has "acme/app", but no tag "1.2"',
                "field": "spec.containers[0].image",
            }
        ],
    }


def test_the_audit_annotations_hold_verdict_findings_and_policy() -> None:
    annotations = answer(finding())["auditAnnotations"]
    assert annotations["verdict"] == "deny"
    assert annotations["policy"] == "hash"
    assert json.loads(annotations["findings"]) == [
        {
            "rule": "image-not-found",
            "cause": "tag-not-found",
            "code": "PP-103",
            "action": "deny",
            "field": "spec.containers[0].image",
        }
    ]
    assert all(isinstance(value, str) for value in annotations.values())


def test_what_is_not_judged_is_allowed_without_a_word() -> None:
    response = json.loads(allowed(read(), "hash").body)["response"]
    assert response == {
        "uid": "u-1",
        "allowed": True,
        "auditAnnotations": {"verdict": "allow", "findings": "[]", "policy": "hash"},
    }


def test_a_uid_is_echoed_whatever_it_holds() -> None:
    uid = 'x"\n\u202e\U0001f600'
    encoded = encode(read(uid=uid), Decision(Verdict.ALLOW, "", (), ()), "h")
    assert json.loads(encoded.body)["response"]["uid"] == uid


def test_warnings_are_bounded_one_by_one_and_together_and_told_once() -> None:
    many = [
        finding(
            Cause.TAG_LATEST,
            Action.WARN,
            image="ghcr.io/" + "a" * 60 + f"/{n}\n\x1b[31m\u0085:latest",
            field=f"spec.containers[{n // 2}].image",
        )
        for n in range(400)
    ]
    warnings = answer(*many, many[0])["warnings"]
    assert all(len(line) <= 256 for line in warnings)
    assert sum(map(len, warnings)) <= WARNINGS_LIMIT
    assert len(set(warnings)) == len(warnings)
    for line in warnings:
        assert not [c for c in line if c != " " and unicodedata.category(c)[0] in "CZ"]
    told = len(warnings) - 1
    assert warnings[-1] == f"and {401 - told} more findings: pullproof check lists them all"


def test_a_denial_of_a_thousand_images_is_bounded_and_says_how_many_are_left() -> None:
    denied = [finding(field=f"spec.containers[{n}].image") for n in range(1000)]
    response = answer(*denied)
    message = response["status"]["message"]
    assert len(message) < 34_000
    assert message.startswith("1000 images of Pod shop/web")
    shown = message.count("  wrong: ")
    assert message.splitlines()[-1] == f"… and {1000 - shown} more"
    assert len(response["status"]["details"]["causes"]) == 50
    assert len(json.loads(response["auditAnnotations"]["findings"])) == 50


def test_a_denial_also_warns_of_the_rest_but_not_of_what_it_has_said() -> None:
    denied = finding(Cause.CREDENTIALS_MISSING)
    no_entry = finding(Cause.SECRET_NO_ENTRY, Action.WARN, secret="regcred")
    latest = finding(Cause.TAG_LATEST, Action.WARN, field="spec.containers[1].image")
    response = answer(denied, no_entry, latest)
    assert [line.rsplit("[")[-1] for line in response["warnings"]] == ["PP-801]"]


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([], Verdict.ALLOW),
        ([finding(Cause.TAG_LATEST, Action.AUDIT, pull=Pull.OK)], Verdict.ALLOW),
        ([finding(Cause.TAG_LATEST, Action.WARN, pull=Pull.OK)], Verdict.WARN),
        ([finding(Cause.DEADLINE, Action.WARN, pull=Pull.UNKNOWN)], Verdict.UNKNOWN),
        (
            [finding(), finding(Cause.DEADLINE, Action.WARN, pull=Pull.UNKNOWN)],
            Verdict.DENY,
        ),
    ],
)
def test_the_strongest_that_holds_is_the_verdict(findings: list[Finding], verdict: Verdict) -> None:
    assert verdict_of(findings, [f.judged.outcome.pull for f in findings]) is verdict
    assert decide(judgement(*findings)).verdict is verdict
    assert answer(*findings)["allowed"] is (verdict is not Verdict.DENY)


def test_a_custom_kind_is_judged_where_a_policy_declares_it() -> None:
    spec = {"containers": [{"name": "app", "image": "ghcr.io/acme/app:1"}]}
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "argoproj.io", "version": "v1alpha1", "kind": "Rollout"},
            "operation": "CREATE",
            "object": {"metadata": {"name": "web"}, "spec": {"template": {"spec": spec}}},
        },
    }
    body = json.dumps(review).encode()
    assert decode(body).workload is None
    kinds = {("argoproj.io/v1alpha1", "Rollout"): ("spec", "template", "spec")}
    workload = decode(body, kinds).workload
    assert workload is not None
    assert [use.field for use in workload.inputs.images] == [
        "spec.template.spec.containers[0].image"
    ]


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [
        (lambda o: o["metadata"].update(labels={"a": "b"}), True),
        (lambda o: o["spec"].update(replicas=7), True),
        (lambda o: o.update(status={"replicas": 1}), True),
        (lambda o: o["spec"]["template"].update(metadata={"annotations": {"at": "now"}}), False),
        (lambda o: o["spec"]["template"]["spec"].update(nodeName="n"), False),
    ],
)
def test_only_what_changes_the_template_makes_an_update_worth_judging(
    change: Callable[[dict[str, Any]], Any], unchanged: bool
) -> None:
    spec = {"containers": [{"name": "app", "image": "ghcr.io/acme/app:1"}]}
    old: dict[str, Any] = {"metadata": {"name": "w"}, "spec": {"template": {"spec": spec}}}
    new = copy.deepcopy(old)
    change(new)
    request = {
        "uid": "u",
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
        "operation": "UPDATE",
        "object": new,
        "oldObject": old,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    workload = decode(json.dumps(review).encode()).workload
    assert workload is not None
    assert workload.template_unchanged is unchanged
