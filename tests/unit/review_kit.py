"""Values for tests of rules and messages: one image of one pod, and what came of it."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from webhook.cluster.nodes import Nodes
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.credentials.keyring import Credential, Keyring, keyring_of
from webhook.credentials.node import Undecided
from webhook.credentials.secret import DOCKER_CONFIG_JSON_KEY, DOCKER_CONFIG_JSON_TYPE, Secret
from webhook.deadline import Deadline
from webhook.images.reference import Reference, parse
from webhook.images.workloads import ImageUse, Place, PodInputs, PullPolicy, pull_policy
from webhook.policy.action import Action
from webhook.policy.files import PolicySet, load
from webhook.policy.select import (
    DEFAULT_ACTIONS,
    AtMostSetting,
    Exemption,
    Parameters,
    Rules,
    Setting,
)
from webhook.registry.outcome import Exchanged, Outcome, Pull, Rule
from webhook.registry.resolver import Question
from webhook.registry.settings import RegistrySettings, Vantage
from webhook.review.engine import Workload
from webhook.rules.facts import Judged, NamedSecret, PodFacts

IMAGE = "ghcr.io/acme/app:1.2"
URL = "https://ghcr.io/v2/acme/app/manifests/1.2"
FIELD = "spec.template.spec.containers[0].image"


def docker_secret(
    name: str, keys: Sequence[str] = ("ghcr.io",), user: str = "bot", *, namespace: str = "shop"
) -> Secret:
    """Return a pull secret with one user for each of ``keys``."""
    auth = base64.b64encode(f"{user}:pw".encode()).decode()
    config = json.dumps({"auths": {key: {"auth": auth} for key in keys}}).encode()
    return Secret(
        namespace, name, DOCKER_CONFIG_JSON_TYPE, {DOCKER_CONFIG_JSON_KEY: config}, uid="u"
    )


def broken_secret(name: str) -> Secret:
    """Return a pull secret whose one entry the kubelet cannot decode."""
    config = b'{"auths": {"ghcr.io": {"auth": "!"}}}'
    return Secret("shop", name, DOCKER_CONFIG_JSON_TYPE, {DOCKER_CONFIG_JSON_KEY: config})


def use_of(
    image: str = IMAGE,
    *,
    policy: PullPolicy | None = None,
    place: Place = Place.CONTAINER,
    mounted: bool = True,
    path: str = FIELD,
    container: str = "app",
) -> ImageUse:
    """Return an image as a manifest uses it."""
    reference = parse(image)
    return ImageUse(
        path, container, place, image, reference, policy or pull_policy("", reference), mounted
    )


def pod_of(
    *secrets: NamedSecret,
    account: ServiceAccount | Absent | Unreadable | None = None,
    vantage: Vantage = Vantage.POD,
    kind: str = "Deployment",
    operation: str = "CREATE",
) -> PodFacts:
    """Return a pod's facts with the keyring that its secrets make."""
    readable = [(f"secret/{s.name}", s.state) for s in secrets if isinstance(s.state, Secret)]
    return PodFacts(
        namespace="shop",
        kind=kind,
        name="web",
        account="default",
        account_state=account,
        secrets=secrets,
        keyring=keyring_of(readable),
        settings=RegistrySettings(vantage=vantage),
        spec_field="spec.template.spec",
        operation=operation,
    )


def named(name: str, state: Secret | Absent | Unreadable | None = None) -> NamedSecret:
    """Return a secret that the pod names."""
    return NamedSecret(
        name, "spec.template.spec.imagePullSecrets[0].name", state or docker_secret(name)
    )


def judged_of(outcome: Outcome, use: ImageUse | None = None, pod: PodFacts | None = None) -> Judged:
    """Return an image with what came of it."""
    use, pod = use or use_of(), pod or pod_of()
    credentials = (
        pod.keyring.lookup(use.reference.name)
        if isinstance(pod.keyring, Keyring) and isinstance(use.reference, Reference)
        else ()
    )
    return Judged(pod, use, credentials, outcome)


def rules_of(
    actions: Mapping[Rule, Action] | None = None,
    parameters: Parameters | None = None,
    at_most: AtMostSetting | None = None,
    exempt: Exemption | None = None,
) -> Rules:
    """Return rules: the defaults, with ``actions`` laid over them."""
    laid = {**DEFAULT_ACTIONS, **(actions or {})}
    settings = {
        rule: Setting(action, parameters or Parameters(), "prod.yaml:7")
        for rule, action in laid.items()
    }
    return Rules(settings, at_most or AtMostSetting(), exempt)


def asked(status: int | None, user: str | None = None, url: str = URL) -> Exchanged:
    """Return one HEAD and its answer."""
    return Exchanged("HEAD", url, status, user)


@dataclass
class FakeView:
    """A cluster as values; writes down what it was asked, and whether afresh."""

    secrets: dict[str, Secret | Unreadable] = field(default_factory=dict)
    accounts: dict[str, ServiceAccount | Unreadable] = field(default_factory=dict)
    labels: Mapping[str, str] | Unreadable = field(default_factory=dict)
    calls: list[tuple[str, str, bool]] = field(default_factory=list)
    fleet: Nodes | Unreadable = field(default_factory=Nodes)

    def secret(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> Secret | Absent | Unreadable:
        assert namespace == "shop"
        assert deadline
        self.calls.append(("secret", name, fresh))
        return self.secrets.get(name, Absent())

    def service_account(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> ServiceAccount | Absent | Unreadable:
        assert namespace == "shop"
        assert deadline
        self.calls.append(("account", name, fresh))
        return self.accounts.get(name, Absent())

    def namespace_labels(
        self, namespace: str, deadline: Deadline
    ) -> Mapping[str, str] | Unreadable:
        assert namespace == "shop"
        assert deadline
        self.calls.append(("labels", namespace, False))
        return self.labels

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:
        assert deadline
        self.calls.append(("nodes", "", False))
        return self.fleet


@dataclass
class FakeAsker:
    """Answers by image name and whether a denial is at stake; writes down what it was asked."""

    answers: dict[str, Outcome | list[Outcome]] = field(default_factory=dict)
    calls: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def predict_all(
        self, questions: Sequence[Question], deadline: Deadline, *, denial: bool = False
    ) -> list[Outcome]:
        assert deadline
        self.calls.append((tuple(str(q.reference) for q in questions), denial))
        self.questions += questions
        return [self._answer(question) for question in questions]

    def _answer(self, question: Question) -> Outcome:
        answer = self.answers.get(str(question.reference))
        if isinstance(answer, list):
            return answer.pop(0)
        return answer or Outcome(Pull.OK, digest="sha256:" + "a" * 64, before_credentials=True)


def no_policies() -> PolicySet:
    loaded = load([])
    assert isinstance(loaded, PolicySet)
    return loaded


def inputs(*images: ImageUse | str, secrets: tuple[str, ...] = ()) -> PodInputs:
    uses = [
        image if isinstance(image, ImageUse) else use_of(image, path=f"spec.containers[{n}].image")
        for n, image in enumerate(images)
    ]
    return PodInputs(secrets, "builder", tuple(uses))


def workload(*images: ImageUse | str, secrets: tuple[str, ...] = ()) -> Workload:
    return Workload("shop", "Pod", "web", inputs(*images, secrets=secrets))


@dataclass(frozen=True)
class Held:
    """What nodes hold themselves."""

    answer: tuple[Credential, ...] | Undecided = ()

    def lookup(self, name: str, deadline: Deadline) -> tuple[Credential, ...] | Undecided:
        assert name
        assert deadline
        return self.answer
