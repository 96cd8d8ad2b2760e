"""One request for reads that happen at once, and answers kept for a short while."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from webhook.deadline import Deadline

KEPT_SECONDS = 10.0
KEPT_ANSWERS = 1024
FRESH_SECONDS = 1.0
"""A request that set out no longer ago than this is fresh enough to be shared."""
THREADS = 64

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Answer]):
    answer: Answer
    asked_at: float


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Answer]):
    future: "Future[Answer]"
    asked_at: float
    deadline: Deadline


class Flights(Generic[Answer]):
    """Shares requests by key and keeps the answers that ``keeps`` says may be kept.

    An answer that may not be kept ends the one that was kept before it.
    Requests run on threads of their own, so that whoever waits leaves at its own
    deadline whatever the request does. ``ask`` must not raise for an answer that
    it did not get: what it raises is raised to everyone who waits.
    """

    def __init__(self, keeps: Callable[[Answer], bool]) -> None:
        self._keeps = keeps
        # A flight that lands at once calls back in the thread that holds the lock.
        self._lock = threading.RLock()
        self._kept: OrderedDict[Hashable, _Kept[Answer]] = OrderedDict()
        self._flights: dict[Hashable, _Flight[Answer]] = {}
        self._closed = False
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cluster")

    def read(
        self,
        key: Hashable,
        ask: Callable[[Deadline], Answer],
        deadline: Deadline,
        *,
        fresh: bool = False,
    ) -> Answer | None:
        """Return an answer, or None when ``deadline`` (or :meth:`close`) came first."""
        while True:
            with self._lock:
                kept = None if fresh else self._still_kept(key)
                if kept is not None:
                    return kept.answer
                if deadline.passed or self._closed:
                    return None
                flight = self._join(key, ask, deadline, fresh=fresh)
            try:
                answer = flight.future.result(timeout=deadline.left())
            except (TimeoutError, CancelledError):
                return None
            # A flight that was cut at the deadline of whoever started it proves nothing
            # to those who have time left.
            if self._keeps(answer) or not flight.deadline.passed or flight.deadline >= deadline:
                return answer

    def close(self) -> None:
        """Take no more requests; those under way end by their own deadlines."""
        with self._lock:
            self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _still_kept(self, key: Hashable) -> _Kept[Answer] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if time.monotonic() - kept.asked_at > KEPT_SECONDS:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept

    def _join(
        self,
        key: Hashable,
        ask: Callable[[Deadline], Answer],
        deadline: Deadline,
        *,
        fresh: bool,
    ) -> _Flight[Answer]:
        now = time.monotonic()
        under_way = self._flights.get(key)
        oldest = now - FRESH_SECONDS if fresh else 0.0
        if under_way and under_way.asked_at >= oldest and not under_way.deadline.passed:
            return under_way
        future = self._threads.submit(self._fly, key, ask, deadline, now)
        flight = _Flight(future, now, deadline)
        self._flights[key] = flight
        future.add_done_callback(lambda _: self._landed(key, flight))
        return flight

    def _fly(
        self, key: Hashable, ask: Callable[[Deadline], Answer], deadline: Deadline, asked_at: float
    ) -> Answer:
        answer = ask(deadline)
        with self._lock:
            self._keep(key, answer, asked_at)
        return answer

    def _keep(self, key: Hashable, answer: Answer, asked_at: float) -> None:
        before = self._kept.get(key)
        if before is not None and before.asked_at > asked_at:
            return
        self._kept.pop(key, None)
        if self._keeps(answer):
            self._kept[key] = _Kept(answer, asked_at)
        while len(self._kept) > KEPT_ANSWERS:
            self._kept.popitem(last=False)

    def _landed(self, key: Hashable, flight: _Flight[Answer]) -> None:
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
