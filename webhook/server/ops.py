"""The plain listener for probes and Prometheus: ``/healthz``, ``/readyz``, ``/metrics``.

``/readyz`` gates the start alone: once every gating check has been in order, a
registry or API server that fails later takes no replica out of service, since
the others would see the same. After that only two things make it fail: a stop
that has begun, and a serving certificate that has expired. Its body always tells
how each check stands.
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, ThreadedWSGIServer, WSGIRequestHandler

from webhook.server.logs import fault
from webhook.server.metrics import Metrics
from webhook.server.service import Check
from webhook.server.tls import Identity

log = logging.getLogger(__name__)

PEER_SECONDS = 5
MOST_AT_ONCE = 128


@dataclass(slots=True)
class Readiness:
    """What ``/readyz`` answers, and what it remembers: which checks have been in order once."""

    checks: Callable[[], Sequence[Check]]
    identity: Identity
    draining: bool = False
    _passed: set[str] = field(default_factory=set)
    _started: bool = False

    def report(self) -> tuple[bool, list[Check]]:
        """Return whether reviews should be sent here, and how each check stands."""
        checks = [*self._asked(), self._certificate(), self._stop()]
        self._passed.update(check.name for check in checks if check.ok)
        gates = {check.name for check in checks if check.gates}
        self._started = self._started or gates <= self._passed
        ready = self._started and not self.draining and not self.identity.expired
        return ready, checks

    def _asked(self) -> Sequence[Check]:
        try:
            return self.checks()
        except Exception as error:  # noqa: BLE001  # a probe gets an answer, whatever broke
            log.error("the checks failed (%s)", fault(error))
            return [Check("service", ok=False, reason="the checks failed")]

    def _certificate(self) -> Check:
        until = self.identity.not_after.isoformat()
        if self.identity.expired:
            return Check("certificate", ok=False, reason=f"expired at {until}")
        return Check("certificate", ok=True, reason=f"valid until {until}")

    def _stop(self) -> Check:
        if self.draining:
            return Check("serving", ok=False, reason="stopping", gates=False)
        return Check("serving", ok=True, reason="accepting reviews", gates=False)


def create_ops_app(readiness: Readiness, metrics: Metrics, alive: Callable[[], bool]) -> Flask:
    """Return the application behind the plain listener.

    ``alive`` tells whether the loop that accepts connections still turns:
    ``/healthz`` answers 503 when it does not, so that the kubelet restarts us.
    """
    app = Flask("pullproof-ops", static_folder=None)

    @app.get("/healthz")
    def healthz() -> Response:
        return _plain("ok", 200) if alive() else _plain("the server no longer accepts", 503)

    @app.get("/readyz")
    def readyz() -> Response:
        ready, checks = readiness.report()
        lines = [{"name": c.name, "ok": c.ok, "reason": c.reason} for c in checks]
        body = json.dumps({"ready": ready, "checks": lines}, ensure_ascii=False) + "\n"
        return Response(body, 200 if ready else 503, mimetype="application/json")

    @app.get("/metrics")
    def prometheus() -> Response:
        metrics.certificate_expiry.set(readiness.identity.not_after.timestamp())
        return Response(metrics.text(), content_type=CONTENT_TYPE_LATEST)

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        return _plain(error.name, error.code or 500)

    return app


def _plain(words: str, status: int) -> Response:
    return Response(f"{words}\n", status, mimetype="text/plain")


class OpsListener:
    """Serves an application on a listening socket, in threads of its own."""

    def __init__(self, app: Flask, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        self._server: BaseWSGIServer = _Server(
            host, port, app, handler=_Handler, fd=listening.fileno()
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="ops",
            daemon=True,
        )

    def start(self) -> None:
        """Start to answer; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to answer, within about 0.1 s."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1)


class _Server(ThreadedWSGIServer):
    """One thread a connection, at most ``MOST_AT_ONCE``: what comes on top is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()


class _Handler(WSGIRequestHandler):
    timeout = PEER_SECONDS
    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name
        """Say nothing: a probe every few seconds is no event."""
