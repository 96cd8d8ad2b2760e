"""Who may fetch: a bounded number of threads, and a lane for each registry.

A lane bounds what is under way to one registry. Registries that gave no answer
lately share a small one, and those that never gave one yet share another, so that
however many dead names are asked for, threads are left to the registries that work.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

THREADS = 64
SILENT_LANE = 16
STRANGERS_LANE = 32
SILENT_SECONDS = 60.0
MAX_REMEMBERED = 10_000
MAX_QUEUED = 4096
QUEUED_SECONDS = 10.0
"""After so long in a lane nobody waits for a job any more."""

# A host's name is never one of these.
_SILENT, _STRANGERS = "", "?"

T = TypeVar("T")


class OverloadedError(Exception):
    """A job was not run: too many were waiting, for too long, or the lanes were closed."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    host: str
    job: Callable[[], T]
    future: "Future[T]"
    until: Callable[[], float]


@dataclass(slots=True)
class _Lane(Generic[T]):
    width: int
    under_way: int = 0
    waiting: deque[_Waiting[T]] = field(default_factory=deque)


class Lanes(Generic[T]):
    """Runs jobs on process-wide threads, in order of arrival within each lane.

    No future is ever resolved while the lock is held: whoever is called back may
    come straight back here.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="registry")
        self._lanes: dict[str, _Lane[T]] = {}
        self._silent_until: OrderedDict[str, float] = OrderedDict()
        self._heard: OrderedDict[str, None] = OrderedDict()
        self._queued = 0
        self._closed = False
        self._lock = threading.Lock()

    def submit(
        self,
        host: str,
        width: int,
        job: Callable[[], T],
        wanted: Callable[[], float] | None = None,
    ) -> "Future[T]":
        """Run ``job`` in the lane of ``host``, at most ``width`` at once.

        ``wanted`` tells until when, on the monotonic clock, anybody waits for it: what
        nobody waits for any more is not begun. The future then raises
        :class:`OverloadedError`.
        """
        future: Future[T] = Future()
        with self._lock:
            taken = not self._closed and self._queued < MAX_QUEUED
            if taken:
                self._queued += 1
                last = time.monotonic() + QUEUED_SECONDS
                name = self._enter(_Waiting(host, job, future, wanted or (lambda: last)), width)
        if taken:
            self._advance(name)
        else:
            future.set_exception(OverloadedError())
        return future

    def silent(self, host: str) -> None:
        """Remember that ``host`` gave no answer."""
        with self._lock:
            self._heard.pop(host, None)
            self._silent_until.pop(host, None)
            self._silent_until[host] = time.monotonic() + SILENT_SECONDS
            if len(self._silent_until) > MAX_REMEMBERED:
                self._silent_until.popitem(last=False)

    def heard(self, host: str) -> None:
        """Remember that ``host`` answers."""
        with self._lock:
            self._silent_until.pop(host, None)
            self._heard.pop(host, None)
            self._heard[host] = None
            if len(self._heard) > MAX_REMEMBERED:
                self._heard.popitem(last=False)

    def _is_silent(self, host: str) -> bool:
        return self._silent_until.get(host, 0.0) > time.monotonic()

    def _enter(self, waiting: _Waiting[T], width: int) -> str:
        name = waiting.host
        if self._is_silent(name):
            name, width = _SILENT, SILENT_LANE
        elif name not in self._heard and width >= STRANGERS_LANE:
            name, width = _STRANGERS, STRANGERS_LANE
        self._lanes.setdefault(name, _Lane(width)).waiting.append(waiting)
        return name

    def _advance(self, name: str) -> None:
        late: list[Future[T]] = []
        with self._lock:
            if self._fill(name, late):
                self._fill(_SILENT, late)
        for future in late:
            future.set_exception(OverloadedError())

    def _fill(self, name: str, late: "list[Future[T]]") -> bool:
        """Start what may start in a lane; tells whether the silent one was lengthened."""
        lane = self._lanes.get(name)
        if lane is None:
            return False
        moved = False
        while lane.waiting and lane.under_way < lane.width:
            waiting = lane.waiting.popleft()
            if self._closed or time.monotonic() > waiting.until():
                self._queued -= 1
                late.append(waiting.future)
            elif name != _SILENT and self._is_silent(waiting.host):
                # It fell silent while this waited.
                self._enter(waiting, lane.width)
                moved = True
            else:
                self._queued -= 1
                lane.under_way += 1
                try:
                    self._pool.submit(self._run, name, waiting)
                except RuntimeError:  # no thread can be started
                    lane.under_way -= 1
                    late.append(waiting.future)
        if not lane.waiting and not lane.under_way:
            del self._lanes[name]
        return moved

    def _run(self, name: str, waiting: _Waiting[T]) -> None:
        try:
            if self._closed:
                raise OverloadedError
            result = waiting.job()
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            self._left(name)
            waiting.future.set_exception(error)
        else:
            self._left(name)
            waiting.future.set_result(result)

    def _left(self, name: str) -> None:
        """Free the place in the lane before anybody is told: a callback may raise or wait."""
        with self._lock:
            self._lanes[name].under_way -= 1
        self._advance(name)

    def close(self) -> None:
        """Take no more; what waits is overloaded, what is under way ends at its own deadline."""
        with self._lock:
            self._closed = True
            waiting = [w.future for lane in self._lanes.values() for w in lane.waiting]
            for lane in self._lanes.values():
                lane.waiting.clear()
            self._queued = 0
        for future in waiting:
            future.set_exception(OverloadedError())
        self._pool.shutdown(wait=False)
