"""Asks registries for many images side by side, each question once, inside a deadline.

A review waits until *its* deadline; a flight has its own and lands in the memory
even when nobody waits any more, so that the second ``kubectl apply`` is answered
at once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import Protocol

from webhook.credentials.keyring import Credential
from webhook.deadline import Deadline
from webhook.images.reference import Reference
from webhook.registry.endpoint import endpoint_for
from webhook.registry.exchange import Target, predict
from webhook.registry.lanes import THREADS, Lanes
from webhook.registry.memory import Key, Memory
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.settings import RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble

MAX_WAITING = THREADS // 2
"""Reviews that may wait on registries at once; past that the answer is undecided."""

_SILENT = frozenset({Cause.DEADLINE, Cause.TIMEOUT, Cause.DNS_FAILING})


class Sender(Protocol):
    """What the resolver sends with; :class:`webhook.registry.transport.Transport` is one."""

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One image with the credentials that the kubelet would try, in their order."""

    reference: Reference
    credentials: tuple[Credential, ...] = ()


class Resolver:
    """Predicts pulls. ``flight_seconds`` bounds one question, whoever waits for it."""

    def __init__(
        self,
        settings: RegistrySettings,
        sender: Sender,
        *,
        flight_seconds: float | None = None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._settings = settings
        self._sender = sender
        self._flight_seconds = flight_seconds or settings.total
        self._memory = Memory(settings.cache)
        self._lanes: Lanes[Outcome] = Lanes()
        self._flights: dict[Key, Future[Outcome]] = {}
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(max_waiting)

    def predict_all(
        self, questions: Sequence[Question], deadline: Deadline, *, denial: bool = False
    ) -> list[Outcome]:
        """Answer every question by ``deadline``, in their order.

        ``denial`` asks for answers that are fresh enough to deny on. What has not
        come by then is ``deadline``, what could not wait ``overloaded``.
        """
        known = [self._recall(question, denial=denial) for question in questions]
        if all(outcome is not None for outcome in known):
            return [outcome for outcome in known if outcome is not None]
        if not self._seats.acquire(blocking=False):
            busy = Outcome(Pull.UNKNOWN, Cause.OVERLOADED, detail="too many reviews are waiting")
            return [outcome or busy for outcome in known]
        try:
            flights = [
                outcome or self._flight(question)
                for outcome, question in zip(known, questions, strict=True)
            ]
            return [self._wait(flight, deadline) for flight in flights]
        finally:
            self._seats.release()

    def _recall(self, question: Question, *, denial: bool) -> Outcome | None:
        key = self._memory.key(self._target(question), question.credentials)
        return self._memory.recall(key, denial=denial)

    def _target(self, question: Question) -> Target:
        reference = question.reference
        return Target(
            reference,
            endpoint_for(reference, self._settings),
            self._settings.depth_for(reference.host),
        )

    def _flight(self, question: Question) -> "Future[Outcome]":
        target = self._target(question)
        key = self._memory.key(target, question.credentials)
        host = target.endpoint.host
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight
            entry = self._settings.entry(target.endpoint.registry)
            width = (entry.concurrency if entry else None) or self._settings.concurrency
            flight = self._lanes.submit(host, width, self._job(key, target, question))
            self._flights[key] = flight
        flight.add_done_callback(lambda _: self._landed(key))
        return flight

    def _landed(self, key: Key) -> None:
        with self._lock:
            self._flights.pop(key, None)

    def _job(self, key: Key, target: Target, question: Question) -> Callable[[], Outcome]:
        def run() -> Outcome:
            outcome = self._converse(target, question)
            if outcome.cause in _SILENT:
                self._lanes.silent(target.endpoint.host)
            else:
                self._lanes.heard(target.endpoint.host)
            self._memory.keep(key, outcome)
            return outcome

        return run

    def _converse(self, target: Target, question: Question) -> Outcome:
        deadline = Deadline.after(self._flight_seconds)
        steps = predict(target, question.credentials)
        try:
            ask = next(steps)
            while True:
                ask = steps.send(self._sender.send(ask, deadline))
        except StopIteration as done:
            outcome: Outcome = done.value
            return replace(outcome, asked_at=time.monotonic())

    @staticmethod
    def _wait(flight: "Future[Outcome] | Outcome", deadline: Deadline) -> Outcome:
        if isinstance(flight, Outcome):
            return flight
        try:
            return flight.result(deadline.left())
        except FutureTimeout:
            return Outcome(Pull.UNKNOWN, Cause.DEADLINE, detail="no answer in time")

    def close(self) -> None:
        """Stop the threads; flights end at their own deadlines."""
        self._lanes.close()
        self._sender.close()
