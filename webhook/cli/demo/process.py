"""The real server as a process of its own: started, waited for, asked, and always stopped."""

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
REVIEW_SECONDS: Final = 10
_MAX_TOLD = 50
_SERVING = re.compile(
    r"pullproof: serving on https://(?P<host>[\w.-]+):(?P<port>\d+)/validate"
    r" \(health and metrics on http://(?P<ops_host>[\w.-]+):(?P<ops_port>\d+)\)"
)


class ServerTrouble(Exception):  # noqa: N818  # named for what it is
    """The server did not start, or did not answer as a webhook does; ``str()`` is for people."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens: the webhook's port (TLS) and the one for health and metrics."""

    host: str
    port: int
    ops_host: str
    ops_port: int

    @property
    def validate(self) -> str:
        """The webhook's URL."""
        return f"https://{self.host}:{self.port}/validate"


class Server:
    """``pullproof serve`` as a context manager; entering waits until it is ready.

    ``ca`` is the certificate that the server's own is verified with: it has to be
    there by the time that the server says it serves. Raises ServerTrouble.
    """

    def __init__(self, command: Sequence[str], ca: Path) -> None:
        self._command = list(command)
        self._ca = ca
        self._said: list[str] = []
        self._addresses: queue.Queue[Address | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._connection: http.client.HTTPSConnection | None = None
        self.address: Address

    def __enter__(self) -> Self:
        # A session of its own: a Ctrl-C reaches the demo alone, which then stops the server.
        self._process = subprocess.Popen(  # noqa: S603  # our own command
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        try:
            self._reader.start()
            self.address = self._await_address()
            self._await_readiness()
            self._connection = self._connect()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Tell whether the process still lives."""
        return self._process is not None and self._process.poll() is None

    def ask(self, review: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send one AdmissionReview over verified TLS; return the ``response`` in the answer.

        Raises ServerTrouble where an API server would speak of a failed call.
        """
        if self._connection is None:
            raise ServerTrouble("the server is not running")
        try:
            self._connection.request(
                "POST",
                f"/validate?timeout={REVIEW_SECONDS}s",
                body=json.dumps(review).encode(),
                headers={
                    "Accept": "application/json, */*",
                    "Content-Type": "application/json",
                    "User-Agent": "kube-apiserver-admission",
                },
            )
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._trouble(f"the webhook gave no answer: {error}") from error
        if answer.status != http.client.OK:
            raise self._trouble(f"the webhook answered {answer.status}")
        return _response(body, str(review["request"]["uid"]))

    def stop(self) -> None:
        """Stop the process and what it started: with SIGTERM, after ten seconds with SIGKILL."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        # The group outlives its leader if a worker hangs.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(STOP_SECONDS)
        if process.stderr is not None:
            process.stderr.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stderr or ():
            match = _SERVING.search(line)
            if match is not None:
                ports = int(match["port"]), int(match["ops_port"])
                self._addresses.put(Address(match["host"], ports[0], match["ops_host"], ports[1]))
            self._said.append(line.rstrip("\n"))
            del self._said[:-_MAX_TOLD]
        self._addresses.put(None)

    def _await_address(self) -> Address:
        try:
            address = self._addresses.get(timeout=START_SECONDS)
        except queue.Empty:
            raise self._trouble("the server did not say where it serves") from None
        if address is None:
            raise self._trouble("the server did not start")
        return address

    def _await_readiness(self) -> None:
        until = time.monotonic() + START_SECONDS
        last = "no answer"
        while time.monotonic() < until and self.running:
            ops = http.client.HTTPConnection(
                self.address.ops_host, self.address.ops_port, timeout=5
            )
            try:
                ops.request("GET", "/readyz")
                answer = ops.getresponse()
                last = answer.read().decode("utf-8", "replace").strip()
                if answer.status == http.client.OK:
                    return
            except (OSError, http.client.HTTPException) as error:
                last = str(error)
            finally:
                ops.close()
            time.sleep(0.05)
        raise self._trouble(f"the server did not get ready: {last}")

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self._ca))
        return http.client.HTTPSConnection(
            self.address.host, self.address.port, context=context, timeout=REVIEW_SECONDS + 5
        )

    def _trouble(self, what: str) -> ServerTrouble:
        said = "".join(f"\n    {line}" for line in self._said)
        return ServerTrouble(f"{what}{'; it said:' if said else ''}{said}")


def pullproof(*arguments: str) -> list[str]:
    """Return the command line of pullproof with this very Python."""
    return [sys.executable, "-m", "webhook", *arguments]


def _environment() -> dict[str, str]:
    # Every flag can be given in the environment: a person's own must not change the demo.
    return {key: value for key, value in os.environ.items() if not key.startswith("PULLPROOF_")}


def _response(body: bytes, uid: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
        response = answer["response"]
        told = (answer["apiVersion"], answer["kind"], response["uid"])
    except (ValueError, LookupError, TypeError) as error:
        raise ServerTrouble("the webhook's answer is no AdmissionReview") from error
    if told != ("admission.k8s.io/v1", "AdmissionReview", uid) or not isinstance(response, dict):
        raise ServerTrouble(f"the webhook's answer is another one's: {told}")
    return response
