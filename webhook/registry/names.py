"""Names resolved on threads of their own, since ``getaddrinfo`` cannot be cut short."""

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import SimpleQueue

from webhook.deadline import Deadline
from webhook.registry.outcome import Cause
from webhook.registry.wire import Trouble

KNOWN_THREADS = 8
NEW_THREADS = 24
MAX_KNOWN = 10_000
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a name resolves to, in the resolver's order."""

    found: tuple[IPv4Address | IPv6Address, ...]


class Names:
    """Resolves host names: one flight a host, and who waits leaves at the deadline.

    Names that resolved before have threads of their own: a name whose servers keep
    silent holds a thread for half a minute, and whoever makes Pods can write many.
    """

    def __init__(self) -> None:
        self._known_threads = _Threads(KNOWN_THREADS, "names-known")
        self._new_threads = _Threads(NEW_THREADS, "names-new")
        self._known: OrderedDict[str, None] = OrderedDict()
        self._flights: dict[str, Future[Addresses | Trouble]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, deadline: Deadline) -> Addresses | Trouble:
        """Return the addresses of ``host`` (a name or a literal), or why there are none."""
        literal = _literal(host)
        if literal is not None:
            return literal
        try:
            return self._flight(host).result(deadline.left())
        except FutureTimeout:
            with self._lock:
                self._known.pop(host, None)
            return Trouble(Cause.DEADLINE, "its name was not resolved in time")

    def _flight(self, host: str) -> "Future[Addresses | Trouble]":
        with self._lock:
            flight = self._flights.get(host)
            if flight is not None:
                return flight
            flight = self._flights[host] = Future()
            threads = self._known_threads if host in self._known else self._new_threads
        # Outside the lock: a lookup that ends at once wants it too.
        threads.run(lambda: self._resolve(host, flight))
        return flight

    def _resolve(self, host: str, flight: "Future[Addresses | Trouble]") -> None:
        try:
            answer = _lookup(host)
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            self._landed(host, known=False)
            flight.set_exception(error)
        else:
            self._landed(host, known=isinstance(answer, Addresses))
            flight.set_result(answer)

    def _landed(self, host: str, *, known: bool) -> None:
        with self._lock:
            self._flights.pop(host, None)
            self._known.pop(host, None)
            if known:
                self._known[host] = None
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)

    def close(self) -> None:
        """Let the threads end; a lookup that is under way is not waited for."""
        self._known_threads.close()
        self._new_threads.close()


class _Threads:
    """So many threads that do not hold up the end of the process, unlike an executor's."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = 0
        self._lock = threading.Lock()

    def run(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)
        with self._lock:
            if self._started >= self._most:
                return
            self._started += 1
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:  # the job waits for a thread that is there, or for its deadline
            with self._lock:
                self._started -= 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def close(self) -> None:
        with self._lock:
            started, self._started = self._started, self._most
        for _ in range(started):
            self._jobs.put(None)


def _literal(host: str) -> Addresses | Trouble | None:
    """Return the answer for what is an address already, or looks like one to C alone."""
    try:
        return Addresses((ip_address(host),))
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except (OSError, ValueError):
        return None
    # 2130706433 and 0x7f.1 are addresses to getaddrinfo; Go's resolver knows no such host.
    return Trouble(Cause.DNS_NOT_FOUND, "no such host")


def addresses_of(host: str) -> tuple[str, ...]:
    """Return the addresses of a name or literal as texts, none where there are none.

    Waits for the name service as long as the system does: for the start of a process.
    """
    found = _literal(host) or _lookup(host)
    return tuple(map(str, found.found)) if isinstance(found, Addresses) else ()


def _lookup(host: str) -> Addresses | Trouble:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _UNKNOWN_NAME:
            return Trouble(Cause.DNS_NOT_FOUND, "no such host")
        return Trouble(Cause.DNS_FAILING, "the name service does not answer")
    except ValueError:
        # A label past 63 characters or an empty one: Go's resolver says "no such host".
        return Trouble(Cause.DNS_NOT_FOUND, "no such host")
    except OSError:
        return Trouble(Cause.DNS_FAILING, "the name service cannot be asked")
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return Addresses(tuple(ip_address(text) for text in texts))
