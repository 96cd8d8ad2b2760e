"""One run: every chosen case on every side."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.differential.identities import Identities
from tests.differential.judged import Judged, Real
from tests.differential.lab import Job, Lab, Turns
from tests.differential.model import Case
from tests.differential.ours import Engine
from tests.differential.plot import Plot, Surveyor
from tests.differential.registries import Distributions
from tests.differential.runtimes import Nodes, Puller
from tests.differential.sockets import Recorded
from tests.differential.space import furnish

Side = Callable[[list[Recorded]], None]

WORKERS = 8
# One in so many: 50 of 1,000.
AS_PROCESSES = 20


class Run:
    """Works inside the lab's own space, in `folder`."""

    def __init__(self, folder: Path, cases: Sequence[Case], runtimes: Sequence[str]) -> None:
        furnish(folder)
        self._folder = folder
        self._runtimes = runtimes
        identities = Identities(folder / "pki")
        self._lab = Lab(folder, identities)
        self._distributions = Distributions(cases, identities)
        self._lab.always(self._distributions.names)
        common = {
            "ca": str(identities.other.bundle),
            "ca_pem": identities.other.pem.decode(),
            "client_cert": str(identities.client.cert),
            "client_key": str(identities.client.key),
            "client_pem": identities.client.cert.read_text() + identities.client.key.read_text(),
            "other_key": str(identities.stranger.key),
        }
        surveyor = Surveyor(common, self._distributions.hosts, self._distributions.tokens)
        self._plots = [surveyor.lay_out(case) for case in cases]
        self._nodes = Nodes(folder / "nodes", self._lab.certs, identities.environment)
        self._puller = Puller()
        self._engine = Engine(identities.environment)
        self._done = 0
        self._lock = threading.Lock()

    def judge(self, processes: frozenset[str]) -> list[Judged]:
        found = {plot.case.id: Judged(plot.case) for plot in self._plots}
        jobs: list[Job] = []
        for plot in self._plots:
            one = found[plot.case.id]
            one.as_process = plot.case.id in processes or bool(plot.case.env)
            jobs += self._jobs(plot, self._sides(plot, one))
        self._total = len(jobs)
        Turns(jobs).run(WORKERS)
        for one in found.values():
            one.real = {runtime: one.real[runtime] for runtime in self._runtimes}
        return list(found.values())

    def _sides(self, plot: Plot, one: Judged) -> list[Side]:
        sides: list[Side] = [partial(self._pull, plot, one, kind) for kind in self._runtimes]
        sides.append(partial(self._judge, plot, one, "node"))
        if plot.case.judged_from_a_pod:
            sides.append(partial(self._judge, plot, one, "pod"))
        return sides

    def _jobs(self, plot: Plot, sides: Sequence[Side]) -> list[Job]:
        """Give each side the case to itself, unless that takes too long and nobody counts."""
        slow = "slow" in plot.case.tags
        if slow and not plot.counts:
            return [Job(plot.claims, slow, partial(self._at_once, plot, sides))]
        return [Job(plot.claims, slow, partial(self._at_once, plot, [side])) for side in sides]

    def _at_once(self, plot: Plot, sides: Sequence[Side]) -> None:
        self._distributions.push(plot)
        with self._lab.opened(plot) as heard, ThreadPoolExecutor(len(sides)) as pool:
            for done in [pool.submit(side, heard) for side in sides]:
                done.result()
        with self._lock:
            self._done += 1
            if self._done % 500 == 0:
                print(f"{self._done} of {self._total} done", file=sys.stderr, flush=True)

    def _pull(self, plot: Plot, one: Judged, runtime: str, heard: list[Recorded]) -> None:
        node = self._nodes.node(runtime, plot.case.env)
        pulled = self._puller.pull(plot, node.endpoint)
        one.real[runtime] = Real.of(pulled, [str(r) for r in heard], _sent(plot, heard))

    def _judge(self, plot: Plot, one: Judged, vantage: str, heard: list[Recorded]) -> None:
        folder = self._folder / "cases" / f"{plot.case.id}-{vantage}"
        process = one.as_process and vantage == "node"
        began = time.monotonic()
        said = self._engine.judge(plot, folder, vantage, process=process)
        said = replace(said, seconds=time.monotonic() - began)
        if vantage == "node":
            one.said, one.said_heard = said, [str(r) for r in heard]
        else:
            one.from_pod = said

    def close(self) -> None:
        self._engine.close()
        self._puller.close()
        self._nodes.close()
        self._distributions.close()


def as_processes(cases: Sequence[Case]) -> frozenset[str]:
    """Choose which cases our side judges as a process: always the same, spread over all."""
    asked = {case.id for case in cases if "process" in case.tags or case.env}
    rest = sorted(
        (case.id for case in cases if case.id not in asked and "slow" not in case.tags),
        key=lambda name: hashlib.sha256(name.encode()).hexdigest(),
    )
    return frozenset(asked | set(rest[: len(cases) // AS_PROCESSES]))


def _sent(plot: Plot, heard: Sequence[Recorded]) -> bool | None:
    """Tell whether a server of the case was sent anything that authorises."""
    if any(site.server.distribution is not None for site in plot.sites):
        return None
    return any(one.auth != "none" for one in heard)
