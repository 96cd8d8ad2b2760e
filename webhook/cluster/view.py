"""What the engine needs to know of a cluster, and how "we do not know" is told.

Two views give it: the live one asks an API server, the other reads a folder of
manifests. An object that is not there and an object that may not be read are
different answers: only the first is ever called missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from webhook.cluster.nodes import Nodes
from webhook.credentials.secret import Secret
from webhook.deadline import Deadline
from webhook.registry.outcome import Cause


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A ServiceAccount, of which only its pull secrets matter, in their order."""

    namespace: str
    name: str
    image_pull_secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absent:
    """The API server (or the folder) answered, and there is no such object."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No answer that proves anything: ``secret-unreadable`` or ``cluster-unavailable``.

    ``why`` is one line for a person, free of anything secret.
    """

    cause: Cause
    why: str


class ClusterView(Protocol):
    """Reads single objects by name. Every method is safe to call from any thread.

    ``fresh`` asks for an answer that was not kept from before: a finding that says
    "missing" rests on one. No method raises for what a cluster answers or fails to
    answer; past ``deadline`` the answer is :class:`Unreadable`.
    """

    def secret(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> Secret | Absent | Unreadable: ...

    def service_account(
        self, namespace: str, name: str, deadline: Deadline, *, fresh: bool = False
    ) -> ServiceAccount | Absent | Unreadable: ...

    def namespace_labels(
        self, namespace: str, deadline: Deadline
    ) -> Mapping[str, str] | Unreadable: ...

    def nodes(self, deadline: Deadline) -> Nodes | Unreadable: ...
