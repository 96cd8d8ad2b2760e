"""How a review spends its time: what is silent leaves time for what is certain."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest

from tests.unit.review_kit import FakeView, use_of
from webhook.cluster.flights import Flights
from webhook.cluster.nodes import Nodes
from webhook.cluster.view import ServiceAccount, Unreadable
from webhook.deadline import Deadline
from webhook.images.workloads import PodInputs
from webhook.policy.action import Action
from webhook.policy.files import BUILT_IN
from webhook.registry.outcome import Cause
from webhook.registry.resolver import Resolver
from webhook.registry.settings import RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble
from webhook.review.engine import Engine, Judgement, Workload

TODAY = date(2026, 11, 20)
SILENT, MISSING, SLOW = "silent.example/a:1", "good.example/gone:1", "slow.example/gone:1"
ACCOUNT: dict[str, ServiceAccount | Unreadable] = {"default": ServiceAccount("shop", "default", ())}


class Sender:
    """Three registries: one never answers, one says 404, one says it late."""

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble:
        if "silent.example" in ask.url:
            time.sleep(deadline.left())
            return Trouble(Cause.DEADLINE, "no answer in time")
        if "slow.example" in ask.url and not ask.explains:
            time.sleep(1.5)
        return Reply(404)

    def close(self) -> None:
        """Hold nothing."""


class NodesInTime(FakeView):
    """Nodes that can be listed as long as there is time, as from an API server."""

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:
        if deadline.passed:
            return Unreadable(Cause.CLUSTER_UNAVAILABLE, "cannot list nodes: no answer in time")
        return super().nodes(deadline)


@contextmanager
def judged(*images: str, seconds: float) -> Iterator[tuple[Judgement, float]]:
    settings = RegistrySettings()
    resolver = Resolver(settings, Sender(), flight_seconds=3.0)
    engine = Engine(BUILT_IN, settings, NodesInTime(accounts=ACCOUNT), resolver)
    inputs = PodInputs((), "default", tuple(use_of(image) for image in images))
    begun = time.monotonic()
    try:
        deadline = Deadline.after(seconds)
        judgement = engine.judge(Workload("shop", "Pod", "web", inputs), deadline, TODAY)
        yield judgement, time.monotonic() - begun
    finally:
        resolver.close()


def test_a_silent_registry_does_not_hide_what_another_one_has_said() -> None:
    with judged(SILENT, MISSING, seconds=2.0) as (judgement, took):
        told = {f.judged.use.written: (f.cause, f.action) for f in judgement.findings}
    assert told[MISSING] == (Cause.MANIFEST_UNKNOWN, Action.DENY)
    assert told[SILENT] == (Cause.DEADLINE, Action.WARN)
    assert took < 2.3


def test_what_answers_after_the_first_look_is_still_heard() -> None:
    with judged(SLOW, seconds=2.2) as (judgement, took):
        assert [(f.cause, f.action) for f in judgement.findings] == [
            (Cause.MANIFEST_UNKNOWN, Action.DENY)
        ]
    assert took < 2.5


def test_the_whole_time_is_given_to_what_stays_silent() -> None:
    with judged(SILENT, seconds=1.0) as (judgement, took):
        assert [f.cause for f in judgement.findings] == [Cause.DEADLINE]
    assert 0.7 < took < 1.3


@pytest.fixture
def flights() -> Iterator[Flights[str]]:
    made: Flights[str] = Flights(keeps=lambda _: True)
    yield made
    made.close()


def test_what_is_kept_serves_after_the_deadline_too(flights: Flights[str]) -> None:
    assert flights.read("nodes", lambda _: "known", Deadline.after(1)) == "known"
    assert flights.read("nodes", lambda _: "new", Deadline.after(0)) == "known"
    assert flights.read("other", lambda _: "new", Deadline.after(0)) is None


def test_a_read_after_the_close_gives_nothing_and_raises_nothing(flights: Flights[str]) -> None:
    flights.close()
    assert flights.read("nodes", lambda _: "new", Deadline.after(1)) is None
