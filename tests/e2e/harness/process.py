"""Daemons that start with a log, stop with their whole group, and never outlive the tests."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"

# Below the range that the kernel gives to outgoing connections: nothing takes the
# port between the moment it was found free and the daemon's start.
_PORTS = range(20000, 30000)

_REAPER = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    sign, group = line[0], int(line[1:])
    alive.add(group) if sign == "+" else alive.discard(group)
for group in alive:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class DaemonError(Exception):
    """A daemon did not start, or died; says which and shows the end of its log."""


def free_port() -> int:
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    msg = "no free port was found in 200 tries"
    raise DaemonError(msg)


class _Reaper:
    """A process that outlives a killed pytest just long enough to end its daemons.

    It is told of each daemon's group over a pipe; the pipe's end, however it
    came about, is the sign.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: int | None = None

    def tell(self, sign: str, group: int) -> None:
        with self._lock:
            line = f"{sign}{group}\n".encode()
            if self._pipe is None:
                self._pipe = self._start()
            try:
                os.write(self._pipe, line)
            except BrokenPipeError:
                # Somebody ended it; the belt must not be what makes a test fail.
                os.close(self._pipe)
                self._pipe = self._start()
                os.write(self._pipe, line)

    def _start(self) -> int:
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _REAPER], stdin=reading, start_new_session=True
            )
        finally:
            os.close(reading)
        # It ends when this interpreter does, so there is nobody to wait for it.
        process.returncode = 0
        return writing


_REAPER_PROCESS = _Reaper()


class Daemon:
    """One process in a group of its own, its output in a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(word) for word in self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={"PATH": os.defpath, "HOME": str(self._folder), **(self._env or {})},
                start_new_session=True,
            )
        _REAPER_PROCESS.tell("+", self._process.pid)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        if self._process is None:
            msg = f"{self.name} was not started"
            raise DaemonError(msg)
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool], *, timeout: float = 60) -> None:
        """Wait until it is ready; a daemon that died or is late shows its log."""
        end = time.monotonic() + timeout
        while not ready():
            if not self.running:
                code = None if self._process is None else self._process.returncode
                msg = f"{self.name} ended with status {code}\n{self.tail()}"
                raise DaemonError(msg)
            if time.monotonic() > end:
                msg = f"{self.name} was not ready in {timeout:.0f} s\n{self.tail()}"
                raise DaemonError(msg)
            time.sleep(0.05)

    def stop(self, *, grace: float = 10) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            _signal_group(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        finally:
            # Whatever the daemon itself left behind in its group ends too.
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
            _REAPER_PROCESS.tell("-", process.pid)

    def tail(self, lines: int = 30) -> str:
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        last = "\n".join(text.splitlines()[-lines:])
        return f"--- the end of {self.log}\n{last}"


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
