"""One exec plugin as a process: what it is given, and how it ends.

As the kubelet runs it (``execPlugin`` of 1.37): the request on standard input, the
answer on standard output until that ends, exit code 0. What the kubelet leaves open is
bounded here: the output, the time also of children that hold the output open, and what
lives on after the answer. Standard error is thrown away: it may hold secrets.
"""

import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from webhook.deadline import Deadline

MAX_OUTPUT = 1 << 20
"""Bytes of an answer; the kubelet has no limit."""
RUN_MARK = "PULLPROOF_PLUGIN_RUN"
"""Tells the processes of one run apart, so that those which left its group are found."""

_CHUNK = 65_536
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.02
_REAPING = 1.0
_SWEEPS = 3


@dataclass(frozen=True, slots=True)
class Command:
    """A program with all that it is given; its environment is no more than ``env``."""

    path: Path
    args: tuple[str, ...] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    stdin: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why a run gave no answer: in words of our own, never in the program's."""

    why: str
    timed_out: bool = False


class Runner(Protocol):
    """Whoever runs a plugin; :func:`run_process` does."""

    def __call__(self, command: Command, deadline: Deadline) -> bytes | RunFailure: ...


def run_process(command: Command, deadline: Deadline) -> bytes | RunFailure:
    """Run ``command`` and return what it wrote; nothing of it outlives the call.

    It gets a session of its own. At the end, however it came, its process group is
    killed, and on Linux also what left that group.
    """
    mark = secrets.token_hex(16)
    began = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 - running the configured plugin is the purpose
            [str(command.path), *command.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**command.env, RUN_MARK: mark},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        return RunFailure(f"could not be started: {error.strerror}")
    except ValueError:
        return RunFailure("could not be started: an argument or variable that no process can have")
    try:
        return _finished(process, command.stdin, deadline, began)
    except OSError as error:
        return RunFailure(f"could not be heard: {error.strerror}")
    finally:
        _end(process, mark)


def _finished(
    process: "subprocess.Popen[bytes]", stdin: bytes, deadline: Deadline, began: float
) -> bytes | RunFailure:
    output = _talk(process, stdin, deadline)
    if output is not None and len(output) > MAX_OUTPUT:
        return RunFailure(f"answered with more than {MAX_OUTPUT} bytes")
    status = _wait(process, deadline) if output is not None else None
    if output is None or status is None:
        seconds = time.monotonic() - began
        return RunFailure(f"did not end within {seconds:.1f} s", timed_out=True)
    if status:
        words = f"exit code {status}" if status > 0 else f"signal {-status}"
        return RunFailure(f"ended with {words}")
    return output


def _talk(process: "subprocess.Popen[bytes]", stdin: bytes, deadline: Deadline) -> bytes | None:
    """Write the request and read the answer, until it ends or grows too long; None: too late."""
    output = bytearray()
    rest = memoryview(stdin)
    if process.stdin is None or process.stdout is None:
        return None
    with selectors.DefaultSelector() as ready:
        for stream, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
        ):
            os.set_blocking(stream.fileno(), False)
            ready.register(stream, event)
        while len(output) <= MAX_OUTPUT:
            events = ready.select(deadline.left())
            if deadline.passed:
                return None
            for key, _ in events:
                if key.fileobj is process.stdout:
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        return bytes(output)
                    output += chunk
                    continue
                # A plugin that reads nothing is free not to.
                with suppress(BrokenPipeError):
                    rest = rest[os.write(key.fd, rest[:_CHUNK]) :]
                    if rest:
                        continue
                ready.unregister(key.fileobj)
                process.stdin.close()
    return bytes(output)


def _wait(process: "subprocess.Popen[bytes]", deadline: Deadline) -> int | None:
    """Return how the program ended, negative for a signal; None: too late.

    It is not reaped yet: until then its process group's number belongs to nobody else.
    """
    pause = _FIRST_PAUSE
    while True:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is not None:
            exited = ended.si_code == os.CLD_EXITED
            return ended.si_status if exited else -ended.si_status
        if deadline.passed:
            return None
        time.sleep(min(pause, deadline.left()))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _end(process: "subprocess.Popen[bytes]", mark: str) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    # A process that hangs in the kernel is left to the system: nobody waits for it.
    with suppress(subprocess.TimeoutExpired):
        process.wait(_REAPING)
    marked = f"{RUN_MARK}={mark}".encode()
    for _ in range(_SWEEPS):
        if not _kill_marked(marked):
            return


def _kill_marked(marked: bytes) -> bool:
    """Kill every process of this run that is found; tell whether there was one."""
    found = False
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names only
    except OSError:
        return False
    for name in names:
        try:
            # Held before it is looked at: its number cannot pass to another process.
            held = os.pidfd_open(int(name))
        except (OSError, AttributeError):
            continue
        try:
            if marked in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(held, signal.SIGKILL)
                found = True
        except OSError:
            continue
        finally:
            os.close(held)
    return found
