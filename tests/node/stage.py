"""One run over all cases: a cluster, its node, and what came of every object that was applied."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.differential.lab import Lab
from tests.differential.plot import Plot
from tests.differential.runtimes import Puller
from tests.differential.verdict import right_causes
from tests.e2e.harness import Cluster
from tests.e2e.harness.pki import client_context
from tests.e2e.harness.webhook import Webhook
from tests.node.checked import Check, Checked
from tests.node.machine import Kubelet, Outfit, Runtime
from tests.node.model import Case
from tests.node.objects import COLLECTIONS, DEBUG, Sent, Use, is_volume, known_as, pull_policy, sent
from tests.node.review import APPLIER, Reviewed, Reviews
from tests.node.truth import RAN, REFUSED, Done, Seen, done, settled
from tests.node.watch import Pod, Watch

_WORKERS = 8
# Cases under way; with more, containers take longer to start than anybody waits.
_AT_ONCE = 24
# A program that cannot be run is running for as long as nobody has looked again.
_SECOND_LOOK = 5.0
_LOOKED_AT_ONCE = 48
# Within which a kubelet tells of its images.
_TOLD_OF = 60
# What the registry says to somebody who may not pull without a login.
_REFUSALS = frozenset(
    {"credentials-missing", "denied-or-missing", "permission-denied", "credentials-rejected"}
)
# Reviews under way: on two processors more would wait for each other, not for registries.
_REVIEWED_AT_ONCE = 4


@dataclass(frozen=True)
class Laid:
    """A case with its servers laid out and its placeholders filled in."""

    case: Case
    plot: Plot


@dataclass
class Row:
    """One object of a case: how the API server took it, what was said of it, what became of it."""

    case: str
    step: int
    sent: Sent
    manifest: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
    message: str = ""
    warnings: tuple[str, ...] = ()
    audit_id: str = ""
    seconds: float = 0.0
    reviewed: Reviewed | None = None
    checked: Checked | None = None
    done: dict[str, Done] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.case, self.step, self.sent.kind, self.sent.name


def _known_to_the_node(rows: Iterable[Row]) -> list[str]:
    """Return the images that are on the node now."""
    return [
        use.image
        for row in rows
        for use in row.sent.uses
        if use.field in row.done and row.done[use.field].verdict == RAN
    ]


@dataclass(frozen=True)
class Doors:
    """How we are asked: the webhook, and the command that checks the same objects."""

    webhook: Callable[[Cluster], Webhook]
    check: Check


class Stage:
    """A control plane and its one node, fresh; `doors` are what is asked, if anything."""

    def __init__(
        self,
        folder: Path,
        outfit: Outfit,
        laid: Sequence[Laid],
        *,
        puller: Puller,
        lab: Lab,
        doors: Doors | None,
    ) -> None:
        self._folder = folder
        self._outfit = outfit
        self._laid = laid
        self._puller = puller
        self._lab = lab
        self._doors = doors
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        for one in self._laid:
            stack.enter_context(self._lab.opened(one.plot))
        self.runtime = Runtime(self._folder / "containerd", self._outfit)
        self.runtime.start()
        stack.callback(self.runtime.stop)
        self._reviews = Reviews(self._folder / "audit")
        self.cluster = stack.enter_context(Cluster(extra_apiserver_args=self._reviews.flags))
        self.api = stack.enter_context(
            httpx.Client(
                base_url=self.cluster.url,
                verify=client_context(
                    self.cluster.authority,
                    self.cluster.authority.client(APPLIER, ["system:masters"]),
                ),
                timeout=60,
                trust_env=False,
            )
        )
        self._preload()
        self._new_kubelet()
        self.kubelet.wait_until_told_of(
            1 + sum(len(one.case.preload) for one in self._laid), timeout=10
        )
        stack.callback(self.kubelet.stop)
        self.webhook = None
        if self._doors is not None:
            self.webhook = stack.enter_context(self._doors.webhook(self.cluster))
        self._watch = Watch(self.cluster)

    def _preload(self) -> None:
        wanted = [(one, image) for one in self._laid for image in one.case.preload]
        for one, image in wanted:
            pulled = self._puller.pull_image(
                f"preload {image} {self.runtime.endpoint}",
                image,
                self.runtime.endpoint,
                # The others are there to be wrong.
                [secret.as_json() for secret in one.plot.secrets[:1]],
                keep=True,
            )
            assert pulled.pull == "ok", (image, pulled)

    def _new_kubelet(self) -> None:
        self.kubelet = Kubelet(self.cluster, self.runtime, self._folder, self._outfit)
        self.kubelet.start()

    def run(self) -> list[Row]:
        """Apply every object of every case, and tell what became of each."""
        self._furnish()
        rows: list[Row] = []
        rounds = max(len(one.case.in_steps) for one in self._laid)
        for number in range(rounds):
            # Whoever has fewer steps begins later: all end with the last round.
            now = [
                (one, step)
                for one in self._laid
                if (step := number - rounds + len(one.case.in_steps)) >= 0
            ]
            if number > 0:
                self._renew_kubelet(_known_to_the_node(rows))
            self._present = self._images()
            last = number + 1 == rounds
            if last and self._doors is not None:
                self._doors.check.see(self.cluster.get)
            rows += self._round(now, last=last)
        if self._doors is not None:
            self._checked(self._doors.check, rows)
        rows = [row for row in rows if row.sent.uses]
        reviews = self._reviews.all()
        for row in rows:
            row.reviewed = reviews.get(row.audit_id)
        return rows

    def _checked(self, check: Check, rows: Sequence[Row]) -> None:
        """Ask the command about all that was applied last, with what there was before that."""
        last = {one.case.id: len(one.case.in_steps) - 1 for one in self._laid}
        asked = [row for row in rows if row.step == last[row.case]]
        check.objects += [row.manifest for row in asked]
        said = check.run()
        for row in asked:
            kind = "Pod" if row.sent.kind == DEBUG else row.sent.kind
            row.checked = said.get((row.case, kind, row.sent.name))

    def _renew_kubelet(self, pulled: Sequence[str]) -> None:
        """Make the node tell of its images: a running kubelet does so half a minute late.

        What it knows of who pulled them outlives it.
        """
        self.kubelet.stop()
        self.kubelet.start()
        end = time.monotonic() + _TOLD_OF
        while time.monotonic() < end:
            told = self._images()
            if all(known_as(image) & told for image in pulled):
                return
            time.sleep(0.5)
        missing = [image for image in pulled if not known_as(image) & self._images()]
        raise AssertionError(f"the node does not tell of {missing}")

    def _images(self) -> frozenset[str]:
        told = self.kubelet.status().get("images", [])
        return frozenset(name for image in told for name in image.get("names") or [])

    def _furnish(self) -> None:
        labels = {} if self.webhook is None else self.webhook.label

        def one_case(laid: Laid) -> None:
            name = laid.case.id
            self.cluster.create_namespace(name, labels=labels)
            for secret in laid.plot.secrets:
                if secret.data is not None:
                    self._create_secret(name, secret.as_json())

        self._many(one_case, self._laid)
        if self.webhook is not None:
            self.webhook.wait_until_asked(self._laid[-1].case.id)

    def _create_secret(self, namespace: str, secret: Mapping[str, Any]) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": secret["name"]},
            "type": secret["type"],
            "data": secret["data"],
        }
        answer = self.api.post(f"/api/v1/namespaces/{namespace}/secrets", json=body)
        assert answer.is_success, (namespace, secret["name"], answer.text)

    def _round(self, now: Sequence[tuple[Laid, int]], *, last: bool) -> list[Row]:
        # Who may take long begins first.
        ordered = sorted(now, key=lambda one: -one[0].case.patience)
        reviewed = last and self.webhook is not None
        with (
            ThreadPoolExecutor(_LOOKED_AT_ONCE) as looks,
            ThreadPoolExecutor(_REVIEWED_AT_ONCE if reviewed else _AT_ONCE) as pool,
        ):
            again = pool.map(
                lambda one: looks.submit(self._looked_again, *self._step(*one)), ordered
            )
            return [row for rows in again for row in rows.result()]

    def _step(self, laid: Laid, step: int) -> tuple[Laid, int, list[Row], float]:
        objects = laid.case.in_steps[step]
        rows = [
            self._apply(laid, step, sent(given, laid.case.id, number))
            for number, given in enumerate(objects)
        ]
        # Once we are asked, only what later steps build upon has to run.
        if self._runs(laid, step):
            self._await(laid, rows)
        return laid, step, rows, time.monotonic()

    def _runs(self, laid: Laid, step: int) -> bool:
        return self.webhook is None or step + 1 < len(laid.case.in_steps)

    def _await(self, laid: Laid, rows: Sequence[Row]) -> None:
        """Wait until every object has come to something."""
        end = time.monotonic() + laid.case.patience
        waiting = [row for row in rows if row.sent.uses and row.status < 300]
        while waiting and time.monotonic() < end:
            time.sleep(0.3)
            # Of a volume that nobody mounts only the events tell.
            volumes = any(is_volume(use) for row in waiting for use in row.sent.uses)
            seen = self._watch.of_namespace(laid.case.id) if volumes else self._watch.seen()
            waiting = [row for row in waiting if not settled(row.sent.uses, self._pods(row, seen))]

    def _looked_again(self, laid: Laid, step: int, rows: list[Row], since: float) -> list[Row]:
        """Note what became of the objects, once a program that cannot be run has ended."""
        if self._runs(laid, step):
            time.sleep(max(0.0, since + _SECOND_LOOK - time.monotonic()))
            seen = self._watch.of_namespace(laid.case.id)
            for row in rows:
                row.done = self._what_became(laid, row, seen)
        if step + 1 == len(laid.case.in_steps):
            self._clear(laid)
        return rows

    def _clear(self, laid: Laid) -> None:
        """Free the node of what is known: its pods would be looked at again and again."""
        given = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        namespace = f"namespaces/{laid.case.id}"
        for kind in {step.get("kind", "Pod") for steps in laid.case.in_steps for step in steps}:
            if kind in COLLECTIONS:
                self.api.request("DELETE", COLLECTIONS[kind].format(namespace), json=given)
        self.api.request("DELETE", f"/api/v1/{namespace}/pods", json=given)

    def _apply(self, one: Laid, step: int, object_: Sent) -> Row:
        row = Row(one.case.id, step, object_, manifest=object_.body)
        began = time.monotonic()
        if object_.kind == DEBUG:
            row.manifest = self._debugged(object_)
            answer = self.api.put(object_.path, json=row.manifest)
        else:
            answer = self.api.post(object_.path, json=object_.body)
        row.seconds = time.monotonic() - began
        row.status = answer.status_code
        row.audit_id = answer.headers.get("audit-id", "")
        row.warnings = tuple(answer.headers.get_list("warning"))
        if answer.is_error:
            row.message = answer.json().get("message", answer.text)
        return row

    def _debugged(self, object_: Sent) -> dict[str, Any]:
        pod: dict[str, Any] = self.api.get(object_.path.removesuffix("/ephemeralcontainers")).json()
        pod.setdefault("spec", {}).setdefault("ephemeralContainers", []).append(object_.body)
        return pod

    def _pods(self, row: Row, seen: Mapping[str, list[Pod]]) -> list[Seen]:
        wanted = row.sent.name
        return [
            Seen(pod.status, pod.events, pod.spec)
            for pod in seen.get(row.case, [])
            if (pod.name if row.sent.kind in ("Pod", DEBUG) else pod.made_by) == wanted
        ]

    def _what_became(self, laid: Laid, row: Row, seen: Mapping[str, list[Pod]]) -> dict[str, Done]:
        if row.status >= 300:
            by = "webhook" if "admission webhook" in row.message else "API server"
            return {use.field: Done(REFUSED, by, row.message) for use in row.sent.uses}
        pods = self._pods(row, seen)
        if not pods:
            return {use.field: Done(REFUSED, "no pod was made") for use in row.sent.uses}
        secrets = [one.get("name", "") for one in pods[0].spec.get("imagePullSecrets", [])]
        found = done(row.sent.uses, pods, matched=bool(secrets))
        for use in row.sent.uses:
            policy = pull_policy(use, pods[0].spec)
            if policy != "Always" and known_as(use.image) & self._present:
                due = self._is_warning_due(laid, use, secrets)
                found[use.field] = replace(found[use.field], by_records=due)
        return found

    def _is_warning_due(self, laid: Laid, use: Use, secrets: Sequence[str]) -> bool:
        """Ask the real parts whether anybody may pull it, and whether a credential matches."""
        if use.image.partition("/")[0] in self._outfit.opens:
            return False  # the node pulls it itself, and shares what it pulls so with every pod
        held = {one.name: one for one in laid.plot.secrets if one.data is not None}
        mine = [held[name].as_json() for name in secrets if name in held]
        name = f"records {laid.case.id} {use.field} {time.monotonic()}"
        endpoint = self.runtime.endpoint
        anonymous = self._puller.pull_image(name, use.image, endpoint, [], keep=True)
        own = self._puller.pull_image(f"{name} own", use.image, endpoint, mine, keep=True)
        refused = anonymous.pull != "ok" and right_causes(anonymous, None) & _REFUSALS
        return bool(refused) and own.matched == 0

    def _many(self, work: Callable[[Laid], None], laid: Iterable[Laid]) -> None:
        with ThreadPoolExecutor(_WORKERS) as pool:
            for result in [pool.submit(work, one) for one in laid]:
                result.result()
