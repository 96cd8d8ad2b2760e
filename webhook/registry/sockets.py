"""Sockets whose every step ends at the deadline, and what their failures are called."""

import errno
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from webhook.deadline import Deadline
from webhook.registry.egress import Address
from webhook.registry.outcome import Cause
from webhook.registry.wire import Trouble

CONTAINERD_DIAL_SECONDS = 30.0
"""After so long containerd itself gives up; a shorter wait of ours proves nothing."""
CONTAINERD_TLS_SECONDS = 10.0
CONTAINERD_HEADER_SECONDS = 30.0
"""``DefaultHTTPTransport``: TLSHandshakeTimeout and ResponseHeaderTimeout."""

deadline: ContextVar[Deadline] = ContextVar("deadline")
"""By when the request of this thread has to be answered."""

_OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROUTE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


class TroubledError(Exception):
    """Carries a named trouble through the pool, which closes the connection for it."""

    def __init__(self, cause: Cause, detail: str = "", *, ended: bool = False) -> None:
        super().__init__(detail)
        self.trouble = Trouble(cause, detail, ended)


@contextmanager
def within(seconds: float, what: str, *, again: bool) -> Iterator[None]:
    """Bound a step by what containerd itself allows it: past that the pull has failed there.

    Raises a TroubledError with cause TIMEOUT where that limit was the one that passed.
    ``again``: containerd asks the last host again after it, as after a connection that
    ended (``isTransientTransportErr``: a timeout that is no ``context.DeadlineExceeded``).
    """
    whole, own = deadline.get(), Deadline.after(seconds)
    if whole <= own:
        yield
        return
    token = deadline.set(own)
    try:
        yield
    except TroubledError as error:
        if error.trouble.cause is not Cause.DEADLINE or not own.passed:
            raise
        raise TroubledError(Cause.TIMEOUT, f"{what} for {seconds:.0f} s", ended=again) from error
    finally:
        deadline.reset(token)


def time_left() -> float:
    """Return the seconds that are left; raises where there are none."""
    left = deadline.get().left()
    if left <= 0:
        raise TroubledError(Cause.DEADLINE, "no answer in time")
    return left


def dial(address: Address, port: int, most: float, containerd: float | None) -> socket.socket:
    """Connect within ``most`` seconds and the deadline.

    ``containerd`` is after how long containerd itself gives up: ``dial_timeout`` of a
    hosts.toml, where 0 is no limit at all; None is its default.
    """
    proves = CONTAINERD_DIAL_SECONDS if containerd is None else containerd or math.inf
    limit = min(most, time_left(), proves)
    if limit <= 0:
        raise TroubledError(Cause.TIMEOUT, "no connection came about")
    try:
        dialled = socket.create_connection((str(address), port), timeout=limit)
    except TimeoutError as error:
        if error.errno == errno.ETIMEDOUT or limit >= proves:
            raise TroubledError(Cause.TIMEOUT, "no connection came about") from error
        raise TroubledError(Cause.DEADLINE, f"no connection within {limit:.1f} s") from error
    except ConnectionRefusedError as error:
        raise TroubledError(Cause.REFUSED, "connection refused") from error
    except OSError as error:
        if error.errno in _NO_ROUTE:
            raise TroubledError(Cause.REFUSED, "no route to host") from error
        if error.errno in _OUR_OWN:
            raise TroubledError(Cause.OVERLOADED, "no more sockets can be opened") from error
        raise TroubledError(Cause.RESET, "the connection broke off") from error
    with suppress(OSError):  # where the peer has gone already, the first write tells
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return dialled


class Pipe:
    """A connection whose every step ends at the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def read(self, most: int) -> bytes:
        """Return what comes next, at most so many bytes; nothing at the end."""
        try:
            self.sock.settimeout(time_left())
            return self.sock.recv(most)
        except TimeoutError as error:
            raise TroubledError(Cause.DEADLINE, "no answer in time") from error
        except OSError as error:
            raise TroubledError(Cause.RESET, "the connection broke off") from error

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            left = memoryview(data)
            while left:
                self.sock.settimeout(time_left())
                left = left[self.sock.send(left) :]
        except TimeoutError as error:
            raise TroubledError(Cause.DEADLINE, "it took no request in time") from error
        except OSError as error:
            raise TroubledError(Cause.RESET, "the connection broke off") from error

    def is_readable(self) -> bool:
        """Tell whether an idle connection has something to say: then it was closed."""
        try:
            self.sock.settimeout(0)
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()
