"""A real cluster and real registries on loopback, for tests to use and break."""

from tests.e2e.harness.cluster import Cluster
from tests.e2e.harness.images import push_image
from tests.e2e.harness.kubectl import Completed, KubectlError
from tests.e2e.harness.pki import Authority, Identity
from tests.e2e.harness.process import DaemonError
from tests.e2e.harness.registry import Credentials, Registry, Request
from tests.e2e.harness.tokens import Rule, TokenServer

__all__ = [
    "Authority",
    "Cluster",
    "Completed",
    "Credentials",
    "DaemonError",
    "Identity",
    "KubectlError",
    "Registry",
    "Request",
    "Rule",
    "TokenServer",
    "push_image",
]
