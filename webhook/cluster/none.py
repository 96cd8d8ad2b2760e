"""The view where there is none: nothing is known, and nothing is called missing."""

from collections.abc import Mapping

from webhook.cluster.nodes import Nodes
from webhook.cluster.view import Absent, ServiceAccount, Unreadable
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause

NOTHING_GIVEN = Unreadable(Cause.CLUSTER_UNAVAILABLE, "no view of a cluster was given")


class NoCluster:
    """Answers every question about an object with :data:`NOTHING_GIVEN`."""

    def secret(
        self,
        namespace: str,  # noqa: ARG002 - the protocol's
        name: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> Secret | Absent | Unreadable:
        return NOTHING_GIVEN

    def service_account(
        self,
        namespace: str,  # noqa: ARG002
        name: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> ServiceAccount | Absent | Unreadable:
        return NOTHING_GIVEN

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable:  # noqa: ARG002
        """Return no node: where there is no cluster, none is known to hold anything."""
        return Nodes()

    def namespace_labels(
        self,
        namespace: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> Mapping[str, str] | Unreadable:
        return NOTHING_GIVEN
