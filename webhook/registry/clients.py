"""HTTP clients, one for each way to trust a host: so many at most, made anew with their files."""

import os
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import httpx

from webhook.registry.outcome import Cause
from webhook.registry.sockets import TroubledError
from webhook.registry.tls import files_of, tls_context
from webhook.registry.wire import Trust

MAX_CLIENTS = 64
"""Policies and hosts.toml files name few ways; what is past that is closed and made anew."""

Stamp = tuple[int, int] | None
Way = tuple[Trust, bool]
"""How a host is trusted, and whether configuration named it: what the guard let through for
that host's sake serves no request that it would refuse."""


@dataclass
class Client:
    """One client and what its connections are trusted by."""

    http: httpx.Client
    context: ssl.SSLContext
    stamps: tuple[Stamp, ...]
    users: int = 0
    retired: bool = False


class Clients:
    """Lends clients; one that is replaced or pushed out is closed once nobody uses it."""

    def __init__(self, make: Callable[[], httpx.Client]) -> None:
        self._make = make
        self._kept: OrderedDict[Way, Client] = OrderedDict()
        self._closed = False
        self._lock = Lock()

    @contextmanager
    def lent(self, trust: Trust, *, named: bool = False) -> Iterator[Client]:
        """Lend the client for ``trust``; raises :class:`TroubledError` where there can be none."""
        client = self._taken((trust, named))
        try:
            yield client
        finally:
            with self._lock:
                client.users -= 1
                closes = client.retired and client.users == 0
            if closes:
                client.http.close()

    def _taken(self, way: Way) -> Client:
        trust = way[0]
        # Before the files are read: what changes in between is seen the next time.
        stamps = tuple(_stamp(file) for file in files_of(trust))
        with self._lock:
            if self._closed:
                raise TroubledError(Cause.OVERLOADED, "it is being closed")
            client = self._kept.get(way)
            if client is None or client.stamps != stamps:
                context = tls_context(trust)
                self._retire(way)
                client = self._kept[way] = Client(self._make(), context, stamps)
            self._kept.move_to_end(way)
            client.users += 1
            while len(self._kept) > MAX_CLIENTS:
                self._retire(next(iter(self._kept)))
        return client

    def _retire(self, way: Way) -> None:
        client = self._kept.pop(way, None)
        if client is None:
            return
        client.retired = True
        if client.users == 0:
            client.http.close()

    @property
    def closed(self) -> bool:
        """Tell whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """Close every connection, also those in use."""
        with self._lock:
            self._closed = True
            for client in self._kept.values():
                client.http.close()


def _stamp(file: "os.PathLike[str]") -> Stamp:
    try:
        state = os.stat(file)  # noqa: PTH116  # one call for what two of Path's would tell
    except (OSError, ValueError):
        return None
    return state.st_mtime_ns, state.st_size
