"""The set of policies in force: swapped whole, kept where a reload is broken."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from webhook.policy.fault import Refused, Severity
from webhook.policy.files import PolicySet, listing, load

INTERVAL = 2.0
"""Seconds between two looks at the files."""
_SHOWN = 3
_TRIES = 3

logger = logging.getLogger(__name__)

Stamp = tuple[str, int, int, int, int]
Signature = tuple[Stamp, ...]


class PolicyStore:
    """Holds the set in force; safe to read from any thread while another reloads.

    ``current`` is one attribute that is replaced whole: who reads it once works with
    one set throughout. Open it with :meth:`open`.
    """

    def __init__(self, paths: Sequence[Path], current: PolicySet, signature: Signature) -> None:
        self.current = current
        self.problem: str | None = None
        self.failures = 0
        self._paths = tuple(paths)
        self._signature = signature
        self._reloading = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls, paths: Sequence[Path]) -> Self | Refused:
        """Load ``paths`` for the first time; without paths the built-in defaults hold."""
        loaded, signature = _load_stable(paths)
        if isinstance(loaded, Refused):
            return loaded
        return cls(paths, loaded, signature)

    def reload_if_changed(self) -> bool:
        """Load anew where names, times, sizes or inodes changed; tell whether a set was swapped.

        A broken set leaves the last good one in force; ``problem`` then holds its
        first faults, ``failures`` counts such reloads, and one line is logged.
        """
        with self._reloading:
            if _signature(self._paths) == self._signature:
                return False
            loaded, self._signature = _load_stable(self._paths)
            if isinstance(loaded, Refused):
                self._refuse(loaded)
                return False
            self.current = loaded
            self.problem = None
        logger.info("policies loaded: %d, hash %s", len(loaded.policies), loaded.hash)
        return True

    def _refuse(self, refused: Refused) -> None:
        errors = [fault for fault in refused.faults if fault.severity is Severity.ERROR]
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        self.problem = "; ".join(map(str, errors[:_SHOWN])) + more
        self.failures += 1
        logger.error("policies not reloaded, the last good set stays in force: %s", self.problem)

    def start(self) -> None:
        """Look at the files every :data:`INTERVAL` seconds until :meth:`close`."""
        if self._thread is None and self._paths:
            self._thread = threading.Thread(target=self._poll, name="policies", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop looking; returns when the thread has ended."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _poll(self) -> None:
        while not self._closing.wait(INTERVAL):
            try:
                self.reload_if_changed()
            except Exception:
                # The thread lives as long as the process: a bug in one look must not end it.
                logger.exception("policies could not be looked at")


def _load_stable(paths: Sequence[Path]) -> tuple[PolicySet | Refused, Signature]:
    """Load until nothing changed meanwhile: a ConfigMap's files change together."""
    signature = _signature(paths)
    loaded = load(paths)
    for _ in range(_TRIES):
        after = _signature(paths)
        if after == signature:
            break
        signature, loaded = after, load(paths)
    return loaded, signature


def _signature(paths: Sequence[Path]) -> Signature:
    found: list[Stamp] = []
    for path in paths:
        try:
            files = listing(path)
        except OSError:
            files = [path]
        found += [_stamp(file) for file in files]
    return tuple(found)


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return (str(file), 0, 0, -1, 0)
    return (str(file), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
