"""Objects of one kind as they are now: listed once in pages, then watched.

As client-go's reflector does it: a consistent list whose ``resourceVersion`` a watch goes
on from; bookmarks move it on; ``410 Gone`` means to list anew, which changes what differs
and lets go of what is no more. Errors are tried again, less and less often.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from typing import Any, Protocol

from webhook.cluster.answers import failed
from webhook.cluster.jsonstream import read_lines, read_list
from webhook.cluster.view import Unreadable
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

A_PAGE = 500
CONNECT_SECONDS = 5.0
PAGE_SECONDS = 30.0
"""How long a page may keep silent; a whole list may take twice that."""
IDLE_SECONDS = 100.0
"""How long a watch may keep silent: an API server sends a bookmark every minute."""
WATCH_SECONDS = (240, 300)
"""How long the API server is asked to keep a watch open, by chance, so that not all end at once."""
RELIST_SECONDS = 30.0
"""The pause between lists where a watch is not allowed."""
LONGEST_PAUSE = 30.0
MAX_AGE = 300.0
"""Seconds without a word from the API server after which what is known is known no more."""
MAX_PAGE = 256 * 1024 * 1024
CLOSE_SECONDS = 1.0

_CHUNK = 64 * 1024
_SHORT = 1.0
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED})

logger = logging.getLogger(__name__)

Manifest = Mapping[str, Any]
Call = Callable[..., Any]


class Sink(Protocol):
    """Where objects go; called from the informer's thread alone."""

    def put(self, manifest: Manifest) -> str:
        """Take an object as it is now, and return its name."""

    def drop(self, name: str) -> None:
        """Let go of an object."""

    def keep(self, names: Collection[str]) -> None:
        """Let go of every object that is not named."""

    def moved(self, *, synced: bool) -> None:
        """Learn that something was put or dropped; ``synced``: that all is there now."""


class _GoneError(Exception):
    """No watch can go on from where we are, by the resource version's age or otherwise."""


class _RefusedError(Exception):
    """The API server does not let us."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _FailedError(Exception):
    """Anything else, to be tried again."""


class Informer:
    """One thread that keeps ``sink`` as the API server has it.

    ``what`` is the resource, ``call`` the client's method that lists it. Nothing is
    asked before :meth:`start`. Close it when done.
    """

    def __init__(self, what: str, call: Call, sink: Sink) -> None:
        self._what = what
        self._call = call
        self._sink = sink
        self._closing = threading.Event()
        self._tried = threading.Event()
        """Set once the first list has come to something, good or bad."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._response: Any = None
        self._synced = False
        self._current_at = 0.0
        self._problem = ""
        self._told: dict[str, str] = {}
        self._failures = 0
        self._version = ""

    def start(self) -> None:
        """Begin, unless it has; returns at once."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(
                    target=self._run, name=f"informer-{self._what}", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End the thread; one that waits for an answer is cut off."""
        self._closing.set()
        self._tried.set()
        with self._lock:
            response, thread = self._response, self._thread
        if response is not None:
            # The thread may have let go of it by now.
            with suppress(AttributeError, RuntimeError, ValueError, OSError):
                response.shutdown()
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    @property
    def synced(self) -> bool:
        """Tell whether everything has been listed, and is no older than :data:`MAX_AGE`."""
        return self._synced and self.age <= MAX_AGE

    @property
    def age(self) -> float:
        """Return the seconds since the API server last said anything of it."""
        return time.monotonic() - self._current_at

    def unreadable(self, deadline: Deadline) -> Unreadable | None:
        """Return None once all is known, else why it is not.

        Waits, at most until ``deadline``, only while the very first list is under way.
        """
        self.start()
        if not self._synced:
            self._tried.wait(deadline.left())
        problem = self.problem()
        return None if problem is None else Unreadable(Cause.CLUSTER_UNAVAILABLE, problem)

    def problem(self) -> str | None:
        """Return why what is asked for is not known now, None where it is."""
        if self.synced:
            return None
        if self._synced:
            return f"{self._what} were last heard of {self.age:.0f} s ago"
        return self._problem or f"cannot list {self._what}: no answer in time"

    # -- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._list()
                self._follow()
            except _GoneError:
                if self._synced:
                    self._pause()
                else:
                    self._fail(f"cannot list {self._what}: the list expired")
            except _RefusedError as error:
                may_not = f"pullproof may not list {self._what}"
                self._fail(f"{may_not}: the API server answers {error.status}")
            except _FailedError as error:
                self._fail(f"cannot list {self._what}: {error}")
            except Exception:
                # Whatever it is, it must not end what reviews rest on.
                logger.exception("the informer of %s failed", self._what)
                self._fail(f"cannot list {self._what}: an internal error")

    def _list(self) -> None:
        """List everything, page by page."""
        names: set[str] = set()
        page: dict[str, Any] = {"limit": A_PAGE}
        while True:

            def take(manifest: Manifest) -> None:
                names.add(self._sink.put(manifest))

            metadata = self._page(page, take)
            token = metadata.get("continue")
            if not token or self._closing.is_set():
                break
            page["_continue"] = token
        if self._closing.is_set():
            return
        self._sink.keep(names)
        self._version = str(metadata.get("resourceVersion") or "")
        self._current_at = time.monotonic()
        if self._told.pop("list", None):
            logger.info("%s are listed again", self._what)
        self._problem = ""
        self._sink.moved(synced=True)
        self._synced = True
        self._tried.set()

    def _page(self, page: Mapping[str, Any], take: Callable[[Manifest], None]) -> Manifest:
        deadline = Deadline.after(2 * PAGE_SECONDS)
        try:
            with closing(self._ask(page, PAGE_SECONDS, deadline, MAX_PAGE)) as chunks:
                metadata = read_list(chunks, take).get("metadata")
        except (_GoneError, _RefusedError, _FailedError):
            raise
        except Exception as error:  # noqa: BLE001 - what the client raises is nowhere listed
            raise _FailedError(failed(error).why) from None
        return metadata if isinstance(metadata, Mapping) else {}

    def _follow(self) -> None:
        """Watch for as long as watches go on from where the last one ended."""
        while not self._closing.is_set():
            began = time.monotonic()
            try:
                events = self._watch()
            except _RefusedError as error:
                how = f"they are listed every {RELIST_SECONDS:.0f} s"
                self._tell("watch", f"may not watch {self._what} ({error.status}): {how}")
                self._closing.wait(RELIST_SECONDS)
                return
            except _FailedError as error:
                self._tell("watch", f"cannot watch {self._what}: {error}")
                self._pause()
                continue
            if not events and time.monotonic() - began < _SHORT:
                self._pause()

    def _watch(self) -> int:
        """Watch until the API server ends it, and return how many events came."""
        query = {
            "watch": True,
            "resource_version": self._version,
            "allow_watch_bookmarks": True,
            "timeout_seconds": random.randint(*WATCH_SECONDS),  # noqa: S311 - no secret
        }
        count = 0
        try:
            with closing(self._ask(query, IDLE_SECONDS)) as chunks:
                for event in read_lines(chunks):
                    self._take(event)
                    count += 1
        except (_GoneError, _RefusedError, _FailedError):
            raise
        except (ValueError, RecursionError):
            # The same watch would say the same again.
            raise _GoneError from None
        except Exception as error:  # noqa: BLE001 - what the client raises is nowhere listed
            raise _FailedError(failed(error).why) from None
        return count

    def _take(self, event: Manifest) -> None:
        kind, manifest = event.get("type"), event.get("object")
        if not isinstance(manifest, dict) or kind == "ERROR":
            raise _GoneError
        if kind in {"ADDED", "MODIFIED"}:
            self._sink.put(manifest)
        elif kind == "DELETED":
            self._sink.drop(name_of(manifest))
        metadata = manifest.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        self._version = str(version or self._version)
        self._current_at = time.monotonic()
        self._failures = 0
        self._told.clear()
        if kind != "BOOKMARK":
            self._sink.moved(synced=False)

    def _ask(
        self,
        arguments: Mapping[str, Any],
        silence: float,
        deadline: Deadline | None = None,
        limit: int | None = None,
    ) -> Generator[bytes]:
        """Yield what the API server answers, chunk by chunk."""
        try:
            timeout = (CONNECT_SECONDS, silence)
            response = self._call(**arguments, _preload_content=False, _request_timeout=timeout)
        except Exception as error:  # noqa: BLE001 - what the client raises is nowhere listed
            raise self._refusal(failed(error).status, failed(error).why) from None
        if response.status != HTTPStatus.OK:
            response.close()
            raise self._refusal(int(response.status), "")
        with self._lock:
            self._response = response
        self._current_at = time.monotonic()
        try:
            size = 0
            while not self._closing.is_set() and (chunk := response.read1(_CHUNK)):
                size += len(chunk)
                if deadline is not None and deadline.passed:
                    raise TimeoutError
                if limit is not None and size > limit:
                    raise ValueError("too large")
                yield chunk
            if self._closing.is_set():
                response.close()
        except BaseException:
            response.close()
            raise
        finally:
            with self._lock:
                self._response = None
            response.release_conn()

    @staticmethod
    def _refusal(status: int, why: str) -> Exception:
        if status == HTTPStatus.GONE:
            return _GoneError()
        if status in _REFUSED:
            return _RefusedError(status)
        return _FailedError(why or f"the API server answers {status}")

    def _fail(self, problem: str) -> None:
        if self._closing.is_set():
            return
        self._problem = problem
        self._tell("list", problem)
        self._tried.set()
        self._pause()

    def _tell(self, about: str, problem: str) -> None:
        """Log a problem when it begins, and not each time that it is met."""
        if problem != self._told.get(about) and not self._closing.is_set():
            logger.warning("%s", problem)
            self._told[about] = problem

    def _pause(self) -> None:
        """Wait, twice as long each time, and by chance, so that replicas do not ask as one."""
        self._failures += 1
        longest = min(LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10))
        self._closing.wait(random.uniform(longest / 2, longest))  # noqa: S311 - no secret


def name_of(manifest: Manifest) -> str:
    """Return an object's name, empty where it has none."""
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return name if isinstance(name, str) else ""
