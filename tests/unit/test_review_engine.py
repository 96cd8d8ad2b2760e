"""The walk of one workload, with a cluster and registries that are values."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.unit.review_kit import (
    FakeAsker,
    FakeView,
    Held,
    broken_secret,
    docker_secret,
    inputs,
    no_policies,
    use_of,
    workload,
)
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.credentials import keyring
from webhook.credentials.dockerconfig import entries_of
from webhook.credentials.keyring import Credential
from webhook.credentials.node import NodeCause, Undecided
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.images.workloads import Place, PodInputs, PullPolicy
from webhook.policy.action import Action
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.review.engine import Engine, Judgement, Workload
from webhook.rules import facts

TODAY = date(2026, 11, 20)
GONE = Outcome(Pull.FAILS, Cause.TAG_NOT_FOUND, before_credentials=True, tag_count=3)
MISSING = Outcome(Pull.FAILS, Cause.CREDENTIALS_MISSING)
APP = "ghcr.io/acme/app:1.2"


def judge(
    subject: Workload,
    view: FakeView | None = None,
    asker: FakeAsker | None = None,
    settings: RegistrySettings | None = None,
    held: tuple[Credential, ...] | Undecided = (),
) -> Judgement:
    engine = Engine(
        no_policies(),
        settings or RegistrySettings(),
        view or FakeView(accounts={"builder": ServiceAccount("shop", "builder", ())}),
        asker or FakeAsker(),
        Held(held),
    )
    return engine.judge(subject, Deadline.after(5), TODAY)


def causes(judgement: Judgement) -> Mapping[Cause, Action]:
    return {finding.cause: finding.action for finding in judgement.findings}


def builder(*secrets: str) -> dict[str, ServiceAccount | Unreadable]:
    return {"builder": ServiceAccount("shop", "builder", secrets)}


def test_the_accounts_secrets_are_used_where_the_pod_names_none() -> None:
    view = FakeView({"robot": docker_secret("robot")}, builder("robot"))
    asker = FakeAsker()
    assert not judge(workload(APP), view, asker).findings
    assert [c.source for c in asker.questions[0].credentials] == ["secret/robot"]
    assert ("account", "builder", False) in view.calls


@pytest.mark.parametrize("named", [("regcred",), ("",)])
def test_a_pod_that_names_a_secret_has_none_of_the_accounts(named: tuple[str, ...]) -> None:
    # `imagePullSecrets: [{}]` names one as well: the API server then copies nothing.
    view = FakeView({"robot": docker_secret("robot")}, builder("robot"))
    asker = FakeAsker()
    judge(workload(APP, secrets=named), view, asker)
    assert asker.questions[0].credentials == ()
    assert not [call for call in view.calls if call[0] == "account" or call[1] == "robot"]


FORBIDDEN = Unreadable(Cause.SECRET_UNREADABLE, "cannot read secret regcred: forbidden")


@pytest.mark.parametrize("outcome", [GONE, MISSING, Outcome(Pull.OK)])
def test_a_secret_that_cannot_be_read_is_undecided_never_missing(outcome: Outcome) -> None:
    view = FakeView({"regcred": FORBIDDEN}, builder())
    answer = replace(outcome, before_credentials=False)
    judgement = judge(workload(APP, secrets=("regcred",)), view, FakeAsker({APP: answer}))
    assert causes(judgement) == {Cause.SECRET_UNREADABLE: Action.WARN}
    assert judgement.images[0].outcome.pull is Pull.UNKNOWN


def test_an_account_that_cannot_be_read_is_undecided_too() -> None:
    view = FakeView(accounts={"builder": Unreadable(Cause.CLUSTER_UNAVAILABLE, "no answer")})
    judgement = judge(workload(APP), view, FakeAsker({APP: MISSING}))
    assert causes(judgement) == {Cause.CLUSTER_UNAVAILABLE: Action.WARN}


def test_an_unreadable_secret_does_not_matter_where_nobody_asked_for_a_login() -> None:
    view = FakeView({"regcred": FORBIDDEN}, builder())
    asked = workload(APP, "ghcr.io/acme/other:1", secrets=("regcred",))
    judgement = judge(asked, view, FakeAsker({APP: GONE}))
    assert causes(judgement) == {Cause.TAG_NOT_FOUND: Action.DENY}
    assert [image.outcome.pull for image in judgement.images] == [Pull.FAILS, Pull.OK]


def test_an_unreadable_secret_does_not_matter_where_another_one_succeeded() -> None:
    view = FakeView({"a": FORBIDDEN, "b": docker_secret("b")}, builder())
    done = Outcome(Pull.OK, source="secret/b")
    judgement = judge(workload(APP, secrets=("a", "b")), view, FakeAsker({APP: done}))
    assert not judgement.findings


def test_a_broken_credential_fails_every_image_before_anyone_is_asked() -> None:
    view = FakeView({"bad": broken_secret("bad"), "good": docker_secret("good")}, builder())
    asker = FakeAsker()
    judgement = judge(workload(APP, "nginx:1.27", secrets=("good", "bad")), view, asker)
    assert [i.outcome.cause for i in judgement.images] == [Cause.CREDENTIAL_UNDECODABLE] * 2
    assert causes(judgement) == {Cause.CREDENTIAL_UNDECODABLE: Action.DENY}
    assert not asker.calls


def test_an_invalid_reference_comes_before_a_broken_credential() -> None:
    view = FakeView({"bad": broken_secret("bad")}, builder())
    judgement = judge(workload("Bad Image", APP, secrets=("bad",)), view)
    assert [i.outcome.cause for i in judgement.images] == [
        Cause.REFERENCE_UPPERCASE,
        Cause.CREDENTIAL_UNDECODABLE,
    ]


def test_an_address_that_cannot_exist_is_not_asked() -> None:
    asker = FakeAsker()
    judgement = judge(workload("ghcr.io:99999/acme/app:1"), asker=asker)
    assert causes(judgement) == {Cause.ADDRESS_INVALID: Action.DENY}
    assert not asker.calls


def test_a_port_that_cannot_be_dialled_does_not_matter_where_a_mirror_is(tmp_path: Path) -> None:
    """``ConfigureHosts``: the hosts of hosts.toml are dialled, in place of the reference's own."""
    folder = tmp_path / "ghcr.io:99999"
    folder.mkdir()
    (folder / "hosts.toml").write_text('server = "https://ghcr.io"\n', encoding="utf-8")
    asker = FakeAsker()
    settings = RegistrySettings(hosts_dir=tmp_path)
    judge(workload("ghcr.io:99999/acme/app:1"), asker=asker, settings=settings)
    assert asker.calls
    asker = FakeAsker()
    judge(workload("[::::]:5000/acme/app:1"), asker=asker, settings=settings)
    assert not asker.calls


def test_never_is_not_asked() -> None:
    asker = FakeAsker()
    judgement = judge(workload(use_of(APP, policy=PullPolicy.NEVER)), asker=asker)
    assert causes(judgement) == {Cause.NEVER_PULLED: Action.WARN}
    assert not asker.calls


def test_each_image_is_asked_once() -> None:
    asker = FakeAsker()
    judge(workload(APP, APP, "docker.io/library/nginx:1", "nginx:1"), asker=asker)
    assert asker.calls == [((APP, "docker.io/library/nginx:1"), False)]


def update(before: PodInputs, after: PodInputs, kind: str = "Pod") -> Workload:
    return Workload("shop", kind, "web", after, operation="UPDATE", before=before)


def test_a_secret_is_decoded_as_often_for_many_images_as_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[str] = []

    def counting(secret: Secret) -> object:
        decoded.append(secret.name)
        return entries_of(secret)

    monkeypatch.setattr(facts, "entries_of", counting)
    monkeypatch.setattr(keyring, "entries_of", counting)
    counts = []
    for many in (1, 40):
        decoded.clear()
        images = [f"ghcr.io/acme/app:{n}" for n in range(many)]
        view = FakeView(secrets={"regcred": docker_secret("regcred")})
        judge(workload(*images, secrets=("regcred",)), view)
        counts.append(len(decoded))
    assert counts[0] == counts[1] > 0


def test_an_update_that_leaves_the_template_as_it_is_asks_nobody_anything() -> None:
    view, asker = FakeView(), FakeAsker()
    same = inputs(APP, secrets=("regcred",))
    workload = update(same, inputs(APP, secrets=("regcred",)))
    judgement = judge(replace(workload, template_unchanged=True), view, asker)
    assert (judgement.findings, judgement.images) == ((), ())
    assert not view.calls
    assert not asker.calls


def test_a_template_that_changed_otherwise_has_its_images_judged_and_warned_of_at_most() -> None:
    asker = FakeAsker({APP: GONE})
    judgement = judge(update(inputs(APP), inputs(APP)), asker=asker)
    assert [f.action for f in judgement.findings] == [Action.WARN]


def test_an_unchanged_image_of_a_changed_template_is_warned_of_at_most() -> None:
    other = "ghcr.io/acme/other:1"
    asker = FakeAsker({APP: GONE, other: GONE})
    judgement = judge(update(inputs(APP), inputs(APP, other)), asker=asker)
    assert [(f.judged.use.written, f.action) for f in judgement.findings] == [
        (APP, Action.WARN),
        (other, Action.DENY),
    ]


def test_an_image_whose_pull_inputs_changed_counts_as_changed() -> None:
    before = inputs(APP)
    for after in (
        inputs(APP, secrets=("regcred",)),
        replace(inputs(APP), service_account="default"),
        inputs(use_of(APP, policy=PullPolicy.ALWAYS, path="spec.containers[0].image")),
        replace(inputs(APP), node_selection="arm64"),
    ):
        view = FakeView({"regcred": docker_secret("regcred")}, builder())
        view.accounts["default"] = ServiceAccount("shop", "default", ())
        judgement = judge(update(before, after), view, FakeAsker({APP: GONE}))
        assert causes(judgement)[Cause.TAG_NOT_FOUND] is Action.DENY


def test_what_a_controller_made_is_warned_of_at_most() -> None:
    subject = replace(workload(APP), controller_owned=True)
    assert causes(judge(subject, asker=FakeAsker({APP: GONE}))) == {
        Cause.TAG_NOT_FOUND: Action.WARN
    }


def test_a_denial_is_asked_anew_and_can_turn_into_an_allow() -> None:
    view = FakeView({"regcred": docker_secret("regcred")}, builder())
    asker = FakeAsker({APP: [GONE, Outcome(Pull.OK)]})
    judgement = judge(workload(APP, secrets=("regcred",)), view, asker)
    assert judgement.findings == ()
    assert asker.calls == [((APP,), False), ((APP,), True)]
    secrets = [call for call in view.calls if call[0] == "secret"]
    assert secrets == [("secret", "regcred", False), ("secret", "regcred", True)]


def test_a_denial_that_stands_was_asked_twice_and_a_warning_once() -> None:
    asker = FakeAsker({APP: GONE})
    assert causes(judge(workload(APP), asker=asker)) == {Cause.TAG_NOT_FOUND: Action.DENY}
    assert [denial for _, denial in asker.calls] == [False, True]
    asker = FakeAsker({APP: MISSING})
    undeclared = Undecided(NodeCause.UNDECLARED, "nobody says")
    assert causes(judge(workload(APP), asker=asker, held=undeclared)) == {
        Cause.NODE_CREDENTIALS_UNDECLARED: Action.WARN
    }
    assert [denial for _, denial in asker.calls] == [False]


def test_a_denial_by_the_text_alone_asks_nobody_twice() -> None:
    asker = FakeAsker()
    judgement = judge(workload("Bad", APP), asker=asker)
    assert causes(judgement) == {Cause.REFERENCE_UPPERCASE: Action.DENY}
    assert [denial for _, denial in asker.calls] == [False]


def test_a_pod_of_many_thousand_images_is_weighed_in_time() -> None:
    # Nobody's manifest, but anybody may send it: the comparison must not be quadratic.
    many = [f"ghcr.io/acme/app:{n}" for n in range(8000)]
    before, after = inputs(*many), inputs(*many, "ghcr.io/acme/new:1")
    asker = FakeAsker(dict.fromkeys(many, GONE))
    start = time.monotonic()
    judgement = judge(update(before, after), asker=asker)
    assert len(judgement.findings) == 8000
    assert time.monotonic() - start < 20


def test_an_unmounted_volume_of_a_broken_pod_is_warned_of() -> None:
    view = FakeView({"bad": broken_secret("bad")}, builder())
    volume = use_of(APP, place=Place.VOLUME, mounted=False)
    judgement = judge(workload(volume, secrets=("bad",)), view)
    assert causes(judgement) == {Cause.CREDENTIAL_UNDECODABLE: Action.WARN}
