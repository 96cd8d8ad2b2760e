"""Names resolved on threads of their own, since ``getaddrinfo`` cannot be cut short."""

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from webhook.deadline import Deadline
from webhook.registry.outcome import Cause
from webhook.registry.wire import Trouble

THREADS = 8
_UNKNOWN_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a name resolves to, in the resolver's order."""

    found: tuple[IPv4Address | IPv6Address, ...]


class Names:
    """Resolves host names: one flight a host, and who waits leaves at the deadline."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
        self._flights: dict[str, Future[Addresses | Trouble]] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, deadline: Deadline) -> Addresses | Trouble:
        """Return the addresses of ``host`` (a name or a literal), or why there are none."""
        try:
            return self._flight(host).result(deadline.left())
        except FutureTimeout:
            return Trouble(Cause.DEADLINE, "its name was not resolved in time")

    def _flight(self, host: str) -> "Future[Addresses | Trouble]":
        with self._lock:
            flight = self._flights.get(host)
            if flight is not None:
                return flight
            flight = self._pool.submit(_lookup, host)
            self._flights[host] = flight
        # Outside the lock: a lookup that has already ended calls back in this very thread.
        flight.add_done_callback(lambda _: self._landed(host))
        return flight

    def _landed(self, host: str) -> None:
        with self._lock:
            self._flights.pop(host, None)

    def close(self) -> None:
        """Let the threads end; a lookup that is under way is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str) -> Addresses | Trouble:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _UNKNOWN_NAME:
            return Trouble(Cause.DNS_NOT_FOUND, "no such host")
        return Trouble(Cause.DNS_FAILING, "the name service does not answer")
    except (UnicodeError, ValueError, OSError):
        # A label past 63 characters or an empty one: Go's resolver says "no such host".
        return Trouble(Cause.DNS_NOT_FOUND, "no such host")
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
    return Addresses(tuple(ip_address(text) for text in texts))
