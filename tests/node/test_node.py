"""The manifests can be read and laid out, and what a kubelet says is understood."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.plot import Surveyor
from tests.node.checked import Checked, read
from tests.node.corpus import load, load_world
from tests.node.matrix import MANIFESTS, Matrix
from tests.node.model import Case
from tests.node.objects import Use, known_as, sent
from tests.node.review import Found, Reviewed
from tests.node.stage import Row
from tests.node.truth import FAILED, NOT_REACHED, PULLED, RAN, Done, Seen, done, settled

APP = Use("app", "r.lab/a:1", "spec.containers[0].image", "")


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return load()


def waiting(reason: str, message: str = "", name: str = "app") -> Seen:
    state = {"waiting": {"reason": reason, "message": message}}
    return Seen({"containerStatuses": [{"name": name, "state": state}]})


def test_the_manifests_are_as_many_as_was_promised(cases: list[Case]) -> None:
    objects = [sent(o, c.id, 0) for c in cases for step in c.in_steps for o in step]
    assert sum(bool(one.uses) for one in objects) >= MANIFESTS


def test_every_case_can_be_laid_out(cases: list[Case]) -> None:
    kinds = [f"{auth}-https" for auth in ("none", "basic", "token")]
    surveyor = Surveyor({}, dict.fromkeys(kinds, "dist.lab:1"), {"token-https": "dist.lab:2"})
    surveyor.lay_out(load_world().as_lab_case())
    for case in cases:
        surveyor.lay_out(case.as_lab_case())


def test_the_names_of_a_case_s_objects_differ(cases: list[Case]) -> None:
    for case in cases:
        applied = [
            (one.kind, one.name)
            for step in case.in_steps
            for number, given in enumerate(step)
            if (one := sent(given, case.id, number))
        ]
        assert len(set(applied)) == len(applied), case.id


@pytest.mark.parametrize(
    ("pod", "verdict", "causes"),
    [
        (waiting("ErrImagePull", 'failed to resolve image: r.lab/a:1: not found'), FAILED,
         "digest-not-found manifest-unknown repository-not-found tag-not-found"),
        (waiting("ImagePullBackOff", 'Back-off pulling image "r.lab/a:1": ErrImagePull: dial tcp: '
                 "lookup r.lab on 127.0.0.53:53: no such host"), FAILED,
         "dns-not-found host-misspelled"),
        (waiting("InvalidImageName", "couldn't parse image name: repository name (A) must be "
                 "lowercase"), FAILED, "reference-uppercase"),
        (waiting("ErrImageNeverPull"), FAILED, "never-pulled"),
        (waiting("illegal base64 data at input byte 0"), FAILED, "credential-undecodable"),
        (waiting("CrashLoopBackOff"), PULLED, ""),
        (waiting("CreateContainerError", "no command specified"), PULLED, ""),
        (waiting("PodInitializing"), NOT_REACHED, ""),
    ],
)  # fmt: skip
def test_a_waiting_reason_tells_what_became_of_the_image(
    pod: Seen, verdict: str, causes: str
) -> None:
    found = done([APP], [pod], matched=False)[APP.field]
    assert (found.verdict, " ".join(found.causes)) == (verdict, causes)


def test_a_volume_that_fails_is_not_the_failure_of_the_image_that_mounts_it() -> None:
    app = Use("app", "r.lab/a:1", "spec.containers[0].image", "", ("data",), ("r.lab/data:1",))
    data = Use("volume:data", "r.lab/data:1", "spec.volumes[0].image.reference", "")
    pod = waiting("ErrImagePull", 'failed to pull and unpack image "r.lab/data:1": not found')
    found = done([app, data], [pod], matched=False)
    assert (found[app.field].verdict, found[data.field].verdict) == (NOT_REACHED, FAILED)
    assert settled([app, data], [pod])


def test_a_pod_is_settled_when_its_init_container_has_failed() -> None:
    init = Use("init", "r.lab/i:1", "spec.initContainers[0].image", "")
    status: dict[str, Any] = {
        "initContainerStatuses": [
            {"name": "init", "state": {"waiting": {"reason": "ErrImagePull"}}}
        ],
        "containerStatuses": [{"name": "app", "state": {"waiting": {"reason": "PodInitializing"}}}],
    }
    assert settled([init, APP], [Seen(status)])
    assert not settled([APP], [Seen(status)])


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("r.lab:5000/a", "r.lab:5000/a:latest"),
        ("r.lab/a:1@sha256:00", "r.lab/a@sha256:00"),
    ],
)
def test_a_node_tells_of_an_image_by_its_full_name(image: str, told: str) -> None:
    assert told in known_as(image)


SILENT = "1 images failed and were let through without a word"
RECORDS = "1 images were warned of, or were not, though only the kubelet's records decide"


CONTRARY = "1 images were checked from manifests and told the contrary"
DIFFER = "1 images were told otherwise by the webhook than by check"


def _matrix(truth: Done, *said: Found, checked: Checked | None = None) -> Matrix:
    one = sent({"image": "r.lab/a:1"}, "case", 0)
    off = Row("case", 0, one, done={APP.field: truth})
    on = Row("case", 0, one, reviewed=Reviewed("allow", said), checked=checked)
    return Matrix([off], [on], whole=False)


@pytest.mark.parametrize(
    ("truth", "said", "missed"),
    [
        (Done(FAILED), "", SILENT),
        (Done(FAILED), "mutable-tag tag-latest warn", SILENT),
        (Done(FAILED), "rate-limited too-many-requests warn", ""),
        (Done(RAN), "pull-denied credentials-missing deny", "1 images ran and were denied"),
        (Done(RAN), "undecided deadline warn", "1 images of 1 ran and were warned of"),
        (Done(RAN), "mutable-tag tag-latest warn", ""),
        (Done(RAN), "pull-secret secret-not-found warn", ""),
        (Done(RAN), "", ""),
        (Done(RAN, by_records=True), "", RECORDS),
        (Done(FAILED, by_records=False), "", ""),
        (Done(FAILED, by_records=True), "pull-denied credentials-missing warn", ""),
    ],
)  # fmt: skip
def test_a_bar_is_missed_by_what_the_requirement_names(truth: Done, said: str, missed: str) -> None:
    words = said.split()
    found = [Found(words[0], words[1], words[2], APP.field)] if words else []
    assert _matrix(truth, *found).missed() == ([missed] if missed else [])


DENIED = Found("pull-denied", "credentials-missing", "deny", APP.field)
SLOW = Found("undecided", "deadline", "warn", APP.field)


@pytest.mark.parametrize(
    ("truth", "said", "pull", "checked", "missed"),
    [
        (Done(FAILED), [DENIED], "fails", [DENIED], []),
        (Done(FAILED), [DENIED], "ok", [], [CONTRARY, DIFFER]),
        (Done(FAILED), [DENIED], "fails", [], [DIFFER]),
        (Done(FAILED), [SLOW], "fails", [DENIED], []),
        (Done(RAN), [], "ok", [], []),
        (Done(RAN), [], "unknown", [], []),
        (Done(RAN), [], "fails", [], [CONTRARY]),
        (Done(RAN), [], "ok", [DENIED], [CONTRARY, DIFFER]),
        (Done(PULLED), [], "fails", [], [CONTRARY]),
        (Done(RAN, by_records=False), [], "fails", [], []),
    ],
)  # fmt: skip
def test_check_is_held_to_what_the_kubelet_did_and_to_what_the_webhook_said(
    truth: Done, said: list[Found], pull: str, checked: list[Found], missed: list[str]
) -> None:
    by_check = Checked({APP.field: pull}, tuple(checked))
    assert _matrix(truth, *said, checked=by_check).missed() == missed


def test_what_check_prints_is_sorted_by_object() -> None:
    about = {"namespace": "shop", "kind": "Pod", "name": "web", "field": APP.field}
    finding = {**about, "rule": DENIED.rule, "cause": DENIED.cause, "action": "deny"}
    other = {**about, "name": "api", "pull": "ok"}
    report = {"images": [{**about, "pull": "fails"}, other], "findings": [finding]}
    assert read(report) == {
        ("shop", "Pod", "web"): Checked({APP.field: "fails"}, (DENIED,)),
        ("shop", "Pod", "api"): Checked({APP.field: "ok"}),
    }
