"""The webhook's door: AdmissionReviews in, answers out, over one engine."""

import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from webhook.cli.assemble import Desk
from webhook.cli.manifests import custom_kinds
from webhook.cluster.live import LiveView
from webhook.deadline import Deadline
from webhook.review.admission import allowed, decode, encode
from webhook.review.answer import ReviewAnswer
from webhook.review.decision import decide
from webhook.server.service import Check

PROBE_SECONDS = 2.0
"""How long the first contact with the cluster may take, and the pause between tries."""

logger = logging.getLogger(__name__)


class Reviewer:
    """What the server serves: a :class:`webhook.server.service.Service`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._closing = threading.Event()
        self._unreached = "not asked yet"
        self._thread: threading.Thread | None = None

    def review(self, body: bytes, deadline: Deadline) -> ReviewAnswer:
        engine = self._desk.engine()
        request = decode(body, custom_kinds(engine.policies.workload_kinds))
        policy_hash = engine.policies.hash
        if request.workload is None:
            return allowed(request, policy_hash)
        deadline = min(deadline, Deadline.after(self._desk.timeout))
        judgement = engine.judge(request.workload, deadline, datetime.now(UTC).date())
        return encode(request, decide(judgement), policy_hash)

    def start(self) -> None:
        self._desk.store.start()
        if isinstance(self._desk.view, LiveView):
            self._desk.view.start()
            self._thread = threading.Thread(target=self._reach, name="cluster", daemon=True)
            self._thread.start()

    def _reach(self) -> None:
        """Ask until the cluster has answered once; its later outages are told in findings."""
        view = self._desk.view
        while isinstance(view, LiveView) and not self._closing.is_set():
            problem = view.probe(Deadline.after(PROBE_SECONDS))
            if problem is None:
                return
            if problem != self._unreached:
                logger.warning("the cluster was not reached: %s", problem)
            self._unreached = problem
            self._closing.wait(PROBE_SECONDS)

    def checks(self) -> Sequence[Check]:
        store = self._desk.store
        count = len(store.current.policies)
        loaded = f"{count} policies, hash {store.current.hash[:12]}"
        reload = store.problem or "the files in force are the newest"
        return [
            Check("policies", ok=True, reason=loaded),
            Check("policy-reload", ok=store.problem is None, reason=reload, gates=False),
            self._cluster(),
            *self._watched(),
        ]

    def _cluster(self) -> Check:
        view = self._desk.view
        if not isinstance(view, LiveView):
            return Check("cluster", ok=True, reason="read from a folder of manifests")
        reason = "reached" if view.reached() else self._unreached
        return Check("cluster", ok=view.reached(), reason=reason)

    def _watched(self) -> Sequence[Check]:
        view = self._desk.view
        if not isinstance(view, LiveView):
            return ()
        problem = view.watched()
        reason = problem or "nodes and namespaces are watched"
        return [Check("watched", ok=problem is None, reason=reason, gates=False)]

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(PROBE_SECONDS)
        self._desk.close()
        if isinstance(self._desk.view, LiveView):
            self._desk.view.close()
