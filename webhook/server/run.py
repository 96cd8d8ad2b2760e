"""Where the server begins and ends: sockets, identity, gunicorn, the exit code."""

import os
import socket
import sys
from collections.abc import Callable

from webhook.server.logs import configure, fault, one_line
from webhook.server.process import Application, Overseer
from webhook.server.service import Service
from webhook.server.settings import Address, CannotStart, ServerSettings
from webhook.server.tls import Identity

BACKLOG = 2048

# gunicorn and systemd would change our sockets and paths through these.
_FOREIGN = (
    "GUNICORN_CMD_ARGS",
    "GUNICORN_PID",
    "GUNICORN_FD",
    "LISTEN_PID",
    "LISTEN_FDS",
    "NOTIFY_SOCKET",
    "SCRIPT_NAME",
)


def run(settings: ServerSettings, make_service: Callable[[], Service]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code: 0 stopped, 1 could not start.

    ``make_service`` is called in the worker process, after the fork, so that its
    threads live there; what it has to say to a person it raises as CannotStart.
    One line on stderr tells where it serves, or why it cannot. Call it from the
    main thread of a process that has no other: it forks and takes the signals.
    """
    configure()
    for name in _FOREIGN:
        os.environ.pop(name, None)
    try:
        identity = Identity(settings.tls_cert, settings.tls_key, settings.client_ca)
        with _bound(settings.listen) as reviews, _bound(settings.ops_listen) as ops:
            Overseer(Application(settings, make_service, identity, (reviews, ops))).run()
    except CannotStart as error:
        return _failed(str(error))
    except SystemExit as end:
        return 0 if end.code in (0, None) else 1
    except Exception as error:  # noqa: BLE001  # a line for a person, not a traceback
        return _failed(fault(error))
    return 0


def _failed(reason: str) -> int:
    print(f"pullproof: cannot start: {one_line(reason)}", file=sys.stderr)  # noqa: T201
    return 1


def _bound(address: Address) -> socket.socket:
    try:
        family, kind, _, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "no host name"
        raise CannotStart(f"cannot listen on {address}: {words}") from None
    listening = socket.socket(family, kind)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise CannotStart(f"cannot listen on {address}: {error.strerror}") from None
    return listening
