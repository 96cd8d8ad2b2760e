"""Asks registries for many images side by side, each question once, inside a deadline.

A review waits until *its* deadline; a flight has its own and lands in the memory
even when nobody waits any more, so that the second ``kubectl apply`` is answered
at once.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from typing import Protocol

from webhook.credentials.keyring import Credential
from webhook.deadline import Deadline
from webhook.images.platform import Platform
from webhook.images.reference import Reference
from webhook.registry.endpoint import registry_for
from webhook.registry.exchange import Target, predict
from webhook.registry.lanes import THREADS, Lanes, OverloadedError
from webhook.registry.memory import FRESH_SECONDS, Key, Memory
from webhook.registry.outcome import Cause, Outcome, Pull
from webhook.registry.recall import Recall
from webhook.registry.settings import Depth, RegistrySettings
from webhook.registry.wire import Ask, Reply, Trouble

MAX_WAITING = THREADS // 2
"""Reviews that may wait on registries at once; past that the answer is undecided."""

SECOND_LOOK_SECONDS = 1.0
"""How long a flight that waits for its turn is kept past a look: a second one may join it."""
EXPLAINING_SECONDS = 1.0
"""How long a review waits for what only makes its message better."""

_SILENT = frozenset({Cause.DEADLINE, Cause.TIMEOUT, Cause.DNS_FAILING})
_NOTHING_HEARD = frozenset({Cause.OVERLOADED, Cause.EGRESS_REFUSED})


class Sender(Protocol):
    """What the resolver sends with; :class:`webhook.registry.transport.Transport` is one."""

    def send(self, ask: Ask, deadline: Deadline) -> Reply | Trouble: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """One image with the credentials that the kubelet would try, in their order.

    ``platforms`` are those of the nodes; none known: linux/amd64. ``sizes``: those of the
    layers are wanted too, which may take a request more for each platform.
    """

    reference: Reference
    credentials: tuple[Credential, ...] = ()
    platforms: tuple[Platform, ...] = ()
    sizes: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as it is looked up, flown and kept."""

    key: Key
    target: Target
    credentials: tuple[Credential, ...]


@dataclass(slots=True)
class _Flight:
    """``wanted`` is until when somebody waits for it, on the monotonic clock."""

    future: "Future[Outcome]"
    set_out: float
    wanted: float


def _busy(detail: str) -> Outcome:
    return Outcome(Pull.UNKNOWN, Cause.OVERLOADED, detail=detail)


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
        self._recall = Recall(settings.cache.digest)
        self._lanes: Lanes[Outcome] = Lanes()
        self._flights: dict[Key, _Flight] = {}
        self._lock = threading.Lock()
        self._seats = threading.BoundedSemaphore(max_waiting)

    def predict_all(
        self, questions: Sequence[Question], deadline: Deadline, *, denial: bool = False
    ) -> list[Outcome]:
        """Answer every question by ``deadline``, in their order.

        ``denial`` asks for answers that are fresh enough to deny on. What has not
        come by then is ``deadline``, what could not wait ``overloaded``.
        """
        since = time.monotonic() - FRESH_SECONDS if denial else 0.0
        asked = [self._asked(question) for question in questions]
        known = [self._memory.recall(one.key, denial=denial) for one in asked]
        if all(outcome is not None for outcome in known):
            return [outcome for outcome in known if outcome is not None]
        if not self._seats.acquire(blocking=False):
            return [outcome or _busy("too many reviews are waiting") for outcome in known]
        try:
            flights: dict[Key, Future[Outcome] | Outcome] = {}
            for outcome, one in zip(known, asked, strict=True):
                if one.key not in flights:
                    flights[one.key] = outcome or self._flight(one, since, deadline, denial=denial)
            landed = {key: self._wait(flight, deadline) for key, flight in flights.items()}
            return [landed[one.key] for one in asked]
        finally:
            self._seats.release()

    def _asked(self, question: Question) -> _Asked:
        target = self._target(question)
        return _Asked(self._memory.key(target, question.credentials), target, question.credentials)

    def _target(self, question: Question) -> Target:
        reference = question.reference
        depth = self._settings.depth_for(reference.host)
        return Target(
            reference,
            registry_for(reference, self._settings),
            depth,
            question.platforms,
            # At the other depths they are known anyway, or never: one answer serves both.
            sizes=question.sizes and depth is Depth.PLATFORM,
        )

    def _flight(
        self, asked: _Asked, since: float, deadline: Deadline, *, denial: bool
    ) -> "Future[Outcome] | Outcome":
        """Join the flight that set out after ``since``, or let one set out."""
        wanted = deadline.at + SECOND_LOOK_SECONDS
        with self._lock:
            under_way = self._flights.get(asked.key)
            if under_way is not None and under_way.set_out >= since:
                under_way.wanted = max(under_way.wanted, wanted)
                return under_way.future
            # One may have landed since the memory was looked at.
            known = self._memory.recall(asked.key, denial=denial)
            if known is not None:
                return known
            flight = self._flights[asked.key] = _Flight(Future(), time.monotonic(), wanted)
        # Outside the lock: the lanes may resolve other flights, which call back for it.
        entry = self._settings.entry(asked.target.registry.name)
        width = (entry.concurrency if entry else None) or self._settings.concurrency
        host = asked.target.registry.first
        # A flight that has set out lands for the next review; one that has not, and that
        # nobody waits for any more, would only keep others waiting.
        run = self._lanes.submit(host, width, lambda: self._fly(asked), lambda: flight.wanted)
        run.add_done_callback(lambda done: self._landed(asked.key, flight, done))
        return flight.future

    def _landed(self, key: Key, flight: _Flight, done: "Future[Outcome]") -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        error = done.exception()
        if error is not None:
            flight.future.set_exception(error)
        else:
            flight.future.set_result(done.result())

    def _fly(self, asked: _Asked) -> Outcome:
        outcome = self._converse(asked)
        host = asked.target.registry.first
        if outcome.cause in _SILENT:
            self._lanes.silent(host)
        elif outcome.cause not in _NOTHING_HEARD:
            self._lanes.heard(host)
        self._memory.keep(asked.key, outcome)
        return outcome

    def _converse(self, asked: _Asked) -> Outcome:
        deadline = Deadline.after(self._flight_seconds)
        steps = predict(asked.target, asked.credentials, self._recall, time.time())
        asked_at = time.monotonic()
        try:
            ask = next(steps)
            while True:
                if ask.explains:
                    by = min(deadline, Deadline.after(EXPLAINING_SECONDS))
                else:
                    # An answer is as old as the last request that it rests on.
                    by, asked_at = deadline, time.monotonic()
                ask = steps.send(self._sender.send(ask, by))
        except StopIteration as done:
            outcome: Outcome = done.value
            return replace(outcome, asked_at=asked_at)

    @staticmethod
    def _wait(flight: "Future[Outcome] | Outcome", deadline: Deadline) -> Outcome:
        if isinstance(flight, Outcome):
            return flight
        try:
            return flight.result(deadline.left())
        except FutureTimeout:
            return Outcome(Pull.UNKNOWN, Cause.DEADLINE, detail="no answer in time")
        except OverloadedError:
            return _busy("too many requests are waiting")

    def close(self) -> None:
        """Stop the threads; flights end at their own deadlines."""
        self._lanes.close()
        self._sender.close()
