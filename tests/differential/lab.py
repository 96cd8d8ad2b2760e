"""The lab: opens a case's servers and names, has each side judge it, closes it again."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.differential.behaviour import Behaviour, Desk
from tests.differential.identities import ZONE, Identities
from tests.differential.names import Answer, NameServer
from tests.differential.plot import ALONE, Plot
from tests.differential.sockets import Booth, Recorded, Street

_UNHEARD = ("refused", "unreachable", "blackhole")


class Lab:
    """`certs` is the certs.d that every containerd reads."""

    def __init__(self, folder: Path, identities: Identities) -> None:
        self.certs = folder / "certs.d"
        self.certs.mkdir()
        self._identities = identities
        self._street = Street()
        self._names = NameServer()

    def always(self, names: Mapping[str, Answer]) -> None:
        """Tell names that belong to no case."""
        self._names.add(dict(names))

    @contextmanager
    def opened(self, plot: Plot) -> Iterator[list[Recorded]]:
        """Open the case's servers and names; what they are asked is in the list."""
        heard: list[Recorded] = []
        booths: list[Booth] = []
        desk = Desk()
        for site in plot.sites:
            if site.server.gate.bearer is not None and desk.bearer is None:
                desk.bearer = site.server.gate.bearer
                if desk.bearer.realm is None:
                    desk.bearer = desk.bearer.model_copy(update={"realm": f"{site.url}/token"})
        try:
            self._names.add(plot.names)
            self._write_hosts(plot)
            for site in plot.sites:
                server = site.server
                if server.transport in _UNHEARD or server.distribution is not None:
                    continue
                behaviour = Behaviour(server, site.shelf, desk, site.url)
                names = (site.name, *server.names, site.address)
                context = self._identities.context(server, _for_certificate(names, site.name))
                booth = Booth(server, behaviour, context, heard.append)
                booths.append(booth)
                self._street.open(booth, site.address, site.port)
            yield heard
        finally:
            for booth in booths:
                self._street.close(booth)
            for folder in plot.case.hosts:
                shutil.rmtree(self.certs / folder, ignore_errors=True)
            self._names.remove(plot.names)

    def _write_hosts(self, plot: Plot) -> None:
        for name, text in plot.hosts_files.items():
            path = self.certs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _for_certificate(names: Iterable[str], own: str) -> tuple[str, ...]:
    """Leave the address out of a named server's certificate, so that many can share one."""
    kept = dict.fromkeys(names)
    if own.lower().endswith(ZONE):
        return tuple(name for name in kept if name.lower().endswith(ZONE))
    return tuple(kept)


@dataclass(frozen=True, eq=False)
class Job:
    """One case on one side; none runs beside another that claims the same."""

    claims: frozenset[str]
    slow: bool
    work: Callable[[], None]


class Turns:
    """Runs every job once, many at a time."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        # What takes long begins first, so that nobody waits for it at the end.
        jobs = sorted(jobs, key=lambda job: not job.slow)
        self._alone = [job for job in jobs if ALONE in job.claims]
        self._pending = [job for job in jobs if ALONE not in job.claims]
        self._held: set[str] = set()
        self._freed = threading.Condition()

    def run(self, workers: int) -> None:
        slow = sum(job.slow for job in self._pending)
        count = min(workers + slow, max(1, len(self._pending)))
        with ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(self._take_turns) for _ in range(count)]:
                done.result()
        for job in self._alone:
            job.work()

    def _take_turns(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.work()
            finally:
                with self._freed:
                    self._held -= job.claims
                    self._freed.notify_all()

    def _next(self) -> Job | None:
        with self._freed:
            while self._pending:
                for job in self._pending:
                    if not job.claims & self._held:
                        self._pending.remove(job)
                        self._held |= job.claims
                        return job
                self._freed.wait()
            return None
