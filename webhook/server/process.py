"""The two processes: an arbiter that holds the sockets, and one worker that does all work."""

import contextlib
import logging
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.sock import TCP6Socket, TCPSocket

from webhook.server.app import create_app
from webhook.server.logs import GunicornLog, fault
from webhook.server.metrics import Metrics
from webhook.server.ops import OpsListener, Readiness, create_ops_app
from webhook.server.service import Service
from webhook.server.settings import Address, ServerSettings
from webhook.server.tls import Identity
from webhook.server.worker import BOOT_BEGUN, BOOT_SERVED, BOOT_TOLD, Worker

log = logging.getLogger(__name__)

# The loop turns at least every second; a machine that swaps is given its time.
TURNS_WITHIN_SECONDS = 30.0


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn serves; all that has threads is made in the worker, by ``load``."""

    def __init__(
        self,
        settings: ServerSettings,
        make_service: Callable[[], Service],
        identity: Identity,
        listening: tuple[socket.socket, socket.socket],
    ) -> None:
        self.settings, self.identity = settings, identity
        self._make_service = make_service
        self._addresses = [_address(sock) for sock in listening]
        self._reviews, self._ops = listening
        # Shared with the worker: one that never came to serve is not started again.
        self.boot = mmap.mmap(-1, 1)
        self.turned_at = time.monotonic()
        self.metrics = Metrics()
        self.service: Service | None = None
        self.readiness: Readiness | None = None
        self._listener: OpsListener | None = None
        super().__init__(prog="pullproof")

    def load_config(self) -> None:
        """Set everything that gunicorn would take from its environment or the command line."""
        settings = self.settings
        tmpfs = Path("/dev/shm")  # noqa: S108  # not a file: the folder for gunicorn's heartbeat
        for name, value in {
            "workers": 1,
            "worker_class": Worker,
            "threads": settings.threads,
            "worker_connections": settings.connections,
            "timeout": 0,
            "graceful_timeout": settings.graceful_seconds,
            "keepalive": settings.keepalive_seconds,
            "certfile": str(settings.tls_cert),
            "keyfile": str(settings.tls_key),
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "http_parser": "python",
            "control_socket_disable": True,
            "worker_tmp_dir": str(tmpfs) if os.access(tmpfs, os.W_OK) else None,
            "logger_class": GunicornLog,
            "loglevel": "warning",
            "accesslog": None,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make and start the service, in the worker; raises CannotStart, or what it raises."""
        service = self.service = self._make_service()
        self.readiness = Readiness(service.checks, self.identity)
        ops = create_ops_app(self.readiness, self.metrics, self._turns)
        self._listener = OpsListener(ops, self._ops)
        service.start()
        self._listener.start()
        return create_app(service, self.metrics, max_body=self.settings.max_body)

    def listener(self, log: GunicornLog) -> TCPSocket:
        """Return the socket for reviews as gunicorn holds it. Called once."""
        of_family = TCP6Socket if self._reviews.family == socket.AF_INET6 else TCPSocket
        where = self._reviews.getsockname()
        return of_family(where, self.cfg, log, fd=self._reviews.detach())

    def serving(self) -> None:
        """Say where reviews are answered."""
        reviews, ops = self._addresses
        line = f"serving on https://{reviews}/validate (health and metrics on http://{ops})"
        print(f"pullproof: {line}", file=sys.stderr, flush=True)  # noqa: T201  # for a person

    def drain(self) -> None:
        """Make ``/readyz`` fail from now on. Called from a signal handler."""
        if self.readiness is not None:
            self.readiness.draining = True

    def stop(self) -> None:
        """Stop what ``load`` started; what breaks meanwhile is logged."""
        parts: list[Callable[[], None]] = []
        if self._listener is not None:
            parts.append(self._listener.stop)
        if self.service is not None:
            parts.append(self.service.close)
        for part in parts:
            try:
                part()
            except Exception as error:  # noqa: BLE001  # the other part still has to stop
                log.error("the stop was not clean (%s)", fault(error))

    def _turns(self) -> bool:
        return time.monotonic() - self.turned_at < TURNS_WITHIN_SECONDS


def _address(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return Address(host, port)


class Overseer(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's arbiter for one worker: no second one, no reload, no endless restarts."""

    def __init__(self, app: Application) -> None:
        self._halting = False
        super().__init__(app)
        # With listeners of its own it looks for none in configuration and environment.
        self.LISTENERS = [app.listener(self.log)]

    def signal(self, sig: int, frame: Any) -> None:
        """Queue a signal; a worker that is not yet listening to its own leaves at once."""
        if os.getpid() != self.pid and sig in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            _leave(0)
        super().signal(sig, frame)

    def handle_int(self) -> None:
        """Stop as gently as on SIGTERM; a second SIGINT is quick."""
        self.handle_term()

    def _ignore(self) -> None:
        """Do nothing: certificates and policies are loaded anew by themselves."""

    handle_hup = handle_usr1 = handle_usr2 = handle_ttin = handle_ttou = handle_winch = _ignore

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop the worker and exit, with ``reason`` alone in the log."""
        self._halting = True
        if reason is not None:
            log.error("stopping: %s", reason)
        try:
            super().halt()
        except SystemExit:
            sys.exit(exit_status)

    def reap_workers(self) -> None:
        """Reap as the original does; raises HaltServer when a worker ended before it served."""
        before = len(self.WORKERS)
        super().reap_workers()
        boot = self.app.boot[0]
        if len(self.WORKERS) < before and boot != BOOT_SERVED and not self._halting:
            raise HaltServer(None if boot == BOOT_TOLD else "the worker did not start", 1)

    def spawn_worker(self) -> int:
        """Fork a worker. The child leaves here, not through the frames of whoever called."""
        self.app.boot[0] = BOOT_BEGUN
        overseer, code = os.getpid(), 1
        try:
            return int(super().spawn_worker())
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            raise
        finally:
            if os.getpid() != overseer:
                _leave(code)


def _leave(code: int) -> None:
    # Not sys.exit: that would wait for threads which hang on a registry until their deadline.
    with contextlib.suppress(Exception):
        logging.shutdown()
        sys.stderr.flush()
    os._exit(code)
