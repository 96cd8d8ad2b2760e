"""Puts the parts together: policies, a view of a cluster, a resolver, the engine."""

import logging
import threading
import time
from dataclasses import replace

from webhook.cli.options import UsageError, ViewOptions
from webhook.cluster.live import LiveView
from webhook.cluster.manifests import ManifestError, ManifestView
from webhook.cluster.none import NoCluster
from webhook.cluster.view import ClusterView
from webhook.credentials.node import NodeKeyring, NoNodeCredentials, node_keyring
from webhook.policy.fault import Refused
from webhook.policy.store import PolicyStore
from webhook.registry.resolver import Resolver
from webhook.registry.settings import NodeCredentials, RegistrySettings
from webhook.registry.transport import Transport
from webhook.review.engine import Asker, Engine

RETIRED_SECONDS = 60.0
"""How long a resolver is kept that no new review gets: twice the longest review."""

logger = logging.getLogger(__name__)


class PoliciesRefusedError(Exception):
    """Policy files that cannot be used; ``str()`` holds every fault on a line of its own."""


def open_policies(options: ViewOptions) -> PolicyStore:
    """Load the policies. Raises PoliciesRefusedError with all faults at once."""
    store = PolicyStore.open(options.policies)
    if isinstance(store, Refused):
        raise PoliciesRefusedError("\n".join(str(fault) for fault in store.faults))
    return store


def open_view(options: ViewOptions, *, in_cluster: bool = False) -> ClusterView:
    """Return the view of the cluster. Raises UsageError where it cannot be had.

    ``in_cluster``: without any flag, the API server of the pod that we run in.
    """
    if options.manifests is not None:
        try:
            return ManifestView(options.manifests, options.namespace)
        except ManifestError as error:
            raise UsageError(str(error)) from error
    if options.kubeconfig is not None or in_cluster:
        try:
            return LiveView(options.kubeconfig)
        except Exception as error:
            # The client's own messages can hold what stands in a kubeconfig.
            raise UsageError(f"no cluster can be reached: {type(error).__name__}") from error
    return NoCluster()


def settings_for(
    configured: RegistrySettings,
    options: ViewOptions,
    *,
    local: bool,
    api_server: frozenset[str] = frozenset(),
) -> RegistrySettings:
    """Return the settings with the flags laid over them: a flag wins.

    ``local``: a person's own machine asks, which may dial its own loopback.
    ``api_server`` is where our own cluster is reached, which is no registry.
    """
    return replace(
        configured,
        depth=options.depth or configured.depth,
        # A depth that was asked for holds for every registry, Docker Hub too.
        registries=tuple(
            replace(entry, depth=options.depth or entry.depth) for entry in configured.registries
        ),
        vantage=options.vantage or configured.vantage,
        hosts_dir=options.hosts_dir or configured.hosts_dir,
        only_platforms=options.platforms,
        egress=replace(configured.egress, local=local, api_server=api_server),
    )


class Desk:
    """Gives out the engine that fits the policies in force.

    A reload that changes how registries are reached gets a new resolver. The old one
    is closed once no review can be using it any more.
    """

    def __init__(
        self,
        store: PolicyStore,
        view: ClusterView,
        options: ViewOptions,
        *,
        local: bool = False,
        flight_seconds: float | None = None,
    ) -> None:
        self.store = store
        self.view = view
        self._options = options
        self._local = local
        # A person's own machine may ask what it likes; a webhook is asked by others.
        self._api_server: frozenset[str] = frozenset()
        if isinstance(view, LiveView) and not local:
            self._api_server = view.addresses()
        self._flight_seconds = flight_seconds
        self._lock = threading.Lock()
        self._settings: RegistrySettings | None = None
        self._resolver: Resolver | None = None
        self._node_keyring: NodeKeyring = NoNodeCredentials()
        self._retired: list[tuple[float, Resolver]] = []

    @property
    def timeout(self) -> float:
        """Seconds that an answer may take, as the flag says."""
        return self._options.timeout

    def engine(self) -> Engine:
        """Return an engine over the policies in force at this moment."""
        policies = self.store.current
        settings = settings_for(
            policies.registry, self._options, local=self._local, api_server=self._api_server
        )
        asker, held = self._asker(settings)
        return Engine(policies, settings, self.view, asker, held)

    def _asker(self, settings: RegistrySettings) -> tuple[Asker, NodeKeyring]:
        with self._lock:
            self._retire(RETIRED_SECONDS)
            if self._resolver is None or settings != self._settings:
                if self._resolver is not None:
                    self._retired.append((time.monotonic(), self._resolver))
                transport = Transport(settings)
                self._resolver = Resolver(settings, transport, flight_seconds=self._flight_seconds)
                self._settings = settings
                self._node_keyring = node_keyring(
                    settings.node_docker_config,
                    settings.credential_providers,
                    files=settings.node_credentials is NodeCredentials.FILES,
                )
            return self._resolver, self._node_keyring

    def _retire(self, seconds: float) -> None:
        until = time.monotonic() - seconds
        for since, resolver in self._retired:
            if since <= until:
                resolver.close()
        self._retired = [entry for entry in self._retired if entry[0] > until]

    def close(self) -> None:
        """Stop the threads of the resolvers and of the policies."""
        self.store.close()
        with self._lock:
            self._retire(0.0)
            if self._resolver is not None:
                self._resolver.close()
