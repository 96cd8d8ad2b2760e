"""The walk of one workload: images, secrets, registries, rules. One engine, three doors.

What is I/O is passed in: the view of the cluster and whoever asks registries.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from webhook.cluster.scheduling import Eligible, Placement, eligible
from webhook.cluster.view import ClusterView, ServiceAccount, Unreadable
from webhook.credentials.keyring import Credential, keyring_of
from webhook.credentials.node import NodeCause, NodeKeyring, NoNodeCredentials, Undecided
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.images.reference import (
    Reference,
)
from webhook.images.workloads import ImageUse, PodInputs, PullPolicy
from webhook.policy.action import Action
from webhook.policy.files import PolicySet
from webhook.policy.select import Rules, rules_for
from webhook.registry.hosts import is_configured
from webhook.registry.misspelt import with_misspelling
from webhook.registry.outcome import Cause, Outcome, Pull, Rule
from webhook.registry.resolver import Question
from webhook.registry.settings import RegistrySettings
from webhook.registry.vantage import seen_from_nodes
from webhook.review.certain import credentials_for, known_outcome, stands_anyway
from webhook.rules import records
from webhook.rules.facts import Judged, NamedSecret, PodFacts
from webhook.rules.judge import Circumstances, Finding, judge, without_repeats
from webhook.rules.placed import on_its_nodes, platforms_of
from webhook.rules.quotas import shortages
from webhook.rules.size import is_wanted

FIRST_LOOK = 0.6
"""The part of a review's time that its first look may take."""
FOR_THE_NODES = 0.1
"""The part of a look that is kept for the nodes, which are looked at after a failure."""


_NODE_CAUSES = {
    NodeCause.PROVIDER_FAILING: Cause.PROVIDER_FAILING,
    NodeCause.UNDECLARED: Cause.NODE_CREDENTIALS_UNDECLARED,
}
FOR_NODE_CREDENTIALS = 0.4
"""The part of a look that may go by while nodes' plugins are asked for credentials."""


class Asker(Protocol):
    """Who asks registries; :class:`webhook.registry.resolver.Resolver` does."""

    def predict_all(
        self, questions: Sequence[Question], deadline: Deadline, *, denial: bool = False
    ) -> list[Outcome]: ...


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be judged: an object that makes pods, and how it came."""

    namespace: str
    kind: str
    name: str
    inputs: PodInputs
    operation: str = "CREATE"
    before: PodInputs | None = None
    template_unchanged: bool = False
    controller_owned: bool = False
    spec_field: str = "spec"


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that came of one workload."""

    workload: Workload
    images: tuple[Judged, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Engine:
    """One set of policies, one view of a cluster, one asker: ready to judge workloads."""

    policies: PolicySet
    settings: RegistrySettings
    view: ClusterView
    asker: Asker
    node_keyring: NodeKeyring = field(default_factory=NoNodeCredentials)

    def judge(self, workload: Workload, deadline: Deadline, today: date) -> Judgement:
        """Judge every image of ``workload`` by ``deadline``; never raises for what it finds.

        What would be denied is asked anew first: no denial rests on an old answer. A
        first look ends early, so that a silent registry leaves time to prove what
        the others said; where it cut something short, a second one goes to the end.
        """
        if workload.template_unchanged:
            return Judgement(workload, (), ())
        labels = self._labels(workload, deadline)
        rules = [self._rules(workload, use, labels, today) for use in workload.inputs.images]
        look = deadline.share(FIRST_LOOK)
        judgement = self._judged(workload, rules, look, denial=False)
        denied = any(_rests_on_answers(finding) for finding in judgement.findings)
        if denied or _cut_short(judgement):
            return self._judged(workload, rules, deadline, denial=denied)
        return judgement

    def _judged(
        self, workload: Workload, rules: Sequence[Rules], deadline: Deadline, *, denial: bool
    ) -> Judgement:
        pod = self.pod_facts(workload, deadline, fresh=denial)
        uses = workload.inputs.images
        sized = {use for use, rule in zip(uses, rules, strict=True) if is_wanted(rule, pod)}
        images = self.examine(pod, uses, deadline, denial=denial, sized=sized)
        unchanged = _unchanged(workload)
        short = shortages(_started(workload, images, unchanged), workload.inputs.rollout)
        findings = without_repeats(
            finding
            for judged, rule in zip(images, rules, strict=True)
            for finding in judge(
                judged,
                rule,
                _circumstances(workload, judged.use, unchanged),
                (short[judged.use],) if judged.use in short else (),
            )
        )
        return Judgement(workload, images, findings)

    def _labels(self, workload: Workload, deadline: Deadline) -> "dict[str, str] | None":
        if all(p.model.spec.match.namespace_selector is None for p in self.policies.policies):
            return None
        labels = self.view.namespace_labels(workload.namespace, deadline)
        return None if isinstance(labels, Unreadable) else dict(labels)

    def _rules(
        self, workload: Workload, use: ImageUse, labels: dict[str, str] | None, today: date
    ) -> Rules:
        name = use.reference.full if isinstance(use.reference, Reference) else None
        return rules_for(
            self.policies,
            namespace=workload.namespace,
            namespace_labels=labels,
            kind=workload.kind,
            operation=workload.operation,
            image_name=name,
            written=use.written,
            today=today,
        )

    # -- the pod's credentials -----------------------------------------------------------

    def pod_facts(self, workload: Workload, deadline: Deadline, *, fresh: bool = False) -> PodFacts:
        """Read the pull secrets that the pod would have: its own, or else its account's.

        Rule: the ServiceAccount admission plugin copies the account's secrets only
        into a pod that names none at all; an entry without a name counts as one.
        """
        names, account, field = workload.inputs.secrets, None, "imagePullSecrets[{}].name"
        if not names:
            account = self.view.service_account(
                workload.namespace, workload.inputs.service_account, deadline, fresh=fresh
            )
            names = account.image_pull_secrets if isinstance(account, ServiceAccount) else ()
            field = "serviceAccountName"
        secrets = tuple(
            NamedSecret(
                name,
                f"{workload.spec_field}.{field.format(index)}",
                self.view.secret(workload.namespace, name, deadline, fresh=fresh),
            )
            for index, name in enumerate(names)
            if name
        )
        readable = [(f"secret/{s.name}", s.state) for s in secrets if isinstance(s.state, Secret)]
        return PodFacts(
            namespace=workload.namespace,
            kind=workload.kind,
            name=workload.name,
            account=workload.inputs.service_account,
            account_state=account,
            secrets=secrets,
            keyring=keyring_of(readable),
            settings=self.settings,
            spec_field=workload.spec_field,
            operation=workload.operation,
            eligible=self.eligible(workload.inputs.placement, deadline),
        )

    def eligible(self, placement: Placement, deadline: Deadline) -> Eligible | Unreadable:
        """Return the nodes that the scheduler leaves to a pod, as they are known now."""
        nodes = self.view.nodes(deadline.share(FOR_THE_NODES))
        return nodes if isinstance(nodes, Unreadable) else eligible(nodes, placement)

    # -- the images ---------------------------------------------------------------------

    def examine(
        self,
        pod: PodFacts,
        uses: Sequence[ImageUse],
        deadline: Deadline,
        *,
        denial: bool = False,
        sized: Collection[ImageUse] = (),
    ) -> tuple[Judged, ...]:
        """Find out what the pull of each image comes to; registries are asked side by side.

        Of those in ``sized`` it is asked, too, how large their layers are.
        """
        folder = self.settings.hosts_dir
        known = {
            use: outcome for use in uses if (outcome := known_outcome(pod, use, folder)) is not None
        }
        recorded = {use for use in uses if records.decide(pod, use)}
        # Of these it may matter what the registry says to a pod without a login.
        matters = {use for use in recorded if records.matter(pod, credentials_for(pod, use))}
        asking = {use for use in uses if use not in known or use in matters}
        tried = {use: self._credentials(pod, use, deadline, asks=use in asking) for use in uses}
        platforms, sized = platforms_of(pod), {use for use in sized if use not in known}
        asked = {
            use: Question(use.reference, tried[use].credentials, platforms, use in sized)
            for use in uses
            if use in asking and isinstance(use.reference, Reference)
        }
        questions = tuple(dict.fromkeys(asked.values()))
        answers = dict(
            zip(
                questions,
                self._answers(questions, deadline, denial=denial),
                strict=True,
            )
        )
        said = {
            use: self._on_nodes(pod, use, answers[question], tried[use])
            for use, question in asked.items()
        }
        judged = (
            Judged(
                pod,
                use,
                tried[use].credentials,
                known[use] if use in known else said[use],
                undecided=tried[use].undecided,
            )
            for use in uses
        )
        return tuple(
            on_its_nodes(
                _left_to_records(one, said[one.use] if one.use in matters else None)
                if one.use in recorded
                else one
            )
            for one in judged
        )

    def _credentials(
        self, pod: PodFacts, use: ImageUse, deadline: Deadline, *, asks: bool
    ) -> "_Tried":
        """Return what a node would try: the pod's secrets first, then what it holds itself."""
        own = credentials_for(pod, use)
        if not asks or not isinstance(use.reference, Reference):
            return _Tried(own)
        by = deadline.share(FOR_NODE_CREDENTIALS)
        held = self.node_keyring.lookup(use.reference.name, by)
        if isinstance(held, Undecided):
            return _Tried(own + held.credentials, held)
        return _Tried(own + held)

    def _answers(
        self, questions: Sequence[Question], deadline: Deadline, *, denial: bool
    ) -> Sequence[Outcome]:
        """Ask the registries, and leave time for the nodes to be looked at afterwards."""
        if not questions:
            return ()
        by = deadline.share(1 - FOR_THE_NODES)
        return self.asker.predict_all(questions, by, denial=denial)

    def _on_nodes(self, pod: PodFacts, use: ImageUse, outcome: Outcome, tried: "_Tried") -> Outcome:
        if pod.unreadable is not None and not stands_anyway(outcome):
            return outcome.unknown(pod.unreadable.cause, pod.unreadable.why)
        missing = tried.undecided
        if missing is not None and outcome.pull is Pull.FAILS and not stands_anyway(outcome):
            return outcome.unknown(_NODE_CAUSES[missing.cause], missing.why)
        if not isinstance(use.reference, Reference):
            return outcome
        if outcome.pull is Pull.FAILS and is_configured(
            use.reference.host, self.settings.hosts_dir
        ):
            outcome = replace(outcome, by_hosts_file=True)
        outcome = with_misspelling(outcome, use.reference, self.settings)
        return seen_from_nodes(outcome, use.reference, self.settings)


@dataclass(frozen=True, slots=True)
class _Tried:
    """The credentials for one image, and what else a node may hold that we cannot know."""

    credentials: tuple[Credential, ...]
    undecided: Undecided | None = None


def _left_to_records(judged: Judged, without: Outcome | None) -> Judged:
    """Return an image that all nodes hold with whether they may keep it from the pod.

    ``without`` is what was said to a pod without a login, None where that does not matter.
    """
    if without is None or not records.may_keep_back(without):
        return replace(judged, kept_back=False)
    outcome = replace(judged.outcome, requests=without.requests)
    return replace(judged, outcome=outcome, kept_back=True)


Pulled = frozenset[tuple[str, PullPolicy]]
"""Images as written, each with its pull policy."""


def _unchanged(workload: Workload) -> Pulled:
    """Return what the old object pulled with the same inputs (gathered once: pods can be large)."""
    before = workload.before
    if before is None or replace(before, images=()) != replace(workload.inputs, images=()):
        return frozenset()
    return frozenset((use.written, use.pull_policy) for use in before.images)


def _started(workload: Workload, images: Sequence[Judged], unchanged: Pulled) -> Sequence[Judged]:
    """Return the images that are pulled for a change: a Pod that runs pulls what is new alone."""
    if workload.kind != "Pod":
        return images
    return [i for i in images if (i.use.written, i.use.pull_policy) not in unchanged]


def _circumstances(workload: Workload, use: ImageUse, unchanged: Pulled) -> Circumstances:
    return Circumstances(
        is_template=workload.kind != "Pod",
        controller_owned=workload.controller_owned,
        unchanged=(use.written, use.pull_policy) in unchanged,
    )


def _cut_short(judgement: Judgement) -> bool:
    """Tell whether a question was still under way when the look ended."""
    outcomes = (judged.outcome for judged in judgement.images)
    return any(o.cause is Cause.DEADLINE and not o.asked_at for o in outcomes)


_OF_THE_TEXT = frozenset(
    {Rule.INVALID_REFERENCE, Rule.MUTABLE_TAG, Rule.ALWAYS_PULL, Rule.REGISTRY_NOT_ALLOWED}
)


def _rests_on_answers(finding: Finding) -> bool:
    """Tell whether a denial rests on what was read or asked, and so has to be asked anew."""
    return finding.action is Action.DENY and finding.rule not in _OF_THE_TEXT
