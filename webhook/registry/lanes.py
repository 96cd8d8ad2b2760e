"""Who may fetch: a bounded number of threads, a lane a registry, one for silent ones.

A lane bounds what is under way to one registry. Registries that gave no answer
lately share a small one, so that dead names leave the threads to the rest.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

THREADS = 64
SILENT_LANE = 16
SILENT_SECONDS = 60.0
MAX_SILENT = 10_000

T = TypeVar("T")


@dataclass(slots=True)
class _Lane(Generic[T]):
    width: int
    under_way: int = 0
    waiting: deque[tuple[Callable[[], T], "Future[T]"]] = field(default_factory=deque)


class Lanes(Generic[T]):
    """Runs jobs on process-wide threads, in order of arrival within each lane."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="registry")
        self._lanes: dict[str, _Lane[T]] = {}
        self._silent_until: dict[str, float] = {}
        self._lock = threading.Lock()

    def submit(self, host: str, width: int, job: Callable[[], T]) -> "Future[T]":
        """Run ``job`` in the lane of ``host``, at most ``width`` at once."""
        future: Future[T] = Future()
        with self._lock:
            name, width = (host, width) if not self._is_silent(host) else ("", SILENT_LANE)
            lane = self._lanes.setdefault(name, _Lane(width))
            lane.waiting.append((job, future))
        self._advance(name)
        return future

    def silent(self, host: str) -> None:
        """Remember that ``host`` gave no answer."""
        with self._lock:
            if len(self._silent_until) >= MAX_SILENT:
                self._silent_until.clear()
            self._silent_until[host] = time.monotonic() + SILENT_SECONDS

    def heard(self, host: str) -> None:
        """Remember that ``host`` answers."""
        with self._lock:
            self._silent_until.pop(host, None)

    def _is_silent(self, host: str) -> bool:
        return self._silent_until.get(host, 0.0) > time.monotonic()

    def _advance(self, name: str) -> None:
        with self._lock:
            lane = self._lanes.get(name)
            if lane is None:
                return
            while lane.waiting and lane.under_way < lane.width:
                job, future = lane.waiting.popleft()
                lane.under_way += 1
                self._pool.submit(self._run, name, job, future)
            if not lane.waiting and not lane.under_way:
                del self._lanes[name]

    def _run(self, name: str, job: Callable[[], T], future: "Future[T]") -> None:
        try:
            result = job()
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            with self._lock:
                self._lanes[name].under_way -= 1
            self._advance(name)

    def close(self) -> None:
        """Take no more; what is under way ends at its own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)
