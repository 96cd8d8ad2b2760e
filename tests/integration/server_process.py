"""Starts ``tests.integration.serving`` on free ports, and speaks to it over TLS."""

import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
JSON = {"Content-Type": "application/json"}
SERVING = re.compile(
    r"^pullproof: serving on https://127\.0\.0\.1:(\d+)/validate "
    r"\(health and metrics on http://127\.0\.0\.1:(\d+)\)$",
    re.MULTILINE,
)


class ServerProcess:
    """One server process; what it says on stderr is kept in ``said``."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.integration.serving", directory, *options],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.port = self.ops_port = 0

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._grown:
                self.said += line
                self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def wait_for(self, pattern: str | re.Pattern[str], seconds: float = 10) -> re.Match[str]:
        """Return the first match of ``pattern`` in what the process says."""
        with self._grown:
            self._grown.wait_for(lambda: re.search(pattern, self.said), seconds)
            found = re.search(pattern, self.said)
        assert found, f"not said in {seconds} s: {pattern}\n{self.said}"
        return found

    def ended(self, seconds: float = 10) -> tuple[int, str]:
        """Return the exit code, and all that was said."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code, self.said

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return the exit code and the seconds that it took."""
        start = time.monotonic()
        self.process.send_signal(number)
        code, _ = self.ended(40)
        return code, time.monotonic() - start

    def __enter__(self) -> Self:
        try:
            found = self.wait_for(SERVING)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.port, self.ops_port = int(found[1]), int(found[2])
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def trusting(self) -> ssl.SSLContext:
        """Return a client's context that trusts the ``ca.crt`` of now."""
        return ssl.create_default_context(cafile=str(self.directory / "ca.crt"))

    @contextlib.contextmanager
    def connected(
        self, context: ssl.SSLContext | None = None, timeout: float = 20
    ) -> Iterator[http.client.HTTPSConnection]:
        """Give a connection that stays open for several requests."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, context=context or self.trusting(), timeout=timeout
        )
        try:
            yield connection
        finally:
            connection.close()

    def tcp(self) -> socket.socket:
        """Return a bare TCP connection to the TLS listener."""
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def tls(self) -> ssl.SSLSocket:
        """Return a connection whose handshake is done."""
        return self.trusting().wrap_socket(self.tcp(), server_hostname="localhost")

    def review(self, **asked: Any) -> tuple[int, Any]:
        """Post one review on a connection of its own."""
        with self.connected() as connection:
            return post(connection, **asked)

    def ops(self, path: str) -> tuple[int, str]:
        """Get a page of the plain listener."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ops_port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def post(connection: http.client.HTTPSConnection, **asked: Any) -> tuple[int, Any]:
    """Post one review; return the status and the answer."""
    connection.request("POST", "/validate?timeout=10s", json.dumps(asked), JSON)
    answer = connection.getresponse()
    body = answer.read()
    return answer.status, json.loads(body) if answer.status == 200 else body.decode()
